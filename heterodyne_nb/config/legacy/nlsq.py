"""Configurations of heterodyne 2 and of xpcsjax, translated to the schema; other packages' conventions.

heterodyne 2 and xpcsjax measure the angle as φ + φ0 (here φ0 − φ: the sign of φ0 turns) and call two
parameters otherwise. All of them count time from the first frame used; here frame k of the file is at k·dt. A
later origin s shifts f2 exactly, f2 + s; a power law with an exponent other than 0 has no counterpart with
another origin, and keeps its numbers. J is the same everywhere: M decays as exp(−q² ∫J dt).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heterodyne_nb.config.legacy.translation import Foreign, Translation
from heterodyne_nb.config.parameters import PARAMETERS, published_name
from heterodyne_nb.options import LOSSES
from heterodyne_nb.options.problems import Problem, shown

#: Their names for published parameters.
THEIR_NAMES = {"v_beta": "beta", "phi0_het": "phi0"}
#: Parameters of theirs that are solved for here.
SOLVED_FOR = ("contrast", "offset")
#: Exponents, with the curve that each shapes.
_EXPONENTS = {
    "alpha": "J",
    "alpha_ref": "J_ref",
    "alpha_sample": "J_sample",
    "beta": "v (or the shear rate)",
}


def our_name(name: str, known: tuple[str, ...]) -> str | None:
    """The published name of a parameter of theirs; None when it is none of this mode."""
    return published_name(THEIR_NAMES.get(name, name), known)


def turned(values: Mapping[str, float]) -> dict[str, float]:
    """Values by published name, the angle of the opposite sign."""
    return {name: -value if name == "phi0" and value else value for name, value in values.items()}


def turned_range(low: float, high: float) -> list[float]:
    """A range of the angle, of the opposite sign."""
    return [-high, -low]


def from_origin(values: Mapping[str, float], shift: float) -> tuple[dict[str, float], list[str]]:
    """Values for times counted from the start of the file instead of from `shift` seconds later.

    Returns: The values, f2 moved. Returns: Curves that cannot be carried over exactly, in words.
    """
    moved = dict(values)
    if not shift:
        return moved, []
    if "f2" in moved:
        moved["f2"] += shift
    bent = [curve for name, curve in _EXPONENTS.items() if values.get(name)]
    words = (
        f"power laws there count time from {shift:g} s later; no power law is the same from another origin"
    )
    return moved, [f"{', '.join(bent)}: {words}"] if bent else []


_MODES = {"two_component": "heterodyne", "two-component": "heterodyne", "heterodyne": "heterodyne"}
_INITIAL = "initial_parameters"
#: Place there, place here, where the meaning is the same.
_MOVED = (
    ("metadata.description", "metadata.description"),
    ("experimental_data.file_path", "data.file"),
    ("experimental_data.data_folder_path", "data.folder"),
    ("experimental_data.data_file_name", "data.file"),
    ("temporal.dt", "temporal.dt"),
    ("temporal.time_length", "temporal.end_frame"),
    ("analyzer_parameters.dt", "temporal.dt"),
    ("analyzer_parameters.start_frame", "temporal.start_frame"),
    ("analyzer_parameters.end_frame", "temporal.end_frame"),
    ("analyzer_parameters.scattering.wavevector_q", "scattering.wavevector_q"),
    ("scattering.wavevector_q", "scattering.wavevector_q"),
    ("analyzer_parameters.geometry.stator_rotor_gap", "geometry.gap"),
    ("phi_filtering.enabled", "angle_filtering.enabled"),
    ("phi_filtering.fallback_to_all_angles", "angle_filtering.fallback_to_all_angles"),
    ("output.output_dir", "output.directory"),
    ("output.directory", "output.directory"),
    ("output.save_plots", "output.plots"),
)


def is_nlsq(values: Mapping[str, Any]) -> bool:
    """Whether a configuration has what only those two packages write."""
    optimization = values.get("optimization")
    nested = isinstance(optimization, Mapping) and "nlsq" in optimization
    return nested or "phi_filtering" in values or isinstance(values.get("parameters"), Mapping)


def translate_nlsq(values: Mapping[str, Any]) -> Translation:
    """Bring such a configuration into the form of the schema, in our conventions."""
    foreign, done = Foreign(values), Translation({})
    mode = _mode(foreign, done)
    for source, target in _MOVED:
        value = foreign.take(source)
        done.put(target, None if value == "" else value, source)
    _angles(foreign, done)
    _loss(foreign, done)
    known = tuple(spec.name for spec in PARAMETERS.get(mode, ()))
    stated = _Stated(known, mode == "heterodyne")
    stated.read(foreign, done)
    stated.write(done, _shift(foreign, done))
    for section, unused in foreign.unused():
        names = ", ".join(unused)
        done.ignore(f"{section or 'unused sections'}: {names}")
    return done


def _mode(foreign: Foreign, done: Translation) -> str:
    for path in ("analysis_mode", "metadata.analysis_mode", "optimization.nlsq.analysis_mode"):
        value = foreign.take(path)
        if value is not None and "analysis_settings" not in done.values:
            mode = _MODES.get(str(value), str(value))
            done.put("analysis_settings.mode", mode, path)
    if "analysis_settings" not in done.values:
        done.put("analysis_settings.mode", "heterodyne", "parameters")
        done.note("analysis_settings.mode: heterodyne, the model of the 14 parameters")
    return str(done.values["analysis_settings"]["mode"])


def _angles(foreign: Foreign, done: Translation) -> None:
    path = "phi_filtering.target_ranges"
    ranges = foreign.take(path)
    if isinstance(ranges, list):  # their descriptions are for readers
        ranges = [
            {k: v for k, v in r.items() if k != "description"} if isinstance(r, Mapping) else r
            for r in ranges
        ]
    done.put("angle_filtering.target_ranges", ranges, path)
    folder, name = (foreign.take(f"experimental_data.phi_angles_{part}") for part in ("path", "file"))
    if name:
        origin = "experimental_data.phi_angles_file"
        done.put("data.phi", f"{str(folder).rstrip('/')}/{name}" if folder else name, origin)
        done.note(f"{origin}: read only when the data file itself does not say its angles")


def _loss(foreign: Foreign, done: Translation) -> None:
    path = "optimization.nlsq.loss"
    loss = foreign.take(path)
    if loss in LOSSES.names():
        done.put("optimization.loss", loss, path)
    elif loss is not None:
        done.ignore(f"{path} = {shown(loss)}: there is no such loss here; see optimization.loss")


def _shift(foreign: Foreign, done: Translation) -> float:
    """Seconds from our time 0 to theirs."""
    temporal = done.values.get("temporal", {})
    dt, start = temporal.get("dt"), temporal.get("start_frame", 1)
    first = foreign.take("temporal.t_start", dt)  # time of their first frame
    if not all(isinstance(value, int | float) for value in (dt, start, first)):
        return 0.0
    return float(start * dt - first)


class _Stated:
    """What is stated of the parameters, by published name and still in their conventions."""

    def __init__(self, known: tuple[str, ...], turn: bool) -> None:
        self.known, self.turn = known, turn
        self.values: dict[str, float] = {}
        self.bounds: dict[str, list[float]] = {}
        self.priors: dict[str, list[float]] = {}
        self.fixed: list[str] = []
        self.tied: dict[str, str] = {}

    def read(self, foreign: Foreign, done: Translation) -> None:
        """Collect it from every place where those packages keep it, the most specific last."""
        for entry in foreign.take("parameter_space.bounds") or ():
            self._entry(entry, entry.get("name") if isinstance(entry, Mapping) else None, done)
        for group in foreign.keys("parameters"):
            for name in foreign.keys(f"parameters.{group}"):
                self._entry(foreign.take(f"parameters.{group}.{name}"), name, done)
        names, values = foreign.take(f"{_INITIAL}.parameter_names"), foreign.take(f"{_INITIAL}.values")
        if values is not None:
            given = (
                values
                if isinstance(values, Mapping)
                else dict(zip(names or self.known, values, strict=False))
            )
            self.values |= {self._name(name, done): value for name, value in given.items()}
        active = foreign.take(f"{_INITIAL}.active_parameters")
        if active:
            wanted = [self._name(name, done) for name in active]
            self.fixed += [name for name in self.known if name not in wanted]
        for name, value in (foreign.take(f"{_INITIAL}.fixed_parameters") or {}).items():
            self.values[self._name(name, done)] = value
            self.fixed.append(self._name(name, done))
        for child, parent in (foreign.take(f"{_INITIAL}.tied_parameters") or {}).items():
            self.tied[self._name(child, done)] = self._name(parent, done)
        for where in (self.values, self.bounds, self.priors):
            where.pop("", None)

    def _name(self, name: Any, done: Translation) -> str:
        """The published name; the empty one, with a word about it, where there is none."""
        found = our_name(str(name), self.known)
        if found is None and name in SOLVED_FOR:
            text = f"{name}: solved for exactly, without bounds; see optimization.contrast"
            if text not in done.ignored:
                done.ignore(text)
        elif found is None:
            done.problems.append(Problem(_INITIAL, f"unknown parameter {name!r}", ", ".join(self.known)))
        return found or ""

    def _entry(self, entry: Any, name: Any, done: Translation) -> None:
        if not isinstance(entry, Mapping) or name is None:
            done.problems.append(Problem("parameters", f"{shown(entry)} is no parameter", "{min, max, …}"))
            return
        ours = self._name(name, done)
        if "value" in entry:
            self.values[ours] = entry["value"]
        if "min" in entry and "max" in entry:
            self.bounds[ours] = [entry["min"], entry["max"]]
        if "prior_mu" in entry and "prior_sigma" in entry:
            self.priors[ours] = [entry["prior_mu"], entry["prior_sigma"]]
        if entry.get("vary") is False and ours:
            self.fixed.append(ours)

    def write(self, done: Translation, shift: float) -> None:
        """Hand it over in our conventions."""
        if self.turn:
            self._turn(done)
        values, words = from_origin(self.values, shift)
        for text in words:
            done.note(f"{text}; the values serve as a start")
        if values != self.values:
            done.note(f"f2 = {values['f2']:g} s: moved by {shift:g} s to the origin of time used here")
            if "f2" in self.bounds:
                self.bounds["f2"] = [end + shift for end in self.bounds["f2"]]
        if self.priors:
            done.put(f"{_INITIAL}.use_priors", False, "parameter_space")
            done.ignore(
                f"parameter_space: priors of {', '.join(self.priors)} are on record only (use_priors)"
            )
        for key, stated in (
            ("values", values),
            ("bounds", self.bounds),
            ("priors", self.priors),
            ("fixed", list(dict.fromkeys(self.fixed))),
            ("tied", self.tied),
        ):
            done.put(f"{_INITIAL}.{key}", stated or None, _INITIAL)

    def _turn(self, done: Translation) -> None:
        if not any("phi0" in where for where in (self.values, self.bounds, self.priors)):
            return
        self.values = turned(self.values)
        if "phi0" in self.bounds:
            self.bounds["phi0"] = turned_range(*self.bounds["phi0"])
        if "phi0" in self.priors:
            mean, width = self.priors["phi0"]
            self.priors["phi0"] = [-mean, width]
        done.note("phi0: of the opposite sign, as the angle is phi0 - phi here and phi + phi0 there")
