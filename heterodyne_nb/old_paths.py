"""Import paths, names and calls of before: the same objects, for one version, with a warning.

``import heterodyne_nb.results.reach`` gives :mod:`heterodyne_nb.uncertainty.bands`, and ``from heterodyne_nb.results
import bootstrap`` what :mod:`heterodyne_nb.assess` has. To be taken out again: this file, its lines in
``heterodyne_nb/__init__.py``, ``heterodyne_nb/analysis/__init__.py`` and ``heterodyne_nb/plots``, and its test.
"""

from __future__ import annotations

import functools
import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeVar, cast

#: (old folder, new folder): files that went from the one to the other.
_FILES: dict[tuple[str, str], str] = {
    ("analysis.", "robust."): "bad_bins robust_fit robust_parts",
    ("analysis.", "fitting."): "batch fitting fringe_reading one_time_fit two_time_fit",
    ("analysis.session.", "app.session."): (
        "actions configuration entries running script selection session state store tasks work"
    ),
    ("data.writers.", "data.formats."): "aps_legacy apsu nxxpcs",
    ("engine.", "robust."): "instrument",
    ("", "text."): "escaping",
    ("optimize.", "optimize.strategies."): (
        "curvature gauss_newton gurobi_qp gurobi_trust_region problem_view run scipy_strategies strategy trf"
    ),
    ("optimize.robust.", "robust."): ("ellipsoidal optimizer radius scenario sequential solvers wasserstein"),
    ("results.", "result."): "fit_result maps provenance record schema script trust",
    ("results.", "assess."): "bootstrap jackknife profile",
    ("results.", "uncertainty."): "derived identifiability",
    ("results.files.", "result.files."): "nexus",
    ("results.", "text."): "html numbers",
    ("results.", "fitting."): "same_fit",
    ("widgets.", "app."): (
        "app bin_picker config_editor config_form cut_panel data_explorer export_bar file_bar fit_panel frame_tools "
        "fringe_tool latest live_figure map_view number_field overlay panel parameter_editor result_panel "
        "robust_form robust_panel run_bar settings_form"
    ),
}
#: Files that have another name now.
_RENAMED = {
    "models.base": "models.model",
    "models.charts": "models.parametrisations",
    "models.check": "models.plugin",
    "models.functional": "models.one_time",
    "models.terms": "models.model",
}
#: Old folder: {new folder: names that the old one handed on}.
_NAMES: dict[str, dict[str, str]] = {
    "results": {
        "assess": "Bootstrap Jackknife Profiles bootstrap criticise jackknife profile",
        "fitting": "objective_of",
        "result": "FitResult batch_table collect_provenance",
        "uncertainty": "Identifiability identifiability",
    },
    "analysis": {
        "app": "AnalysisSession FitEntry FitSettings",
        "assess": "ModelComparison compare_models",
        "fitting": "fit fit_batch initial_guess",
        "robust": "detect_bad_bins fit_robust radius_path",
    },
}
#: New file: old files that became part of it.
_MERGED: dict[str, str] = {
    "app.config_form": "widgets.config_fields",
    "app.data_explorer": "widgets.colour_bar",
    "app.fit_panel": "widgets.history_list",
    "app.latest": "widgets.background",
    "app.live_figure": "widgets.frontend widgets.page_theme",
    "app.map_view": "widgets.frames widgets.trace_strip",
    "app.number_field": "widgets.value_slider",
    "app.overlay": "widgets.chi2_trace",
    "app.parameter_editor": "widgets.parameter_row",
    "app.result_panel": "widgets.result_views",
    "app.session.entries": "analysis.session.parameters analysis.session.settings",
    "app.session.selection": "analysis.session.origin",
    "app.session.session": "analysis.session.view",
    "app.session.state": "analysis.session.undo",
    "app.session.tasks": "analysis.session.preview",
    "assess.goodness_of_fit": "assess.criticism results.criticism",
    "assess.bootstrap": "results.draws",
    "engine.executors": "optimize.side_by_side",
    "config.files": "config.annotated config.paths config.reading config.templates config.writing",
    "config.legacy.nlsq": "config.legacy.conventions",
    "config.legacy.templates": "config.legacy.optimization config.legacy.reasons config.legacy.sections",
    "config.legacy.translation": "config.legacy.leftovers",
    "config.manager": "config.differences config.view",
    "config.parameters": "config.requests config.resolve config.ties",
    "config.schema": "config.experiment config.filters config.initial config.optimization config.validate",
    "models.parameters": "config.parameters_table",
    "options.fields": "config.fields",
    "options.problems": "config.messages config.problems",
    "assess.compare_models": "analysis.comparison_table analysis.model_comparison",
    "assess.profile": "results.profiles",
    "optimize.guess": "optimize.fringe_search",
    "optimize.strategies.problem_view": (
        "optimize.differences optimize.start optimize.strategies.differences optimize.strategies.start"
    ),
    "plots.batch": "plots.batch_curves",
    "plots.bin_model": "plots.binmodel plots.modelled",
    "plots.canvas": "plots.panels plots.theme",
    "plots.comparison": "plots.paired",
    "plots.curves": "plots.compare",
    "plots.export": "plots.stills",
    "plots.fringes": "plots.velocity",
    "plots.maps": "plots.bands plots.mapview plots.reduce",
    "plots.paper": "plots.stretch",
    "plots.quality": "plots.tiles",
    "plots.robust": "plots.radius plots.worst plots.worst_maps",
    "plots.report": "plots.page",
    "result.files": (
        "result.files.csv_table result.files.dispatch result.files.json_summary result.files.netcdf "
        "result.files.zarr_store results.files.csv_table results.files.dispatch results.files.json_summary "
        "results.files.netcdf results.files.zarr_store result.files.nexus result.files.text"
    ),
    "result.fit_result": "result.result_values results.result_values",
    "result.report": (
        "result.report_html result.report_parts result.report_text "
        "results.report_html results.report_parts results.report_text"
    ),
    "result.tables": "result.batch result.derived_table results.batch results.derived_table",
    "result.trust": "result.determined result.solutions results.determined results.solutions",
    "robust.ellipsoidal": "optimize.robust.inner",
    "robust.instrument": "engine.instrument_models optimize.robust.words",
    "robust.radius": "analysis.cross_validation analysis.robust_radius",
    "robust.scenario": "optimize.robust.violation",
    "robust.solvers": "optimize.robust.programs",
    "uncertainty.bands": "results.delta results.reach",
    "uncertainty.covariance": "results.clusters results.uncertainty",
    "uncertainty.derived": "results.targets",
    "uncertainty.identifiability": "results.identifiability_words",
    "uncertainty.reweighting": "results.curve_step results.one_step",
    "models.heterodyne": "models.fields models.multicomponent",
    "models.plugin": "models.plugin_parameters",
    "engine.problem": "engine.room",
    "engine.fast": "engine.model_products",
    "optimize.strategies.run": "optimize.strategies.confirm",
    "optimize.strategies.gauss_newton": "optimize.strategies.curvature",
    "optimize.strategies.gurobi_trust_region": "optimize.strategies.gurobi_qp",
    "robust.robust_fit": "robust.robust_parts",
    "result.record": "result.schema",
    "result.provenance": "result.script",
    "uncertainty.change_points": "uncertainty.smoothness",
    "options.fit": "options.execution options.uncertainty",
    "config.legacy.parameters": "config.legacy.modes",
    "text.html": "text.tables",
    "simulate.example": "simulate.make_example",
    "analysis.core": "analysis.methods",
    "simulate.components": "simulate.inputs",
    "engine.normal": "engine.contrast",
    "simulate.experiment": "simulate.maps",
}
#: Old name in a folder: new one.
RENAMED: dict[str, dict[str, str]] = {
    "plots": {"criticism": "goodness_of_fit", "influence": "jackknife"},
}
_ROOT = "heterodyne_nb."
_View = TypeVar("_View", bound=Callable[..., Any])

