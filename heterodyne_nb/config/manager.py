"""ConfigManager: one configuration, from a file or a mapping, validated as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from heterodyne_nb.config.files import (
    as_text,
    format_of,
    plain_values,
    read_angles,
    read_file,
    relocated,
    require_plain,
    resolve_data_path,
    template_values,
)
from heterodyne_nb.config.legacy import FOREIGN_SECTIONS, translate
from heterodyne_nb.config.legacy.translation import Translation
from heterodyne_nb.config.parameters import PARAMETERS
from heterodyne_nb.config.schema import Settings, validate_settings
from heterodyne_nb.errors import ConfigurationError, ConfigurationWarning, warn
from heterodyne_nb.files import make_folder, write_text
from heterodyne_nb.guard import guarded
from heterodyne_nb.models.parameters import ParameterTable
from heterodyne_nb.options.problems import ConfigurationProblems, Problem
from heterodyne_nb.remote import Place
from heterodyne_nb.text.escaping import printable


class ConfigManager:
    """A configuration: where the data are, which model, which parameters, how to fit.

    Parameters
    ----------
    config_path : str or path-like
        JSON, YAML or TOML file, of this package or of heterodyne-analysis.

    Raises
    ------
    MissingFileError
        When there is no such file.
    ConfigurationError
        When the file cannot be parsed. What is wrong with the settings themselves is in :attr:`problems` and is
        raised by :meth:`require_valid` and :attr:`settings`, every problem at once.

    Warns
    -----
    ConfigurationWarning
        Once, listing everything in the file that is not used.
    """

    def __init__(self, config_path: str | os.PathLike[str]) -> None:
        if not isinstance(config_path, str | os.PathLike):
            raise ConfigurationError(
                f"a {type(config_path).__name__} is no path to a configuration",
                expected="a path",
                hint="ConfigManager.from_dict(...) takes a mapping",
            )
        whole = "a configuration in JSON, YAML or TOML"
        with guarded(config_path, whole, error=ConfigurationError, hint=None):
            path = Path(config_path).expanduser()
            self._set_up(read_file(path), path.resolve())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ConfigManager:
        """Build a configuration from a mapping with the sections of a file.

        Relative data paths start at the working directory.
        """
        if not isinstance(values, Mapping):
            raise ConfigurationError(
                f"a {type(values).__name__} is no configuration",
                expected="a mapping with sections such as analysis_settings",
                hint="ConfigManager(path) reads a file",
            )
        manager = cls.__new__(cls)
        whole = "a mapping with sections such as analysis_settings"
        with guarded("configuration", whole, error=ConfigurationError, hint=None):
            manager._set_up(values, None)
        return manager

    @classmethod
    def template(cls, mode: str = "heterodyne", n_components: int | None = None) -> ConfigManager:
        """Return a complete configuration of a mode to start from.

        Parameters
        ----------
        mode : str
            Analysis mode.
        n_components : int, optional
            For mode ``"multicomponent"``; 2 when not given.
        """
        return cls.from_dict(template_values(mode, n_components))

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON schema of a configuration, from which a form can be built.

        Beside the schema proper, key ``"parameters"`` lists name, unit, default, bounds and description
        of the published parameters of each mode.
        """
        schema = Settings.model_json_schema()
        schema["parameters"] = {
            mode: [
                {
                    "name": spec.name,
                    "unit": spec.unit,
                    "default": spec.default,
                    "minimum": spec.lower,
                    "maximum": spec.upper,
                    "description": spec.description,
                }
                for spec in specs
            ]
            for mode, specs in PARAMETERS.items()
        }
        return schema

    def _set_up(self, values: Mapping[str, Any], path: Path | None, earlier: tuple[str, ...] = ()) -> None:
        self.path = path
        self._settings: Settings | None = None
        self._table: ParameterTable | None = None
        self._error: ConfigurationProblems | None = None
        require_plain(values, where=self.name)
        done = translate(values)
        self._validate(done)
        adjusted = self._table.notes if self._table else ()
        #: What was translated, adjusted or ignored, every setting by name.
        self.notes: tuple[str, ...] = tuple(
            dict.fromkeys([*earlier, *done.translated, *done.ignored, *adjusted])
        )
        if brief := [note for note in (*done.briefly, *adjusted) if note not in earlier]:
            text = f"{self.name}: not everything is used (.notes names every setting)"
            lines = "\n".join(f"  - {line}" for line in brief)
            warn(f"{text}\n{lines}", ConfigurationWarning)

    def _validate(self, done: Translation) -> None:
        try:
            self._settings, self._table = validate_settings(
                done.values, earlier=done.problems, also_known=FOREIGN_SECTIONS
            )
        except ConfigurationProblems as error:
            written = [done.as_written(problem) for problem in error.problems]
            self._error = ConfigurationProblems(written, where=self.name)

    @property
    def name(self) -> str:
        """File name, or ``"configuration"`` when there is no file."""
        return self.path.name if self.path else "configuration"

    def validate(self) -> bool:
        """Whether the settings are right; what is wrong with them is in :attr:`problems`."""
        return self._error is None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong, empty where nothing is.

        Each problem has the dotted path as written in the file, the value, what is allowed, and the
        nearest valid name where a name is unknown.
        """
        return self._error.problems if self._error is not None else ()

    def require_valid(self) -> None:
        """Raise one ConfigurationError that lists every problem, if there is any."""
        if self._error is not None:
            raise ConfigurationProblems(self._error.problems, where=self._error.where)

    @property
    def settings(self) -> Settings:
        """The validated settings; raises like :meth:`require_valid`."""
        self.require_valid()
        assert self._settings is not None
        return self._settings

    @property
    def parameters(self) -> ParameterTable:
        """Start values, bounds and roles of the parameters; raises like :meth:`require_valid`."""
        self.require_valid()
        assert self._table is not None
        return self._table

    def get_analysis_settings(self) -> dict[str, Any]:
        """Return mode, its static form, and names and start values of the parameters."""
        mode, table = self.settings.mode, self.parameters
        static = mode.startswith("static_")
        return {
            "mode": mode,
            "static_mode": static,
            "static_submode": mode.removeprefix("static_") if static else None,
            "n_components": self.settings.analysis_settings.n_components,
            "n_parameters": len(table),
            "parameter_names": list(table.names),
            "active_parameters": [n for n, v in zip(table.names, table.vary, strict=True) if v],
            "initial_values": table.values.tolist(),
        }

    @property
    def data_path(self) -> Place:
        """Absolute path of the data file; an error when none is given or it does not exist."""
        return resolve_data_path(self.settings.data, self.path)

    @property
    def angles(self) -> tuple[float, ...] | None:
        """Azimuths given for files that do not say them, in degrees, read from their file if need be."""
        return read_angles(self.settings.data, self.path)

    def to_dict(self) -> dict[str, Any]:
        """Return all settings as plain values."""
        return plain_values(self.settings)

    def to_text(self, form: str = "yaml") -> str:
        """Return all settings as ``"yaml"`` (with comments), ``"json"`` or ``"toml"`` text."""
        return as_text(self.settings, form)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the configuration; the extension tells the format (.json, .yaml, .yml, .toml).

        Relative data paths of a configuration that came from a file keep pointing at the same data.

        Returns
        -------
        pathlib.Path
            The file.
        """
        target = Path(path).expanduser().resolve()
        form = format_of(target)
        make_folder(target.parent)
        write_text(target, as_text(relocated(self.settings, self.path, target), form))
        return target

    def updated(self, changes: Mapping[str, Any]) -> ConfigManager:
        """Return a copy with some settings changed.

        Parameters
        ----------
        changes : mapping
            Dotted path to new value, e.g. ``{"optimization.loss": "huber"}``.
        """
        values = self.to_dict()
        for dotted, value in changes.items():
            *sections, key = dotted.split(".")
            home = values
            for name in sections:
                home = home.setdefault(name, {})
                if not isinstance(home, dict):
                    raise ConfigurationError(f"{name!r} is no section", where=dotted)
            home[key] = value
        manager = type(self).__new__(type(self))
        manager._set_up(values, self.path, self.notes)
        manager.require_valid()
        return manager

    def diff(self, other: ConfigManager | None = None) -> tuple[Difference, ...]:
        """Return what differs from another configuration, or from the template of this mode.

        Parameters are compared by what they amount to, e.g. ``initial_parameters.D0.upper``, not by
        the way they are written.
        """
        if other is None:
            other = self.template(self.settings.mode, self.settings.analysis_settings.n_components)
        return differences(self._effective(), other._effective())

    def _effective(self) -> dict[str, Any]:
        return self.to_dict() | {"initial_parameters": effective_parameters(self.parameters)}

    def __eq__(self, other: object) -> bool:
        """Whether two configurations ask for the same, data files included.

        Relative data paths are compared as written when one of the two has no file yet.
        """
        if not isinstance(other, ConfigManager):
            return NotImplemented
        if self._error is not None or other._error is not None:
            mine, theirs = self._error, other._error
            return bool(mine and theirs and mine.problems == theirs.problems)
        if self.path is None or other.path is None:
            return self.settings == other.settings
        return relocated(self.settings, self.path, None) == relocated(other.settings, other.path, None)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return _line(self.name, self._settings, self._error)

    def _repr_html_(self) -> str:
        return _page(self.name, self._settings, self._table, self._error, self.notes)


