"""The outcome of a comparison of models: a table, and a verdict in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from heterodyne_nb.result import FitResult
from heterodyne_nb.text.html import heading, page, table
from heterodyne_nb.text.numbers import number, value_with_error

if TYPE_CHECKING:
    from heterodyne_nb.assess.model_comparison import Judged

#: A gain on held-out angles, in its standard errors, that counts; and a difference of a criterion that does.
_CLEAR, _DECISIVE = 2.0, 6.0


@dataclass(frozen=True, eq=False, repr=False)
class ModelComparison:
    """Modes compared on the same data; made by :func:`heterodyne_nb.compare_models`.

    Attributes
    ----------
    dataset : xarray.Dataset
        On (mode,), simplest first: ``numbers`` (fitted, contrast and offset included), ``chi2``, ``chi2_reduced``,
        ``clic`` and ``bic`` above the best, ``held_out`` (χ² per pixel of angles left out) and ``held_out_gain``
        (effective χ² gained on them over the next simpler mode that is kept) with ``held_out_gain_error``. On
        (mode, fold): ``held_out_fold``. Attributes: ``n_data``, ``n_effective``, ``inflation`` (n_data / n_effective),
        ``chosen``.
    fits : dict of str to FitResult
    """

    dataset: xr.Dataset
    fits: dict[str, FitResult]

    @classmethod
    def of(cls, judged: Sequence[Judged]) -> ModelComparison:
        """Compare the fits of several modes."""
        judged = sorted(judged, key=lambda one: (one.numbers, one.result.mode))
        best = min(judged, key=lambda one: one.result.chi2_reduced)
        s2, n_data = best.result.chi2_reduced, int(best.result.dataset.attrs["n_data"])
        inflation = max(best.trace / (best.numbers * s2), 1.0)
        chi2 = np.array([one.result.chi2 for one in judged])
        numbers = np.array([one.numbers for one in judged])
        clic = chi2 / s2 + 2 * np.array([one.trace for one in judged]) / s2
        bic = chi2 / (s2 * inflation) + numbers * np.log(n_data / inflation)
        folds = np.array([one.held_out for one in judged])
        data: dict[str, Any] = {
            "numbers": ("mode", numbers),
            "chi2": ("mode", chi2),
            "chi2_reduced": ("mode", [one.result.chi2_reduced for one in judged]),
            "clic": ("mode", clic - clic.min()),
            "bic": ("mode", bic - bic.min()),
        }
        if folds.size:
            data |= {
                "held_out": ("mode", folds.sum(axis=1) / n_data),
                "held_out_fold": (("mode", "fold"), folds),
            }
        names = [one.result.mode for one in judged]
        attrs = {"n_data": n_data, "n_effective": n_data / inflation, "inflation": inflation, "s2": s2}
        ds = xr.Dataset(data, coords={"mode": names}, attrs=attrs)
        return cls(_chosen(ds), {one.result.mode: one.result for one in judged})

    @property
    def chosen(self) -> str:
        """The mode the data ask for: the simplest that none of the richer ones clearly beats."""
        return str(self.dataset.attrs["chosen"])

    def table(self) -> pd.DataFrame:
        """One row a mode, simplest first."""
        keep = ("numbers", "chi2_reduced", "clic", "bic", "held_out", "held_out_gain", "held_out_gain_error")
        return self.dataset[[name for name in keep if name in self.dataset]].to_dataframe()

    def verdict(self) -> str:
        """Say in a sentence or two what the data ask for."""
        ds, names = self.dataset, self.dataset["mode"].values.tolist()
        at = names.index(self.chosen)
        told = [f"The data ask for {self.chosen}"]
        if at:
            told.append(f"{_listed(names[:at])} {'leaves' if at == 1 else 'leave'} too much over")
        if at + 1 < len(names):
            told.append(f"{_listed(names[at + 1 :])} {'is' if at + 2 == len(names) else 'are'} not justified")
        text = "; ".join(told) + "."
        for name in names:
            if not self.fits[name].success:
                text += f" The fit of {name} did not converge."
        others = {key: str(ds["mode"].values[int(np.argmin(ds[key].values))]) for key in ("clic", "bic")}
        against = sorted(
            {f"{key.upper()} prefers {name}" for key, name in others.items() if name != self.chosen}
        )
        return text + (f" But {' and '.join(against)}." if against else "")

    def __repr__(self) -> str:
        rows = _rows(self.dataset)
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([self.verdict(), *lines, _note(self.dataset)])

    def _repr_html_(self) -> str:
        head, *rows = _rows(self.dataset)
        marks = ["hnb-mark" if row[0] == self.chosen else "" for row in rows]
        return page(heading(self.verdict()) + table(head, rows, marks) + f"<p>{_note(self.dataset)}</p>")


def _chosen(ds: xr.Dataset) -> xr.Dataset:
    """Climb from the simplest mode to each richer one that clearly predicts better (or is clearly preferred).

    The scatter of a few folds is not well known itself: where BIC clearly objects, their gain alone is not enough.
    """
    count = ds.sizes["mode"]
    gain, error = np.full(count, np.nan), np.full(count, np.nan)
    kept = 0
    for k in range(1, count):
        if "held_out_fold" in ds:
            gained = ds["held_out_fold"].values[kept] - ds["held_out_fold"].values[k]
            unit = float(ds.attrs["s2"]) * float(ds.attrs["inflation"])
            gain[k] = gained.sum() / unit
            error[k] = np.sqrt(len(gained)) * gained.std(ddof=1) / unit
            objects = ds["bic"].values[k] - ds["bic"].values[kept] > _DECISIVE
            better = gain[k] > _CLEAR * max(error[k], 1.0) and not objects
        else:
            better = all(ds[key].values[kept] - ds[key].values[k] > _DECISIVE for key in ("clic", "bic"))
        kept = k if better else kept
    ds = ds.assign_attrs(chosen=str(ds["mode"].values[kept]))
    if "held_out_fold" not in ds:
        return ds
    return ds.assign(held_out_gain=("mode", gain), held_out_gain_error=("mode", error))


def _rows(ds: xr.Dataset) -> list[list[str]]:
    head = ["mode", "fitted numbers", "reduced χ²", "CLIC", "BIC"]
    with_folds = "held_out" in ds
    rows = [[*head, "held-out χ²", "gain on held-out"] if with_folds else head]
    for k in range(ds.sizes["mode"]):
        one = ds.isel(mode=k)
        row = [
            str(one["mode"].values),
            str(int(one["numbers"])),
            number(float(one["chi2_reduced"]), 4),
            f"+{number(float(one['clic']), 3)}",
            f"+{number(float(one['bic']), 3)}",
        ]
        if with_folds:
            gain = float(one["held_out_gain"])
            shown = "" if np.isnan(gain) else value_with_error(gain, float(one["held_out_gain_error"]))
            row += [number(float(one["held_out"]), 4), shown]
        rows.append(row)
    return rows


def _note(ds: xr.Dataset) -> str:
    attrs = ds.attrs
    return (
        f"{attrs['n_data']} pixels count as {number(float(attrs['n_effective']), 2)} independent ones "
        f"(a parameter takes up {number(float(attrs['inflation']), 2)} times the noise it would of independent pixels). "
        "CLIC, BIC: above the best. Gain: effective χ² on angles left out, over the mode kept so far."
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