#: Old module: new module.
MODULES: dict[str, str] = {
    **{
        f"{_ROOT}data.{old}": f"{_ROOT}data.{new}"
        for new, olds in {
            "dataset": "bins model",
            "cuts": "g2",
            "open": "lazy",
            "prepare": "masks merge select",
            "noise": "lag_noise",
        }.items()
        for old in olds.split()
    },
    f"{_ROOT}data.own": f"{_ROOT}data.formats.native",
    f"{_ROOT}data.plain": f"{_ROOT}data.formats.arrays",
    f"{_ROOT}data.writers": f"{_ROOT}data.formats",
    f"{_ROOT}analysis.session": f"{_ROOT}app.session",
    f"{_ROOT}optimize.robust": f"{_ROOT}robust",
    f"{_ROOT}results.files": f"{_ROOT}result.files",
    f"{_ROOT}widgets": f"{_ROOT}app",
    **{f"{_ROOT}{old}": f"{_ROOT}{new}" for old, new in _RENAMED.items()},
    **{
        f"{_ROOT}{old}{file}": f"{_ROOT}{new}{file}"
        for (old, new), files in _FILES.items()
        for file in files.split()
    },
    **{f"{_ROOT}{old}": f"{_ROOT}{new}" for new, files in _MERGED.items() for old in files.split()},
}
for _old in MODULES:  # what moved twice
    while MODULES[_old] in MODULES:
        MODULES[_old] = MODULES[MODULES[_old]]
