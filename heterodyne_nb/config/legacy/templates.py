"""The long JSON templates of heterodyne-analysis and homodyne-analysis, translated section by section."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from heterodyne_nb.config.legacy.parameters import translate_mode, translate_parameters
from heterodyne_nb.config.legacy.translation import Foreign, Translation, without_comments
from heterodyne_nb.config.schema import Settings
from heterodyne_nb.names import squeeze
from heterodyne_nb.options import METHOD_OPTIONS, ROBUST_METHODS
from heterodyne_nb.options.problems import Problem

#: Sections that only those packages write; one of them makes a configuration theirs.
FOREIGN_SECTIONS = (
    "experimental_data",
    "file_paths",
    "analyzer_parameters",
    "optimization_config",
    "parameter_space",
    "advanced_settings",
    "performance_settings",
    "validation_rules",
    "workflow_integration",
    "output_settings",
)
_SHARED_SECTIONS = ("analysis_settings", "metadata", "initial_parameters")


def translate_templates(values: Mapping[str, Any]) -> Translation:
    own = [k for k in values if k in Settings.model_fields and k not in _SHARED_SECTIONS]
    done = Translation(without_comments({k: values[k] for k in own}))
    foreign = Foreign({k: v for k, v in values.items() if k not in own})
    translate_mode(foreign, done, values)
    _translate_metadata(foreign, done)
    translate_data(foreign, done)
    translate_experiment(foreign, done)
    translate_parameters(foreign, done)
    translate_optimization(foreign, done)
    translate_angles(foreign, done)
    translate_output(foreign, done)
    foreign.know((*FOREIGN_SECTIONS, *Settings.model_fields))
    misspelt = list(foreign.misspelt())
    done.problems.extend(misspelt)
    _report_unused(foreign, done, misspelt)
    return done


def _translate_metadata(foreign: Foreign, done: Translation) -> None:
    for source, target in (
        ("title", "title"),
        ("experiment_name", "title"),
        ("description", "description"),
        ("sample", "sample"),
        ("sample_name", "sample"),
        ("sample_description", "sample"),
        ("authors", "authors"),
    ):
        done.put(f"metadata.{target}", foreign.take(f"metadata.{source}"), f"metadata.{source}")


def _report_unused(foreign: Foreign, done: Translation, misspelt: list[Problem]) -> None:
    wrong = {problem.path for problem in misspelt}
    for section, unused in foreign.unused():
        home = f"{section}." if section else ""
        plain: dict[str, list[str]] = {}
        for key, inside in unused.items():
            why = reason(home + key)
            if why:
                _ignore(done, f"{home}{key}", inside, why)
            elif home + key not in wrong:
                plain[key] = inside
        if plain:
            full = ", ".join(_named(key, inside) for key, inside in plain.items())
            brief = ", ".join(_counted(key, inside) for key, inside in plain.items())
            name = section or "unused sections"
            done.ignore(f"{name}: {full}", f"{name}: {brief}")


def _ignore(done: Translation, path: str, inside: list[str], why: str) -> None:
    done.ignore(f"{_named(path, inside)}: {why}", f"{path}: {why}")


def _named(key: str, inside: list[str]) -> str:
    return f"{key} ({', '.join(inside)})" if inside else key


def _counted(key: str, inside: list[str]) -> str:
    plural = "s" if len(inside) > 1 else ""
    return f"{key} ({len(inside)} setting{plural})" if inside else key


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


_CONFIG = "optimization_config"
_CLASSICAL = f"{_CONFIG}.classical_optimization"
_ROBUST = f"{_CONFIG}.robust_optimization"
_ANGLES = f"{_CONFIG}.angle_filtering"

#: Options of the methods there, by the name they have here.
_OPTIONS = {
    "nelder_mead": {
        "maxiter": "max_iterations",
        "max_iterations": "max_iterations",
        "xatol": "xtol",
        "fatol": "ftol",
        "adaptive": "adaptive",
    },
    "gurobi": {"max_iterations": "max_iterations", "tolerance": "ftol"},
}


def translate_optimization(foreign: Foreign, done: Translation) -> None:
    """Move classical methods and options, and what of the robust ones has the same meaning here."""
    path = f"{_CLASSICAL}.methods"
    done.put("optimization.classical.methods", foreign.take(path), path)
    options = f"{_CLASSICAL}.method_options"
    for name in foreign.keys(options):
        method = next((m for m in METHOD_OPTIONS if squeeze(m) == squeeze(name)), None)
        for source, target in _OPTIONS.get(method or "", {}).items():
            origin = f"{options}.{name}.{source}"
            value = foreign.take(origin)
            done.put(f"optimization.classical.{method}.{target}", value, origin)
            if value is not None and target.endswith("tol"):
                done.note(f"{origin}: read as {method}.{target}, which is relative or in scaled coordinates")
        origin = f"{options}.{name}.time_limit"
        if method is not None and (limit := foreign.take(origin)) is not None:
            done.put("optimization.time_limit", limit, origin)
            done.note(f"{origin}: read as optimization.time_limit, which holds for each fit")
    _translate_robust(foreign, done)


def _translate_robust(foreign: Foreign, done: Translation) -> None:
    for key in ("enabled", "enable"):
        if foreign.take(f"{_ROBUST}.{key}") is not None:
            done.note(f"{_ROBUST}.{key}: robust fits run when they are asked for")
    model = foreign.take(f"{_ROBUST}.uncertainty_model")
    if model is not None:
        done.put("optimization.robust.methods", _first(model), f"{_ROBUST}.uncertainty_model")
    for source, target in (
        ("n_scenarios", "scenario.n_scenarios"),
        ("method_options.scenario.n_scenarios", "scenario.n_scenarios"),
        ("preferred_solver", "solver"),
    ):
        path = f"{_ROBUST}.{source}"
        done.put(f"optimization.robust.{target}", foreign.take(path), path)
    for method in ("wasserstein", "ellipsoidal"):
        foreign.enter(f"{_ROBUST}.method_options.{method}")


def _first(model: Any) -> list[Any]:
    """Return all robust methods, the named one first: that is what the foreign packages run."""
    return (
        [model, *(m for m in ROBUST_METHODS.names() if m != model)]
        if model in ROBUST_METHODS.names()
        else [model]
    )


def translate_angles(foreign: Foreign, done: Translation) -> None:
    """Move the angle filter."""
    for key in ("enabled", "target_ranges", "fallback_to_all_angles"):
        path = f"{_ANGLES}.{key}"
        done.put(f"angle_filtering.{key}", foreign.take(path), path)


_RADIUS = "measured in other units there; see optimization.robust.wasserstein.radius"

_REASONS = {
    "optimization_config.mcmc_sampling": "there is no Markov-chain sampling here",
    "optimization_config.scaling_parameters": "contrast and offset are solved for exactly, without bounds; "
    "see optimization.contrast",
    f"{_CLASSICAL}.subsampling": "every pixel is used",
    f"{_ROBUST}.subsampling": "every pixel is used",
    f"{_CLASSICAL}.selection_strategy": "the best chi-square is kept",
    f"{_ROBUST}.uncertainty_radius": _RADIUS,
    f"{_ROBUST}.method_options.wasserstein.uncertainty_radius": _RADIUS,
    f"{_ROBUST}.method_options.ellipsoidal.gamma": "measured in other units there; see "
    "optimization.robust.ellipsoidal",
    f"{_ROBUST}.robust_loss": "a loss serves every method here; see optimization.loss",
    f"{_ROBUST}.huber_delta": "see optimization.loss_scale",
    "experimental_data.exchange_key": "the layout of the file is recognised by itself",
    "experimental_data.cache_file_path": "files are read directly, without a cache",
    "experimental_data.cache_filename_template": "files are read directly, without a cache",
    "experimental_data.cache_compression": "files are read directly, without a cache",
    "advanced_settings.numerical_integration": "time integrals are exact",
    "performance_settings": "nothing to set here",
    "output_settings.logging": "logging is set on the command line",
}


def reason(path: str) -> str | None:
    """Return why the setting at a dotted path is not used; None when there is nothing special to say."""
    return _REASONS.get(path)
