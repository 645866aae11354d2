"""Configuration files: found, read with errors that say where they are broken, and written so that they explain themselves."""

from __future__ import annotations

import json
import os
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from heterodyne_nb.config.parameters import MULTICOMPONENT, mode_parameters
from heterodyne_nb.config.schema import Data, Settings
from heterodyne_nb.errors import ConfigurationError, MissingConfigurationError, MissingFileError
from heterodyne_nb.models.parameters import ParameterSpec
from heterodyne_nb.options.fields import choices_of, limits, unit_of
from heterodyne_nb.options.problems import nearest, section_at
from heterodyne_nb.remote import Place, is_url, place
from heterodyne_nb.text.escaping import printable

#: File format by extension.
FORMATS: dict[str, str] = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}


def read_file(path: Path) -> dict[str, Any]:
    """Read a configuration file into plain values.

    ``path``: File; its extension tells the format, and without a known one its content does.

    Raises MissingConfigurationError: When there is no such file. Raises ConfigurationError: When it cannot be parsed,
    holds a key twice, holds no sections, or is too large, too deep or no plain text.
    """
    text = _text(path)
    values = parse(text, FORMATS.get(path.suffix.lower()), where=path.name)
    if not isinstance(values, dict):
        found = "nothing" if values is None else f"a {type(values).__name__}"
        raise ConfigurationError(
            f"holds {found} instead of sections",
            where=path.name,
            expected="sections such as analysis_settings",
        )
    return values


def _text(path: Path) -> str:
    if path.is_dir():
        raise ConfigurationError("is a folder", where=str(path), expected="a configuration file")
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise ConfigurationError(f"has {size} bytes", where=str(path), expected=f"at most {LARGEST}")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob("*") if p.suffix.lower() in FORMATS)
        hint = f"the folder has {', '.join(near[:8])}" if near else None
        raise MissingConfigurationError("no such configuration file", where=str(path), hint=hint) from None
    except UnicodeDecodeError:
        raise ConfigurationError(
            "is not a text file", where=str(path), expected="JSON, YAML or TOML in UTF-8"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", where=str(path)) from None


def parse(text: str, form: str | None, *, where: str) -> Any:
    """Parse a text of the given format, or of the first format that fits it."""
    if form is not None:
        return _PARSERS[form](text, where)
    failures = []
    for name in ("json", "toml", "yaml"):
        try:
            values = _PARSERS[name](text, where)
        except ConfigurationError as error:
            failures.append(f"{name.upper()}: {error.message}")
            continue
        if isinstance(values, dict):
            return values
        failures.append(f"{name.upper()}: no sections")
    raise ConfigurationError(
        "is neither JSON, YAML nor TOML (" + "; ".join(failures) + ")",
        where=where,
        expected="an extension .json, .yaml, .yml or .toml, and a content that fits",
    )


def _parse_json(text: str, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, where), parse_int=_integer)
    except json.JSONDecodeError as error:
        raise _broken("JSON", error.msg, error.lineno, error.colno, where) from None
    except RecursionError:
        raise _too_deep(where) from None
    except OverflowError as error:
        raise ConfigurationError(str(error), where=where, expected=_NUMBERS) from None


def _parse_toml(text: str, where: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"is not valid TOML: {error}", where=where) from None
    except RecursionError:
        raise _too_deep(where) from None
    except ValueError:  # the one thing that tomllib leaves to int()
        raise ConfigurationError(
            "holds a number of thousands of digits", where=where, expected=_NUMBERS
        ) from None