#: Old folder: {name that it handed on: new folder}.
NAMES: dict[str, dict[str, str]] = {
    old: {name: new for new, names in homes.items() for name in names.split()}
    for old, homes in _NAMES.items()
}
#: Folders that are gone and whose names have several new homes.
FOLDERS = ("results",)


def install() -> None:
    """Let the old paths be imported."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        # first of all: a new folder must not be searched for files by their old names
        sys.meta_path.insert(0, _Finder())


def moved_name(folder: str, name: str) -> Any:
    """What ``heterodyne_nb.<folder>`` handed on under this name: for the ``__getattr__`` of a module.

    Raises AttributeError: If it handed on nothing of that name.
    """
    home = NAMES[folder].get(name)
    if home is None:
        raise AttributeError(f"module '{_ROOT}{folder}' has no attribute {name!r}")
    _warn(f"{_ROOT}{folder}.{name}", f"{_ROOT}{home}.{name}", stacklevel=4)
    return getattr(importlib.import_module(_ROOT + home), name)


def moved_module(name: str) -> ModuleType:
    """The module that took the place of ``heterodyne_nb.<name>``: for the ``__getattr__`` of the package it was in."""
    old = f"{_ROOT}{name}"
    _warn(old, MODULES[old], stacklevel=4)
    return importlib.import_module(MODULES[old])


def renamed(folder: str, name: str) -> Any:
    """What ``heterodyne_nb.<folder>.<name>`` is called now, a function or a file: for the folder's ``__getattr__``.

    Raises AttributeError: If there was nothing of that name.
    """
    old, new = f"{_ROOT}{folder}.{name}", RENAMED[folder].get(name)
    if new is not None:
        _warn(old, f"{_ROOT}{folder}.{new}", stacklevel=4)
        return getattr(importlib.import_module(_ROOT + folder), new)
    if old not in MODULES:
        raise AttributeError(f"module '{_ROOT}{folder}' has no attribute {name!r}")
    _warn(old, MODULES[old], stacklevel=4)
    return importlib.import_module(MODULES[old])


def _warn(old: str, new: str, stacklevel: int = 3) -> None:
    warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=stacklevel)


def formerly(*order: str, **renamed: str) -> Callable[[_View], _View]:
    """Let a function of (dataset, result) be called as before for one version, with a warning.

    ``*order``: Its positional arguments of before, of which the first was the result. ``**renamed``: Keyword of
    before = keyword of now.
    """

    import inspect

    def wrap(view: _View) -> _View:
        now = list(inspect.signature(view).parameters.values())[: len(order)]
        shown = [p.name if p.kind is p.POSITIONAL_OR_KEYWORD else f"{p.name}=…" for p in now]

        @functools.wraps(view)
        def called(*given: Any, **named: Any) -> Any:
            for old in renamed.keys() & named.keys():
                _warn(f"{view.__name__}({old}=…)", f"{view.__name__}({renamed[old]}=…)")
                named[renamed[old]] = named.pop(old)
            result_first = order and given and hasattr(given[0], "curve_names")
            if result_first and (now[0].name != "result" or len(given) > 1):
                _warn(f"{view.__name__}({', '.join(order)})", f"{view.__name__}({', '.join(shown)})")
                return view(**dict(zip(order, given, strict=False)), **named)
            return view(*given, **named)

        return cast(_View, called)

    return wrap


def either_order(view: _View) -> _View:
    """Let a function of (dataset, result) be given the two the other way round, as before, or a result alone."""

    @functools.wraps(view)
    def called(*given: Any, **named: Any) -> Any:
        if given and hasattr(given[0], "curve_names") and "result" not in named:
            result, *others = given
            data = others[:1] or ([named.pop("dataset")] if "dataset" in named else [None])
            return view(*data, result, *others[1:], **named)
        return view(*given, **named)

    return cast(_View, called)


class _Folder(ModuleType):
    """A folder that is gone: it hands on what it held."""

    def __getattr__(self, name: str) -> Any:
        return moved_name(self.__name__.removeprefix(_ROOT), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in NAMES[self.__name__.removeprefix(_ROOT)]:  # bootstrap is the function, not the file
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted(NAMES[self.__name__.removeprefix(_ROOT)])


class _Loader(Loader):
    """Loads an old module by handing over the new one."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None if spec.name in MODULES else _Folder(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        if old in MODULES:
            _warn(old, MODULES[old])
            sys.modules[old] = importlib.import_module(MODULES[old])
        else:
            module.__dict__["__all__"] = dir(module)


class _Finder(MetaPathFinder):
    """Knows the old modules; those that never were are not searched for in the new folders."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(_ROOT):
            return None
        if name in MODULES or name.removeprefix(_ROOT) in FOLDERS:
            return ModuleSpec(name, _Loader(), is_package=name not in MODULES)
        if name.rpartition(".")[0] in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None
