"""The result of a fit: a frozen value around one xarray Dataset."""

from __future__ import annotations

import importlib
import json
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.data.isolated import probe
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.guard import guarded
from heterodyne_nb.remote import Place, place
from heterodyne_nb.result import maps, record
from heterodyne_nb.result.files import page_of, read_result, write_result
from heterodyne_nb.result.provenance import fit_script
from heterodyne_nb.result.report import html_report, text_report
from heterodyne_nb.result.tables import derived_quantities
from heterodyne_nb.result.trust import Flag, Solution, of_result, solutions_of, traffic_light, trust_flags
from heterodyne_nb.uncertainty.identifiability import Identifiability

#: What a result was fitted to, as long as somebody keeps it, and what a referee said of it.
_FITTED: weakref.WeakKeyDictionary[FitResult, weakref.ref[Any]] = weakref.WeakKeyDictionary()
_REFEREES: weakref.WeakKeyDictionary[FitResult, str] = weakref.WeakKeyDictionary()


def remember(result: FitResult, dataset: Any) -> FitResult:
    """The result, which now knows its data for :meth:`FitResult.referee`; they are not kept alive for that."""
    with suppress(TypeError):  # a list of runs, for one, cannot be remembered so
        _FITTED[result] = weakref.ref(dataset)
    return result


@dataclass(frozen=True)
class Parameter:
    """A published parameter after a fit."""

    name: str
    #: value, error: In `unit`; the standard error is NaN where there is none.
    value: float
    error: float
    unit: str
    status: str  #: ``"free"``, ``"fixed"``, ``"tied"``, ``"at bound"`` or ``"not determined"``.
    #: lower, upper: Bounds of the fit.
    lower: float
    upper: float