def _parse_yaml(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _broken("YAML", error.problem or "unreadable", line, column, where) from None
    except RecursionError:
        raise _too_deep(where) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise ConfigurationError(f"is not valid YAML: {error}", where=where) from None


def _broken(form: str, problem: str, line: int, column: int, where: str) -> ConfigurationError:
    return ConfigurationError(f"is not valid {form}: {problem}, line {line}, column {column}", where=where)


def _unique(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    """Build a mapping; a key that stands twice is an error, not a choice of the last."""
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = sorted({str(key) for key, _ in pairs if sum(key == other for other, _ in pairs) > 1})
        raise ConfigurationError(f"holds twice in one section: {', '.join(twice)}", where=where)
    return values


def _half(character: str) -> bool:
    """Half a character; not a byte of a file name that is not UTF-8, which Python writes as U+DC80 to U+DCFF."""
    return "\ud800" <= character <= "\udfff" and not "\udc80" <= character <= "\udcff"


def _too_deep(where: str) -> ConfigurationError:
    return ConfigurationError("is nested too deeply", where=where, expected=f"at most {DEEPEST} levels")


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise OverflowError(f"holds a number of {len(text)} digits")
    return int(text, 16 if "x" in text else 10)


#: Limits of a configuration: bytes of the file, levels of nesting, values with everything that aliases repeat.
LARGEST, DEEPEST, MOST = 4_000_000, 40, 200_000
_DIGITS, _NUMBERS = 300, "numbers up to 1e300"


def require_plain(values: Any, *, where: str) -> None:
    """Raise where values are too many, too deep, too large, or texts that no file or screen can hold.

    Raises ConfigurationError: With the path of the value.
    """
    left, waiting = MOST, [("", values, 0)]
    while waiting:
        path, value, depth = waiting.pop()
        left -= 1
        if left < 0 or depth > DEEPEST:
            raise (
                _too_deep(where)
                if depth > DEEPEST
                else ConfigurationError(
                    f"holds more than {MOST} values", where=where, hint="mind aliases that repeat each other"
                )
            )
        at = printable(f"{where}: {path.removeprefix('.')}" if path else where)
        if isinstance(value, int) and not -(10**_DIGITS) <= value <= 10**_DIGITS:
            raise ConfigurationError("the number is too large", where=at, expected=_NUMBERS)
        if isinstance(value, str) and ("\0" in value or any(_half(c) for c in value)):
            raise ConfigurationError(
                f"the text {printable(value[:40])!r} holds NUL or half a character",
                where=at,
                expected="plain text",
            )
        if isinstance(value, Mapping):
            waiting += [(path, key, depth) for key in value if isinstance(key, str)]
            waiting += [(f"{path}.{key}", one, depth + 1) for key, one in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(f"{path}[{k}]", one, depth + 1) for k, one in enumerate(value)]


_MERGE, _INT, _FLOAT = (f"tag:yaml.org,2002:{kind}" for kind in ("merge", "int", "float"))


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: numbers as in YAML 1.2 (1e-6 and 010 are 1e-6 and 10, 1:30 is a text), a key stands once,
    keys are texts, ``<<`` merges.
    """

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_INT, _FLOAT)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = [k.value for k, _ in node.value if isinstance(k, yaml.ScalarNode) and k.tag != _MERGE]
        twice = sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) < len(keys) else []
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"holds twice in one section: {', '.join(twice)}", node.start_mark
            )
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        return {str(key): value for key, value in super().construct_mapping(node, deep=deep).items()}

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        return _integer(str(self.construct_scalar(node)))

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        return float(str(self.construct_scalar(node)).lower().replace(".inf", "inf").replace(".nan", "nan"))


#: What is a number in YAML: tag, pattern, first characters. Who writes YAML must quote texts that match.
YAML_FLOAT = (
    _FLOAT,
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver(_INT, re.compile(r"^[-+]?\d+$|^0x[\da-fA-F]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(*YAML_FLOAT)
_Loader.add_constructor(_INT, _Loader.construct_yaml_int)
_Loader.add_constructor(_FLOAT, _Loader.construct_yaml_float)

_PARSERS = {"json": _parse_json, "toml": _parse_toml, "yaml": _parse_yaml}


def plain_values(settings: Settings) -> dict[str, Any]:
    """Return the settings as dicts, lists, texts and numbers."""
    return settings.model_dump(mode="json")


def as_text(settings: Settings, form: str) -> str:
    """Return the settings as ``"json"``, ``"yaml"`` or ``"toml"`` text.

    Only YAML carries comments. TOML knows no null, so settings that are null are left out there; null
    is the default of each of them.
    """
    values = plain_values(settings)
    if form == "yaml":
        return annotated_yaml(settings, values)
    if form == "toml":
        import tomli_w

        return tomli_w.dumps(_without_nulls(values))
    if form == "json":
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    raise ConfigurationError(f"unknown format {form!r}", expected=", ".join(sorted(set(FORMATS.values()))))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return [_without_nulls(v) for v in value] if isinstance(value, list) else value


def format_of(path: Path) -> str:
    """Return the format that a file's extension asks for."""
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        likely = nearest(path.suffix, FORMATS)
        raise ConfigurationError(
            f"extension {path.suffix!r} tells no format",
            where=str(path),
            expected=", ".join(FORMATS),
            hint=f"did you mean {likely!r}?" if likely else None,
        )
    return form


class _Dumper(yaml.SafeDumper):
    """Quotes every text that our reader would take for a number."""


_Dumper.add_implicit_resolver(*YAML_FLOAT)

_WIDTH = 110
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_BY_PARAMETER = ("values", "bounds", "priors")


def annotated_yaml(settings: Settings, values: dict[str, Any]) -> str:
    """Write the settings as YAML that a person can read and edit.

    ``settings``: Their mode tells the units of the parameters. ``values``: The settings as plain values.
    """
    specs = {s.name: s for s in mode_parameters(settings.mode, settings.analysis_settings.n_components)}
    return "\n".join(_section(Settings, values, "", specs)).lstrip("\n") + "\n"


def _section(
    model: type[BaseModel], values: dict[str, Any], indent: str, specs: dict[str, ParameterSpec]
) -> Iterator[str]:
    for name, field in model.model_fields.items():
        value = values[name]
        inner = section_at(model, (name,))
        if inner is not None and isinstance(value, dict):
            if not indent:
                yield ""
            yield f"{indent}# {field.description}"
            yield f"{indent}{name}:"
            yield from _section(inner, value, indent + "  ", specs)
        elif name in _BY_PARAMETER and isinstance(value, dict) and value:
            yield from _with_comment(f"{indent}{name}:", field.description or "", indent)
            yield from _by_parameter(name, value, indent + "  ", specs)
        else:
            yield from _with_comment(f"{indent}{name}: {_flow(value)}", comment_of(field), indent)
    for name in values.keys() - model.model_fields.keys():  # sections of registered methods
        yield f"{indent}{name}: {_flow(values[name])}"


def _by_parameter(
    name: str, value: dict[str, Any], indent: str, specs: dict[str, ParameterSpec]
) -> Iterator[str]:
    for key, entry in value.items():
        spec = specs.get(key)
        text = f"[{spec.unit}] {spec.description}" if spec else ""
        yield from _with_comment(f"{indent}{_flow(key)}: {_flow(entry)}", text, indent)


def _with_comment(line: str, comment: str, indent: str) -> Iterator[str]:
    """Put the comment behind the line, or above it where that would be too wide."""
    comment = printable(comment)
    if not comment:
        yield line
    elif len(line) + len(comment) + 4 <= _WIDTH:
        yield f"{line}  # {comment}"
    else:
        yield from textwrap.wrap(
            comment, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
        )
        yield line


def comment_of(field: FieldInfo) -> str:
    """Return unit, description, allowed names and range of a field in one line."""
    parts = [f"[{unit_of(field)}]"] if unit_of(field) else []
    parts.append(field.description or "")
    allowed = ", ".join(f"{_SIGNS[key]} {end:g}" for key, end in limits(field).items())
    if allowed := allowed or " | ".join(choices_of(field)):
        parts.append(f"({allowed})")
    return " ".join(parts)


def _flow(value: Any) -> str:
    text = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=True,
        allow_unicode=True,
        sort_keys=False,
        width=float("inf"),
    )
    return text.removesuffix("\n").removesuffix("...").rstrip("\n")


_TYPICAL_GAP = 2e6  # 200 µm, a usual shear cell


def template_values(mode: str, n_components: int | None = None) -> dict[str, Any]:
    """Return the sections that a person fills in, with the bounds of the mode and no start values.

    Without start values a fit guesses them from the data, which beats any constant.

    ``mode``: Analysis mode. ``n_components``: For mode ``"multicomponent"``; 2 when not given.

    Raises ConfigurationError: For an unknown mode.
    """
    if mode == MULTICOMPONENT and n_components is None:
        n_components = 2
    specs = mode_parameters(mode, n_components)
    values: dict[str, Any] = {
        "metadata": {"title": "Untitled analysis"},
        "analysis_settings": {"mode": mode, "n_components": n_components},
        "data": {"file": "my_data.h5"},
        "initial_parameters": {"bounds": {spec.name: [spec.lower, spec.upper] for spec in specs}},
    }
    if mode == "laminar_flow":
        values["geometry"] = {"gap": _TYPICAL_GAP}
    return values


def resolve_data_path(data: Data, config: Path | None) -> Place:
    """Return the absolute path of the data file, or its address.

    ``data``: The ``data`` section. ``config``: The configuration file; None: relative paths start at the working
    directory.

    Raises ConfigurationError: When no data file is given. Raises MissingFileError: When it does not exist.
    """
    if data.file is None:
        raise ConfigurationError(
            "is not given, but data are needed", where="data.file", expected="a data file"
        )
    if is_url(data.file) or is_url(data.folder or ""):
        return place(data.file if is_url(data.file) else f"{str(data.folder).rstrip('/')}/{data.file}")
    relative = Path(data.folder or "", data.file).expanduser()
    path = (_base(config) / relative).resolve()
    if not path.exists():
        raise MissingFileError("no such data file", where=str(path), hint=_hint(relative, path, config))
    return path


def _base(config: Path | None) -> Path:
    return config.parent if config is not None else Path.cwd()


def _hint(relative: Path, path: Path, config: Path | None) -> str | None:
    if relative.is_absolute():
        return None
    start = "the folder of the configuration" if config is not None else "the working directory"
    if relative.exists() and config is not None:
        return f"{relative} exists in the working directory, but data paths start at {start}"
    if not path.parent.exists():
        return f"there is no folder {path.parent}; relative data paths start at {start}"
    return f"relative data paths start at {start}"


def read_angles(data: Data, config: Path | None) -> tuple[float, ...] | None:
    """Return ``data.phi`` in degrees, read from its text file when it names one."""
    if not isinstance(data.phi, str):
        return data.phi
    path = (_base(config) / Path(data.phi).expanduser()).resolve()
    if not path.is_file():
        raise MissingFileError(
            "no such file of angles", where=str(path), hint=_hint(Path(data.phi), path, config)
        )
    numbers: list[float] = []
    for k, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        for word in line.partition("#")[0].replace(",", " ").split():
            try:
                numbers.append(float(word))
            except ValueError:
                raise ConfigurationError(
                    f"line {k}: {word!r} is not a number", where=str(path), expected="angles in degrees"
                ) from None
    if not numbers:
        raise ConfigurationError("holds no angle", where=str(path), expected="angles in degrees")
    return tuple(numbers)


def relocated(settings: Settings, source: Path | None, target: Path | None) -> Settings:
    """Return settings whose data paths, as seen from ``target``, lead where they led from ``source``.

    Without a source file nothing changes: such paths belong to whatever file they are saved in.
    With a source but no target they become absolute.
    """
    if source is None or (target is not None and source.parent == target.parent):
        return settings
    data, base = settings.data, source.parent
    changes: dict[str, object] = {}
    if data.folder is not None:
        changes["folder"] = _moved(data.folder, base, target)
    elif data.file is not None:
        changes["file"] = _moved(data.file, base, target)
    if isinstance(data.phi, str):
        changes["phi"] = _moved(data.phi, base, target)
    return settings.model_copy(update={"data": data.model_copy(update=changes)})


def _moved(path: str, base: Path, target: Path | None) -> str:
    if is_url(path) or Path(path).expanduser().is_absolute():
        return path
    absolute = Path(os.path.normpath(base / path))
    if target is None:
        return str(absolute)
    try:
        return Path(os.path.relpath(absolute, target.parent)).as_posix()
    except ValueError:  # another drive
        return str(absolute)
