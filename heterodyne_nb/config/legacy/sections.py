"""Data, experiment and output sections of the foreign templates."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from heterodyne_nb.config.legacy.leftovers import Foreign
from heterodyne_nb.config.legacy.translation import Translation

_EXPERIMENT = "analyzer_parameters"
_SAME_UNITS = {
    "temporal.dt_unit": ("s", ("s", "sec", "second", "seconds")),
    "scattering.q_unit": ("1/Å", ("1/å", "å⁻¹", "å^-1", "å-1", "1/a", "a^-1", "a-1", "1/angstrom")),
    "geometry.gap_unit": ("Å", ("å", "a", "angstrom", "angstroms")),
}


def translate_data(foreign: Foreign, done: Translation) -> None:
    """Move folder, file and angle list to the ``data`` section."""
    section = "experimental_data"
    done.put("data.folder", foreign.take(f"{section}.data_folder_path"), f"{section}.data_folder_path")
    done.put("data.file", foreign.take(f"{section}.data_file_name"), f"{section}.data_file_name")
    done.put("data.file", foreign.take("file_paths.c2_data_file"), "file_paths.c2_data_file")
    folder, name = foreign.take(f"{section}.phi_angles_path"), foreign.take(f"{section}.phi_angles_file")
    if name is not None:
        _put_angles(done, _joined(folder, name), f"{section}.phi_angles_file")
    elif folder is not None:
        done.ignore(f"{section}.phi_angles_path: phi_angles_file is not given")
    angles = foreign.take("file_paths.phi_angles_file")
    if angles is not None:
        _put_angles(done, angles, "file_paths.phi_angles_file")


def _put_angles(done: Translation, angles: Any, origin: str) -> None:
    done.put("data.phi", angles, origin)
    done.note(f"{origin}: read only when the data file itself does not say its angles")


def _joined(folder: Any, name: Any) -> Any:
    return str(PurePath(folder) / name) if isinstance(folder, str) and isinstance(name, str) else name


def translate_experiment(foreign: Foreign, done: Translation) -> None:
    """Move time step, frames, q and gap to their sections."""
    for source, target in (
        ("temporal.dt", "temporal.dt"),
        ("dt", "temporal.dt"),
        ("temporal.start_frame", "temporal.start_frame"),
        ("start_frame", "temporal.start_frame"),
        ("temporal.end_frame", "temporal.end_frame"),
        ("end_frame", "temporal.end_frame"),
        ("scattering.wavevector_q", "scattering.wavevector_q"),
        ("geometry.stator_rotor_gap", "geometry.gap"),
    ):
        path = f"{_EXPERIMENT}.{source}"
        done.put(target, foreign.take(path), path)
    _check_units(foreign, done)
    start = done.values.get("temporal", {}).get("start_frame", 1)
    if isinstance(start, int) and start > 1:
        done.note(
            f"{_EXPERIMENT}.temporal.start_frame = {start}: here power laws count time from the first frame "
            "of the file, there from start_frame; amplitudes differ where an exponent is not 0"
        )


def _check_units(foreign: Foreign, done: Translation) -> None:
    for name, (unit, spellings) in _SAME_UNITS.items():
        path = f"{_EXPERIMENT}.{name}"
        given = foreign.take(path)
        if given is not None and str(given).casefold().strip() not in spellings:
            done.ignore(f"{path} = {given!r}: the value is read in {unit}")
    path = f"{_EXPERIMENT}.geometry.gap_in_microns"
    microns, gap = foreign.take(path), done.values.get("geometry", {}).get("gap")
    if isinstance(microns, int | float) and gap != microns * 1e4:
        done.ignore(f"{path} = {microns}: stator_rotor_gap = {gap} is used, in Å")


def translate_output(foreign: Foreign, done: Translation) -> None:
    """Move the results folder and the wish for figures to the ``output`` section."""
    for source, target in (
        ("output_settings.results_directory", "output.directory"),
        ("output_settings.reporting.generate_plots", "output.plots"),
    ):
        done.put(target, foreign.take(source), source)
