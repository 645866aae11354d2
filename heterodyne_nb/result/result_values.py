"""What a result says, read from its one Dataset: values, errors, curves, and how they were found."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.result import record


@dataclass(frozen=True, eq=False, repr=False)
class ResultValues:
    """The readable side of a :class:`heterodyne_nb.FitResult`; its Dataset is copied and frozen."""

    _dataset: xr.Dataset

    def __post_init__(self) -> None:
        object.__setattr__(self, "_dataset", record.frozen(self._dataset))

    @property
    def dataset(self) -> xr.Dataset:
        """Everything, as a Dataset (a shallow copy: its arrays are read-only)."""
        return self._dataset.copy(deep=False)

    @property
    def mode(self) -> str:
        """Name of the model."""
        return str(self._dataset.attrs["mode"])

    @property
    def success(self) -> bool:
        """Whether the optimiser converged."""
        return bool(self._dataset.attrs["success"])

    @property
    def message(self) -> str:
        """Why the optimiser stopped."""
        return str(self._dataset.attrs["message"])

    @property
    def method(self) -> str:
        """Optimiser that gave the result."""
        return str(self._dataset.attrs["method"])

    @property
    def chi2(self) -> float:
        """Weighted sum of squares."""
        return float(self._dataset.attrs["chi2"])

    @property
    def chi2_reduced(self) -> float:
        """Chi-square per degree of freedom."""
        return float(self._dataset.attrs["chi2_reduced"])

    @property
    def gap(self) -> float | None:
        """Gap in Å, where the model has one."""
        return self._dataset.attrs.get("gap")

    @property
    def provenance(self) -> dict[str, Any]:
        """Source, selection, masks, settings, versions and seed (a fresh copy)."""
        return json.loads(self._dataset.attrs["provenance"])

    @property
    def path(self) -> list[dict[str, Any]]:
        """The runs that led here: strategies, starts, iterations, time (a fresh copy)."""
        return json.loads(self._dataset.attrs["path"])

    @property
    def extra(self) -> dict[str, Any]:
        """Further statements of the fit (a fresh copy)."""
        return json.loads(self._dataset.attrs.get("extra", "{}"))

    @property
    def robust(self) -> dict[str, Any] | None:
        """What a min-max fit certifies (see :func:`heterodyne_nb.fit_robust`); None for other fits."""
        text = self._dataset.attrs.get("robust")
        return None if text is None else json.loads(text)

    @property
    def uncertainty(self) -> str:
        """How errors and bands were estimated; empty when not said."""
        return str(self._dataset.attrs.get("uncertainty", ""))

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Published names, in order."""
        return tuple(str(name) for name in self._dataset["parameter"].values)

    @property
    def values(self) -> dict[str, float]:
        """Published parameter values by name."""
        return self._by_name("parameters")

    @property
    def errors(self) -> dict[str, float]:
        """Standard errors by name; NaN where there is none."""
        return self._by_name("stderr")

    @property
    def status(self) -> dict[str, str]:
        """Status by name: free, fixed, tied, at bound, not determined."""
        return dict(zip(self.parameter_names, map(str, self._dataset["status"].values), strict=True))

    @property
    def curve_names(self) -> tuple[str, ...]:
        """Curves that are kept, e.g. ``("J_ref", "J_sample", "v", "x_sample")``."""
        return record.curve_names(self._dataset)

    def curve(self, name: str) -> xr.Dataset:
        """Return one curve with its 95 % band.

        Returns
        -------
        xarray.Dataset
            ``value``, ``lower``, ``upper`` on dimension ``t`` (s).

        Raises
        ------
        ConfigurationError
            No such curve.
        """
        if name not in self.curve_names:
            raise ConfigurationError(f"no curve {name!r}", expected=f"one of {list(self.curve_names)}")
        parts = {"value": name, "lower": f"{name}_lower", "upper": f"{name}_upper"}
        return xr.Dataset(
            {part: self._dataset[source] for part, source in parts.items()}, attrs={"name": name}
        )

    def _by_name(self, variable: str) -> dict[str, float]:
        return dict(zip(self.parameter_names, map(float, self._dataset[variable].values), strict=True))
