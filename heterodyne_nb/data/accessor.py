"""``ds.xpcs.<verb>``: the package's functions as methods of a dataset."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any

import xarray as xr

from heterodyne_nb.data.units import converted

__all__ = ["XpcsAccessor"]

_VERBS: dict[str, str] = {
    "g2": "heterodyne_nb.data.cuts:g2_cuts",
    "select": "heterodyne_nb.data.prepare:select",
    "crop_frames": "heterodyne_nb.data.prepare:crop_frames",
    "exclude_points": "heterodyne_nb.data.prepare:exclude_points",
    "mask_frames": "heterodyne_nb.data.prepare:mask_frames",
    "unmask": "heterodyne_nb.data.prepare:unmask",
    "merge_bins": "heterodyne_nb.data.prepare:merge_bins",
    "estimate_sigma": "heterodyne_nb.data.sigma:estimate_sigma",
    "detect_bad_frames": "heterodyne_nb.data.sigma:detect_bad_frames",
    "fringe_spectrum": "heterodyne_nb.data.fringes:fringe_spectrum",
    "stack_bins": "heterodyne_nb.data.dataset:stack_bins",
    "unstack_bins": "heterodyne_nb.data.dataset:unstack_bins",
    "metadata": "heterodyne_nb.data.dataset:metadata",
    "fit": "heterodyne_nb.fitting.fitting:fit",
    "explore": "heterodyne_nb.app.data_explorer:explore",
}
_PLOTS: dict[str, str] = {
    "c2": "heterodyne_nb.plots:c2",
    "g2": "heterodyne_nb.plots:g2_cuts",
    "comparison": "heterodyne_nb.plots:comparison",
    "intensity": "heterodyne_nb.plots:intensity",
}


class _Verbs:
    """Looks a verb up in a table of ``module:function`` and calls it with the dataset first.

    The modules are imported when the verb is used, so a dataset costs no plotting library, and the data layer
    names the layers above it without depending on them.
    """

    def __init__(self, ds: xr.Dataset, table: Mapping[str, str], name: str) -> None:
        self._ds, self._table, self._name = ds, table, name

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        if verb.startswith("_"):  # copy and pickle ask for these before there is a table
            raise AttributeError(verb)
        if verb not in self._table:
            raise AttributeError(f"{self._name} has no {verb!r}; it offers {', '.join(sorted(self._table))}")
        module, _, function = self._table[verb].partition(":")
        found = getattr(importlib.import_module(module), function)
        return functools.update_wrapper(functools.partial(found, converted(self._ds)), found)

    def __dir__(self) -> list[str]:
        return sorted([*self._table, *(n for n in object.__dir__(self) if n.startswith("__"))])

    def __repr__(self) -> str:
        return f"<{self._name}: {', '.join(sorted(self._table))}>"


class _Plots(_Verbs):
    """Figures; ``plot()`` itself draws the maps where there are some, else the g2 curves."""

    def __call__(self, **settings: Any) -> Any:
        return (self.c2 if "c2" in self._ds else self.g2)(**settings)


@xr.register_dataset_accessor("xpcs")
class XpcsAccessor(_Verbs):
    """XPCS verbs of a dataset.

    ``ds.xpcs.g2(age=…, width=…, cut=…)``, ``.select``, ``.crop_frames``, ``.mask_frames``, ``.unmask``,
    ``.merge_bins``, ``.estimate_sigma``, ``.detect_bad_frames``, ``.fringe_spectrum``, ``.stack_bins``,
    ``.unstack_bins``, ``.metadata``, ``.fit``, ``.explore`` are the functions of :mod:`heterodyne_nb.data.prepare` and of the
    layers above with the dataset as first argument; ``.plot()``, ``.plot.c2``, ``.plot.g2``, … those of
    :mod:`heterodyne_nb.plots`.
    """

    def __init__(self, ds: xr.Dataset) -> None:
        super().__init__(ds, _VERBS, "ds.xpcs")

    @property
    def plot(self) -> _Plots:
        """Figures of this dataset; called, the first to look at."""
        return _Plots(self._ds, _PLOTS, "ds.xpcs.plot")

    def __dir__(self) -> list[str]:
        return sorted([*super().__dir__(), "plot"])
