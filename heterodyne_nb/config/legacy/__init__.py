"""Configurations of heterodyne-analysis, homodyne-analysis, heterodyne 2 and xpcsjax, translated to the schema.

Their long JSON templates are read section by section. What has a meaning here is moved to its place,
what has none is reported by name, and a key that looks like a misspelt one is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heterodyne_nb.config.legacy.nlsq import is_nlsq, translate_nlsq
from heterodyne_nb.config.legacy.parameters import refuse_other_keys, translate_mode
from heterodyne_nb.config.legacy.templates import FOREIGN_SECTIONS, translate_templates
from heterodyne_nb.config.legacy.translation import Foreign, Translation, without_comments

__all__ = ["FOREIGN_SECTIONS", "translate"]


def is_foreign(values: Mapping[str, Any]) -> bool:
    """Whether a configuration has a section that only the other packages write."""
    return is_nlsq(values) or any(name in values for name in FOREIGN_SECTIONS)


def translate(values: Mapping[str, Any]) -> Translation:
    """Bring any configuration into the form of the schema.

    Parameters
    ----------
    values : mapping
        A configuration of this package, of heterodyne-analysis, homodyne-analysis, heterodyne 2 or xpcsjax.
        Keys that begin with ``_`` are comments.

    Returns
    -------
    Translation
        Values in the form of the schema, notes on what was translated and ignored, and problems.
    """
    if not is_foreign(values):
        foreign = Foreign({k: v for k, v in values.items() if k in ("analysis_settings", "analysis_mode")})
        done = Translation({k: v for k, v in without_comments(values).items() if k != "analysis_mode"})
        translate_mode(foreign, done, values)
        refuse_other_keys(foreign, done)
        return done
    return translate_nlsq(values) if is_nlsq(values) else translate_templates(values)
