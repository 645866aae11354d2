"""Read a configuration file: JSON, YAML or TOML, with errors that say where it is broken."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from heterodyne_nb.errors import ConfigurationError, MissingFileError

#: File format by extension.
FORMATS: dict[str, str] = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}


def read_file(path: Path) -> dict[str, Any]:
    """Read a configuration file into plain values.

    Parameters
    ----------
    path : pathlib.Path
        File; its extension tells the format, and without a known one its content does.

    Raises
    ------
    MissingFileError
        When there is no such file.
    ConfigurationError
        When it cannot be parsed, holds a key twice, or holds no sections.
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
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob("*") if p.suffix.lower() in FORMATS)
        hint = f"the folder has {', '.join(near[:8])}" if near else None
        raise MissingFileError("no such configuration file", where=str(path), hint=hint) from None
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
        return json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, where))
    except json.JSONDecodeError as error:
        raise _broken("JSON", error.msg, error.lineno, error.colno, where) from None
    except RecursionError:
        raise ConfigurationError("is nested too deeply", where=where) from None


def _parse_toml(text: str, where: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"is not valid TOML: {error}", where=where) from None


def _parse_yaml(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _broken("YAML", error.problem or "unreadable", line, column, where) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
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


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: 1e-6 is a number, a key stands once, keys are texts."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"holds twice in one section: {', '.join(twice)}", node.start_mark
            )
        values = super().construct_mapping(node, deep=deep)
        return {str(key): value for key, value in values.items()}


#: What is a number in YAML: tag, pattern, first characters. Who writes YAML must quote texts that match.
YAML_FLOAT = (
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver(*YAML_FLOAT)

_PARSERS = {"json": _parse_json, "toml": _parse_toml, "yaml": _parse_yaml}
