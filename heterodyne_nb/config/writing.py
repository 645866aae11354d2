"""Write settings as JSON, TOML, or YAML that explains itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from heterodyne_nb.config.annotated import annotated_yaml
from heterodyne_nb.options.problems import nearest
from heterodyne_nb.config.reading import FORMATS
from heterodyne_nb.config.schema import Settings
from heterodyne_nb.errors import ConfigurationError


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
