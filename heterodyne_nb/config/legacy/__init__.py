"""Configurations of heterodyne-analysis, homodyne-analysis, heterodyne 2 and xpcsjax, translated to the schema.

Their long JSON templates are read section by section. What has a meaning here is moved to its place,
what has none is reported by name, and a key that looks like a misspelt one is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heterodyne_nb.config.legacy.leftovers import Foreign, without_comments
from heterodyne_nb.config.legacy.modes import refuse_other_keys, translate_mode
from heterodyne_nb.config.legacy.nlsq import is_nlsq, translate_nlsq
from heterodyne_nb.config.legacy.optimization import translate_angles, translate_optimization
from heterodyne_nb.config.legacy.parameters import translate_parameters
from heterodyne_nb.config.legacy.reasons import reason
from heterodyne_nb.config.legacy.sections import translate_data, translate_experiment, translate_output
from heterodyne_nb.config.legacy.translation import Translation
from heterodyne_nb.options.problems import Problem
from heterodyne_nb.config.schema import Settings

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
    return translate_nlsq(values) if is_nlsq(values) else _translate_foreign(values)


def _translate_foreign(values: Mapping[str, Any]) -> Translation:
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
