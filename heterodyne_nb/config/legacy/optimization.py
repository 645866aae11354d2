"""Optimisation sections of the foreign templates: methods, their options, robust problems, angles."""

from __future__ import annotations

from typing import Any

from heterodyne_nb.options.fields import squeeze
from heterodyne_nb.config.legacy.leftovers import Foreign
from heterodyne_nb.config.legacy.translation import Translation
from heterodyne_nb.config.optimization import CLASSICAL_METHODS, ROBUST_METHODS

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
        method = next((m for m in CLASSICAL_METHODS if squeeze(m) == squeeze(name)), None)
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
    return [model, *(m for m in ROBUST_METHODS if m != model)] if model in ROBUST_METHODS else [model]


def translate_angles(foreign: Foreign, done: Translation) -> None:
    """Move the angle filter."""
    for key in ("enabled", "target_ranges", "fallback_to_all_angles"):
        path = f"{_ANGLES}.{key}"
        done.put(f"angle_filtering.{key}", foreign.take(path), path)