@dataclass(frozen=True, eq=False, repr=False)
class FitResult:
    """What a fit found, how well, and how it was found.

    Built by :meth:`from_parts` or :meth:`load`; nothing in it can be changed afterwards. Two results
    are equal when every value, label and attribute is (NaN equals NaN).
    """

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
        return dict(json.loads(self._dataset.attrs["provenance"]))

    @property
    def path(self) -> list[dict[str, Any]]:
        """The runs that led here: strategies, starts, iterations, time (a fresh copy)."""
        return list(json.loads(self._dataset.attrs["path"]))

    @property
    def extra(self) -> dict[str, Any]:
        """Further statements of the fit (a fresh copy)."""
        return dict(json.loads(self._dataset.attrs.get("extra", "{}")))

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
        return tuple(self._dataset["parameter"].values.tolist())

    @property
    def params(self) -> dict[str, Parameter]:
        """Published parameters by name: ``result.params["v0"].value``, ``.error``, ``.unit``, ``.status``."""
        names = ("parameter", "parameters", "stderr", "unit", "status", "bound_lower", "bound_upper")
        columns = (self._dataset[name].values.tolist() for name in names)
        return {one[0]: Parameter(*one) for one in zip(*columns, strict=True)}

    @property
    def values(self) -> dict[str, float]:
        """Published parameter values by name."""
        return {name: one.value for name, one in self.params.items()}

    @property
    def errors(self) -> dict[str, float]:
        """Standard errors by name; NaN where there is none."""
        return {name: one.error for name, one in self.params.items()}

    @property
    def status(self) -> dict[str, str]:
        """Status by name: free, fixed, tied, at bound, not determined."""
        return {name: one.status for name, one in self.params.items()}

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

    @classmethod
    def from_parts(
        cls,
        model: Any,
        *,
        parameters: record.Floats,
        chi2: float,
        n_data: int,
        n_free: int,
        success: bool,
        stderr: record.Floats | None = None,
        status: Sequence[str] | None = None,
        covariance: np.ndarray | None = None,
        t: np.ndarray | None = None,
        bands: record.Bands | None = None,
        bins: xr.Dataset | None = None,
        message: str = "",
        method: str = "",
        provenance: Mapping[str, Any] | None = None,
        path: Sequence[Mapping[str, Any]] | None = None,
        bounds: np.ndarray | None = None,
        passing: np.ndarray | None = None,
        gap: float | None = None,
        hessian: np.ndarray | None = None,
        sigma2: float | None = None,
        uncertainty: str = "",
        solutions: Sequence[Mapping[str, Any]] | None = None,
        goodness: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> FitResult:
        """Put a result together from what a fit knows.

        Parameters
        ----------
        model : model of :class:`heterodyne_nb.models.ModelFactory`
            Gives name, published parameters and curves.
        parameters : sequence of float, shape (p,)
            Published values, in the model's order.
        chi2, n_data, n_free : float, int, int
            Weighted sum of squares, number of data in it, and number of fitted numbers (contrast and
            offset of every bin included): reduced chi-square is ``chi2 / (n_data - n_free)``.
        success : bool
            Whether the optimiser converged.
        stderr : sequence of float, shape (p,), optional
            Standard errors, NaN where there is none. Default: from `covariance`.
        status : sequence of str, shape (p,), optional
            ``"free"``, ``"fixed"``, ``"tied"``, ``"at bound"`` or ``"not determined"``.
        covariance : array, shape (p, p), optional
            Of the published parameters.
        t : array, shape (n_t,), optional
            Times of the frames in s at which the curves are kept. Without it no curves are kept.
        bands : mapping of str to (lower, upper), optional
            95 % bands of the curves, arrays of shape (n_t,). Default: by the delta method from
            `covariance`, NaN without one.
        bins : xarray.Dataset, optional
            ``contrast``, ``offset``, ``chi2_reduced_bin`` on dimension ``bin`` with coordinates ``q``
            (1/Å) and ``phi`` (degrees); further variables are kept as they are.
        message, method : str
            Why the optimiser stopped, and which it was.
        provenance : mapping, optional
            See :func:`heterodyne_nb.result.collect_provenance`.
        path : sequence of mappings, optional
            One entry a run of a strategy: ``strategy``, ``start``, ``iterations``, ``chi2_reduced``,
            ``seconds``, ``message``, as far as known.
        bounds : array, shape (p, 2), optional
            Published bounds of the fit. Default: the model's.
        passing : array, shape (p,), optional
            Standard errors by which each parameter would pass its bound, 0 where none holds it. Default: not known.
        gap : float, optional
            Gap in Å (laminar flow).
        hessian : array, shape (p, p), optional
            Gauss-Newton matrix of chi-square in published parameters, for :meth:`identifiability`.
        sigma2 : float, optional
            Noise level that goes with `hessian` (1 when the weights are right).
        uncertainty : str, optional
            How errors and bands were estimated, e.g. ``"dyadic sandwich"``; shown in reports.
        solutions : sequence of mappings, optional
            Further answers that the data leave: ``parameters`` (p,), ``chi2`` and ``rise`` of each; see
            :class:`heterodyne_nb.result.trust.Solution`.
        goodness : mapping, optional
            ``curves`` and ``chance`` of :class:`heterodyne_nb.uncertainty.goodness.Goodness`.
        extra : mapping, optional
            Further statements that JSON can hold, e.g. a robust fit's certificate.

        Raises
        ------
        OptimizationError
            A part has the wrong shape, an unknown status, or a band for an unknown curve.
        """
        dataset = record.parameter_block(model, parameters, stderr, status, covariance, bounds, passing)
        if t is not None:
            dataset = record.with_curves(dataset, model, np.asarray(t, dtype=float), bands)
        if hessian is not None:
            names = list(model.parameter_names)
            dataset = dataset.merge(record.square("hessian", hessian, names, "Gauss-Newton matrix of chi2"))
        if bins is not None:
            dataset = dataset.merge(record.bin_block(bins))
        freedom = n_data - n_free
        dataset.attrs = record.attributes(
            mode=model.name,
            chi2_reduced=float(chi2) / freedom if freedom > 0 else float("nan"),
            chi2=float(chi2),
            n_data=int(n_data),
            n_free=int(n_free),
            success=bool(success),
            message=message,
            method=method,
            provenance=dict(provenance or {}),
            path=[dict(step) for step in path or ()],
            gap=None if gap is None else float(gap),
            sigma2=None if sigma2 is None else float(sigma2),
            uncertainty=uncertainty or None,
            solutions=[dict(one) for one in solutions] if solutions else None,
            goodness=dict(goodness) if goodness else None,
            extra=dict(extra) if extra else None,
        )
        return cls(dataset)

    def with_uncertainty(
        self,
        uncertainty: str,
        *,
        covariance: np.ndarray | None = None,
        stderr: record.Floats | None = None,
        status: Sequence[str] | None = None,
        bands: record.Bands | None = None,
    ) -> FitResult:
        """The same fit with errors, bands and status from another estimate.

        Parameters
        ----------
        uncertainty : str
            Name of the estimate, e.g. ``"block bootstrap"``.
        covariance, stderr, status, bands
            As in :meth:`from_parts`. Errors default to the roots of `covariance`, bands to the delta method
            from it; the status is kept when not given.

        Raises
        ------
        OptimizationError
            Neither `covariance` nor `stderr` is given, or a part has the wrong shape.
        """
        model = record.model_of(self._dataset)
        dataset = record.with_errors(self._dataset, model, stderr, status, covariance, bands)
        return FitResult(dataset.assign_attrs(uncertainty=uncertainty))

    def derived(self) -> xr.Dataset:
        """Diffusion coefficients, mean velocity, displacement, fringe rates, with delta-method errors.

        Returns
        -------
        xarray.Dataset
            See :func:`heterodyne_nb.result.tables.derived_quantities`.
        """
        ds = self._dataset
        return derived_quantities(
            record.model_of(ds),
            ds["parameters"].values,
            ds["covariance"].values if "covariance" in ds else None,
            ds["t"].values if "t" in ds else None,
            ds if "bin" in ds.dims else None,
        )

    @property
    def solutions(self) -> tuple[Solution, ...]:
        """Every answer that the data leave, the reported one first; bands of the curves hold them all."""
        return solutions_of(self._dataset)

    @property
    def light(self) -> str:
        """``"green"``, ``"amber"`` or ``"red"``; the reasons are the serious ones of :attr:`flags`."""
        return traffic_light(self.flags)

    @property
    def flags(self) -> tuple[Flag, ...]:
        """What deserves suspicion, most serious first."""
        return trust_flags(self._dataset)

    def summary(self) -> str:
        """The report as plain text."""
        asked = _REFEREES.get(self)
        return text_report(self._dataset) + (f"\nreferee: {asked}\n" if asked else "")

    def _repr_html_(self) -> str:
        return html_report(self._dataset)

    def show(self, dataset: xr.Dataset | None = None) -> Any:
        """Look at the result in a :class:`heterodyne_nb.app.ResultPanel`, beside its data if given."""
        return importlib.import_module("heterodyne_nb.app.result_panel").panel_of(self, dataset)

    def sample(self, dataset: Any, **settings: Any) -> Any:
        """Draw from the posterior that the fitted data leave; see :func:`heterodyne_nb.assess.posterior.sample`.

        ``result.sample(dataset)`` gives a :class:`~heterodyne_nb.assess.posterior.Posterior`: ``print`` it, or take its
        ``intervals()``, ``curves()``, ``to_arviz()``, and ``apply_to(result)`` for a result with its bands.
        """
        return importlib.import_module("heterodyne_nb.assess.posterior").sample(self, dataset, **settings)

    def identifiability(self) -> Identifiability:
        """Which combinations of the varied parameters the data determine, and how well.

        Raises
        ------
        OptimizationError
            The result keeps no Gauss-Newton matrix.
        """
        return of_result(self._dataset)

    def referee(self, dataset: xr.Dataset | None = None) -> Any:
        """The free form of the curves beside the fitted ones: where the published form fails, and whether a curve changes at once.

        Parameters
        ----------
        dataset : Dataset or FrameSet, optional
            The data that were fitted; may be left out as long as those given to ``fit`` are still in memory.

        Returns
        -------
        heterodyne_nb.assess.referee.Referee
            From then on its findings are part of :meth:`summary`.

        Raises
        ------
        ConfigurationError
            The data are gone or others, or the curves of the model cannot be splines.

        Examples
        --------
        >>> data = hnb.example_dataset()                      # doctest: +SKIP
        >>> print(hnb.fit(data, "heterodyne").referee())      # doctest: +SKIP
        """
        known = _FITTED.get(self)
        data = known() if dataset is None and known is not None else dataset
        if data is None:
            raise ConfigurationError(
                "the data that were fitted are not in memory",
                where="dataset",
                hint="pass them: result.referee(data)",
            )
        found = importlib.import_module("heterodyne_nb.assess.referee").referee(self, data)
        _REFEREES[self] = str(found)
        return found

    def model_map(
        self,
        q: float | None = None,
        phi: float | None = None,
        *,
        bin: int | None = None,
        t: np.ndarray | None = None,
    ) -> xr.DataArray:
        """Model of c2 in one bin, computed now.

        Parameters
        ----------
        q, phi : float, optional
            The bin, in 1/Å and degrees (nearest, if near enough). May be left out where only one fits.
        bin : int, optional
            The bin's label instead.
        t : array, optional
            Times in s; default those of the fit. For a one-time model: the lags, required.

        Returns
        -------
        xarray.DataArray
            On (t1, t2) in s, or on (tau,).

        Raises
        ------
        ConfigurationError
            No bin, or more than one, fits; or no times are known.
        """
        return maps.model_map(self._dataset, maps.choose_bin(self._dataset, q, phi, bin), t)

    def residual_map(
        self, dataset: xr.Dataset, q: float | None = None, phi: float | None = None, *, bin: int | None = None
    ) -> xr.DataArray:
        """Measured minus model in one bin of a two-time fit, NaN in masked frames, on (t1, t2).

        Parameters
        ----------
        dataset : xarray.Dataset
            The data that were fitted.
        q, phi, bin
            As in :meth:`model_map`.

        Raises
        ------
        ConfigurationError
            The bin is not in the result or not in the dataset.
        """
        return maps.residual_map(self._dataset, maps.choose_bin(self._dataset, q, phi, bin), dataset)

    def save(self, path: str | Place) -> Place:
        """Write the result in the format the suffix names, and return the path.

        Parameters
        ----------
        path : str or Path
            ``.nc`` (netCDF) and ``.zarr`` hold everything and load again; ``.nxs`` (NeXus), ``.json``
            (summary), ``.csv`` (parameters) and ``.txt`` (one page) are for others to read. The file appears complete or
            not at all, and replaces an older one. An address that fsspec can write to, such as
            ``s3://bucket/results.nc``, is a path, too.

        Raises
        ------
        ConfigurationError
            Unknown suffix or missing folder.
        """
        return write_result(self._dataset, path)

    def to_text(self, path: str | Path | None = None) -> str:
        """One page of text: χ², light, provenance, versions, then a table with errors.

        Parameters
        ----------
        path : str or Path, optional
            A ``.txt`` file to write it to as well; ``pandas.read_csv(path, comment="#")`` reads the table.

        Returns
        -------
        str
            Lines of ``#``, then columns quantity, t (s), q (1/Å), phi (degrees), value, error, lower, upper, unit, status.

        Raises
        ------
        ConfigurationError
            Another suffix, or a missing folder.
        """
        if path is not None:
            self.save(path if Path(path).suffix else Path(path).with_suffix(".txt"))
        return page_of(self._dataset)

    def to_script(self, path: str | Path | None = None) -> str:
        """Write the Python that does this fit again with the public functions.

        Parameters
        ----------
        path : str or Path, optional
            The data file; default its recorded name, looked for where the script runs.

        Raises
        ------
        ConfigurationError
            The data came from no file and none is given.
        """
        return fit_script(self.provenance, self.mode, self.method, self.chi2_reduced, path)

    @classmethod
    def load(cls, path: str | Place, *, isolated: bool | Mapping[str, float] = False) -> FitResult:
        """Read a saved result, of this schema version or an older one.

        Parameters
        ----------
        path : path
        isolated : bool or mapping
            Read it in a process of its own first, as :func:`heterodyne_nb.open_dataset` does: for a file not trusted.

        Raises
        ------
        MissingFileError
            No such file.
        DataFormatError
            Damaged, foreign, incomplete, or written by a newer schema version.
        """
        if isolated:
            probe(place(path), {}, isolated, "heterodyne_nb.result:FitResult.load")
        with guarded(path, "a result written by FitResult.save, complete"):
            return cls(record.current(read_result(path), place(path).name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FitResult) and self._dataset.identical(other._dataset)

    def __hash__(self) -> int:
        return hash((self.mode, self.chi2, self._dataset["parameters"].values.tobytes()))

    def __repr__(self) -> str:
        return f"FitResult(mode={self.mode!r}, chi2_reduced={self.chi2_reduced:.6g}, success={self.success})"
