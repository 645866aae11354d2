"""An analysis from its configuration to its fits: load, optimise, compare."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import OptimizeResult

from heterodyne_nb.analysis.loading import load
from heterodyne_nb.analysis.observers import ProgressObserver, notify
from heterodyne_nb.config import ConfigManager
from heterodyne_nb.errors import ConfigurationError, FitWarning, HeterodyneError, OptimizationError, warn
from heterodyne_nb.progress import ProgressEvent, StopToken, stopped_by_signals
from heterodyne_nb.text.escaping import storable

if TYPE_CHECKING:
    import xarray as xr

    from heterodyne_nb.result import FitResult

_log = logging.getLogger("heterodyne_nb.analysis")
#: Tried where the only configured method fails.
_FALLBACKS = ("trf", "nelder_mead")


class HeterodyneAnalysisCore:
    """Runs the analysis that a configuration describes.

    Parameters
    ----------
    config : str, path, mapping or ConfigManager
        A configuration file, its contents, or one already loaded.
    observers : iterable of ProgressObserver
        Who is told about progress.
    stop : StopToken, optional
        Asks long work to stop; the best so far is kept.

    Attributes
    ----------
    config : ConfigManager
    dataset : xarray.Dataset or None
        The data of the fit, once loaded.
    account : tuple of str
        What was used of the data, in words, once loaded.

    Raises
    ------
    ConfigurationError
        The configuration is wrong; every problem is listed.
    """

    def __init__(
        self,
        config: str | Path | Mapping[str, Any] | ConfigManager,
        *,
        observers: Iterable[ProgressObserver] = (),
        stop: StopToken | None = None,
    ) -> None:
        self.config = _manager(config)
        self.stop = stop or StopToken()
        self.dataset: xr.Dataset | None = None
        self.account: tuple[str, ...] = ()
        #: Folder in which each classical fit keeps its journal, ``journal_METHOD.json``; see :func:`heterodyne_nb.fit`.
        self.journal: Path | None = None
        self._tell = notify(observers)

    def load_experimental_data(self) -> xr.Dataset:
        """Open the data, keep the frames, q and angles the configuration asks for, mask the rest.

        Returns
        -------
        xarray.Dataset
            Also kept as :attr:`dataset`; what was used is told in words in :attr:`account`.

        Raises
        ------
        ConfigurationError
            No file is named, or a selection matches nothing.
        DataFormatError
            The file is missing, damaged or of no known layout.
        """
        self._tell(ProgressEvent("load", 0.0))
        loaded = load(self.config)
        self.dataset, self.account = loaded.dataset, loaded.account
        self._tell(ProgressEvent("load", 1.0, message="; ".join(loaded.account)))
        return loaded.dataset

    def optimize_classical(self) -> OptimizeResult:
        """Fit by the configured classical methods and return the best answer.

        Returns
        -------
        scipy.optimize.OptimizeResult
            ``x`` in published order, ``fun`` (chi-square), ``success``, ``message``, ``nfev``, ``nit``,
            ``method``, ``failures`` (pairs of method and reason) and ``fit_result`` (:class:`FitResult`).

        Raises
        ------
        OptimizationError
            Every method failed.

        Warns
        -----
        FitWarning
            A method failed and the next one took its place.
        """
        outcome = self._run(self._settings.classical.methods)
        return as_optimize_result(outcome.best, outcome.failures)

    def primary_optimization(self) -> OptimizeResult:
        """Fit by the first configured classical method alone.

        Returns
        -------
        scipy.optimize.OptimizeResult
            As of :meth:`optimize_classical`.

        Raises
        ------
        OptimizationError
            It failed, or did not converge.
        """
        method = self._settings.classical.methods[0]
        outcome = self._run([method])
        if not outcome.best.success and not self.stop.reason:
            raise OptimizationError(outcome.best.message, where=method, expected="a fit that converges")
        return as_optimize_result(outcome.best, outcome.failures)

    def fallback_optimization(self) -> OptimizeResult:
        """Fit by the other configured classical methods; where there is only one, by ``trf`` and ``nelder_mead``.

        Returns
        -------
        scipy.optimize.OptimizeResult
            The best of them, as of :meth:`optimize_classical`.

        Raises
        ------
        OptimizationError
            Every one of them failed.
        """
        first, *others = self._settings.classical.methods
        outcome = self._run(others or [name for name in _FALLBACKS if name != first])
        return as_optimize_result(outcome.best, outcome.failures)

    def robust_optimization(self) -> OptimizeResult:
        """:meth:`primary_optimization`, and where that fails :meth:`fallback_optimization`.

        What failed and why is told to the logger ``heterodyne_nb.analysis`` and stands in the result's ``failures``.

        Returns
        -------
        scipy.optimize.OptimizeResult

        Raises
        ------
        OptimizationError
            Both failed.
        """
        try:
            return self.primary_optimization()
        except OptimizationError as error:
            _log.warning("Primary optimization failed, trying fallback: %s", error)
            method = self._settings.classical.methods[0]
            result = self.fallback_optimization()
            result.failures = ((method, str(error)), *result.failures)
            return result

    def optimize_robust(self) -> dict[str, FitResult]:
        """Fit by the configured robust methods, from a nominal fit by the first classical one that works.

        Returns
        -------
        dict of str to FitResult
            By method; :attr:`FitResult.robust` holds each one's certificate.

        Raises
        ------
        OptimizationError
            The nominal fit or every robust method failed, or the solver is not ready.

        Warns
        -----
        FitWarning
            A method failed; the others' answers stand.
        """
        return self._robust(self._run(self._settings.classical.methods).best)

    def optimize_all(self) -> dict[str, Any]:
        """Fit by every configured method, classical and robust.

        Returns
        -------
        dict
            ``best`` (OptimizeResult) and ``best_method``, of lowest chi-square and so a classical one; ``methods``
            (name to OptimizeResult) and ``failed`` (name to reason).

        Raises
        ------
        OptimizationError
            Every method failed.

        Warns
        -----
        FitWarning
            A method failed; the others' answers stand.
        """
        outcome = self._run(self._settings.classical.methods)
        answers = dict(outcome.results)
        if not self.stop.reason:
            try:
                answers |= self._robust(outcome.best)
            except HeterodyneError as error:
                outcome.failures["robust"] = str(error)
                warn(f"the robust methods failed, the classical answer stands; {error}", FitWarning)
        else:
            not_run = dict.fromkeys(self._settings.robust.methods, f"not run: {self.stop.reason}")
            outcome.failures.update(not_run)
        return {
            "best": as_optimize_result(outcome.best, outcome.failures),
            "best_method": outcome.best_method,
            "methods": {name: as_optimize_result(result) for name, result in answers.items()},
            "failed": dict(outcome.failures),
        }

    @property
    def _settings(self) -> Any:
        return self.config.settings.optimization

    def _run(self, methods: Iterable[str]) -> Outcome:
        dataset = self.load_experimental_data() if self.dataset is None else self.dataset
        with stopped_by_signals(self.stop):
            return run_methods(tuple(methods), partial(self._fit, dataset), self.stop)

    def _fit(self, dataset: xr.Dataset, method: str) -> FitResult:
        from heterodyne_nb.fitting.fitting import fit

        result = fit(
            dataset,
            parameters=self.config.parameters,
            on_progress=self._tell,
            stop=self.stop,
            journal=None if self.journal is None else self.journal / f"journal_{method}.json",
            **dict(self.config.settings.execution),
            **dict(self.config.settings.fit_options(method)),
        )
        # the sections say what was configured, the arguments of the call what a script or a later question repeats
        config = {**self.config.to_dict(), **(result.provenance.get("config") or {})}
        return with_provenance(result, config=config, used=list(self.account))

    def _robust(self, nominal: FitResult) -> dict[str, FitResult]:
        from heterodyne_nb.robust.robust_fit import fit_robust

        assert self.dataset is not None
        with stopped_by_signals(self.stop):
            found = fit_robust(
                self.dataset,
                start=nominal,
                parameters=self.config.parameters,
                on_progress=self._tell,
                stop=self.stop,
                executor=self.config.settings.execution.executor,
                workers=self.config.settings.execution.workers,
                **dict(self.config.settings.robust_options()),
            )
        more = {"config": self.config.to_dict(), "used": list(self.account)}
        return {name: with_provenance(result, **more) for name, result in found.items()}


def _manager(config: str | Path | Mapping[str, Any] | ConfigManager) -> ConfigManager:
    if isinstance(config, ConfigManager):
        return config
    if isinstance(config, Mapping):
        return ConfigManager.from_dict(config)
    if isinstance(config, str | Path):
        return ConfigManager(config)
    raise ConfigurationError(
        f"a {type(config).__name__} is no configuration",
        expected="a file, its contents as a mapping, or a ConfigManager",
    )


@dataclass(frozen=True)
class Outcome:
    """What became of each method."""

    #: Those that gave an answer, in the order they ran.
    results: dict[str, FitResult] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)  #: Those that did not, with the reason.

    @property
    def best_method(self) -> str:
        """The method with the lowest chi-square.

        Raises OptimizationError: No method gave an answer; every reason is listed.
        """
        if not self.results:
            reasons = "".join(f"\n  - {name}: {reason}" for name, reason in self.failures.items())
            raise OptimizationError(f"every method failed:{reasons}")
        return min(self.results, key=lambda name: _rank(self.results[name].chi2))

    @property
    def best(self) -> FitResult:
        """The answer with the lowest chi-square; raises as :attr:`best_method` does."""
        return self.results[self.best_method]


def run_methods(methods: Sequence[str], run: Callable[[str], FitResult], stop: StopToken) -> Outcome:
    """Run each method; one that fails is told in a FitWarning, and the next one takes its place.

    ``methods``: Names, in order. ``run``: Fits by the method it is given. ``stop``: Once it asks to stop, the
    remaining methods are not run, and are listed as failures with the reason.

    Warns FitWarning: Naming each method that failed and the one that is tried next.
    """
    outcome = Outcome()
    for place, method in enumerate(methods):
        if outcome.results and stop.reason:
            outcome.failures[method] = f"not run: {stop.reason}"
            continue
        try:
            outcome.results[method] = run(method)
        except HeterodyneError as error:
            outcome.failures[method] = str(error)
            following = methods[place + 1] if place + 1 < len(methods) else None
            then = f"{following!r} is tried next" if following else "no method is left to try"
            warn(f"method {method!r} failed, {then}; {error}", FitWarning)
    return outcome


def as_optimize_result(result: FitResult, failures: dict[str, str] | None = None) -> OptimizeResult:
    """A fit in the form SciPy users know.

    Returns: ``x`` (published order), ``fun`` (chi-square), ``success``, ``message``, ``nfev`` and ``nit`` (summed
    over the path), ``method``, ``failures`` (pairs of method and reason) and ``fit_result``.
    """
    return OptimizeResult(
        x=np.array(list(result.values.values())),
        fun=result.chi2,
        success=result.success,
        message=result.message,
        nfev=_summed(result, "nfev"),
        nit=_summed(result, "iterations"),
        method=result.method,
        failures=tuple((failures or {}).items()),
        fit_result=result,
    )


def with_provenance(result: FitResult, **entries: Any) -> FitResult:
    """The same result with more to say of where it came from; entries of a known name are replaced."""
    text = storable(json.dumps({**result.provenance, **entries}, sort_keys=True, ensure_ascii=False))
    return type(result)(result.dataset.assign_attrs(provenance=text))


def _summed(result: FitResult, key: str) -> int:
    return sum(int(step.get(key) or 0) for step in result.path)


def _rank(chi2: float) -> float:
    return chi2 if np.isfinite(chi2) else np.inf