class Difference(NamedTuple):
    """One setting that two configurations hold differently; None where one does not hold it."""

    path: str
    value: Any
    other: Any

    def __str__(self) -> str:
        return f"{self.path}: {self.value!r} instead of {self.other!r}"


def differences(values: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Return the settings that differ, by dotted path, in the order of the first."""
    mine, theirs = dict(_flat(values)), dict(_flat(other))
    paths = [*mine, *(path for path in theirs if path not in mine)]
    return tuple(Difference(p, mine.get(p), theirs.get(p)) for p in paths if mine.get(p) != theirs.get(p))


def effective_parameters(table: ParameterTable) -> dict[str, dict[str, Any]]:
    """Return what each parameter amounts to; the value is None where the user gave none."""
    return {
        name: {
            "value": float(table.values[i]) if table.given[i] else None,
            "lower": float(table.lower[i]),
            "upper": float(table.upper[i]),
            "role": table.role[i],
            "prior": table.prior[i],
        }
        for i, name in enumerate(table.names)
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}.")
        else:
            yield path, value


def _line(name: str, settings: Settings | None, error: ConfigurationProblems | None) -> str:
    """Return one line: the file, the mode, the data, or how many problems there are."""
    if settings is None:
        return f"ConfigManager({name}: {len(error.problems) if error else 0} problems)"
    return printable(f"ConfigManager({name}: {settings.mode}, {_data(settings)}, {_methods(settings)})")


def _page(
    name: str,
    settings: Settings | None,
    table: ParameterTable | None,
    error: ConfigurationProblems | None,
    notes: Sequence[str],
) -> str:
    """Return a summary, the parameters, and what is wrong or not used."""
    parts = [f"<div><h4>{escape(name)}</h4>"]
    if error is not None:
        parts.append(_listed("Problems", error.problems))
    if settings is not None:
        rows = "".join(f"<tr><th>{k}</th><td>{escape(v)}</td></tr>" for k, v in _summary(settings))
        parts.append(f"<table>{rows}</table>")
    if table is not None:
        parts.append(table._repr_html_())
    if notes:
        parts.append(_listed("Notes", notes))
    return "".join([*parts, "</div>"])


def _listed(title: str, entries: Iterable[object]) -> str:
    items = "".join(f"<li>{escape(str(entry))}</li>" for entry in entries)
    return f"<details open><summary>{title}</summary><ul>{items}</ul></details>"


def _summary(settings: Settings) -> Iterable[tuple[str, str]]:
    temporal, choice = settings.temporal, settings.scattering.selection
    last = "last" if temporal.end_frame is None else str(temporal.end_frame)
    yield "mode", settings.mode
    yield "data", _data(settings)
    yield "time step", "from the data" if temporal.dt is None else f"{temporal.dt:g} s"
    yield "frames", f"{temporal.start_frame} to {last}"
    yield "q", "all" if choice is None else f"{_q(choice)} 1/Å"
    if settings.geometry.gap is not None:
        yield "gap", f"{settings.geometry.gap:g} Å"
    ranges = settings.angle_filtering.ranges
    yield "angles", ", ".join(f"{a:g} to {b:g}°" for a, b in ranges) if ranges else "all"
    yield "fit", f"{_methods(settings)}, loss {settings.optimization.loss}"
    yield "output", settings.output.directory


def _q(choice: float | list[float] | tuple[float, float]) -> str:
    if isinstance(choice, tuple):
        return f"{choice[0]:g} to {choice[1]:g}"
    return ", ".join(f"{q:g}" for q in (choice if isinstance(choice, list) else [choice]))


def _data(settings: Settings) -> str:
    return settings.data.file or "no data file"


def _methods(settings: Settings) -> str:
    return ", ".join(settings.optimization.classical.methods)
