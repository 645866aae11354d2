"""What every optimiser offers: one call, declared abilities, readiness, and a place in the registry."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from scipy.optimize import OptimizeResult

from heterodyne_nb.errors import ConfigurationError, OptimizationError
from heterodyne_nb.names import unknown_name
from heterodyne_nb.options import METHOD_OPTIONS, METHODS
from heterodyne_nb.progress import OnProgress, StopToken, ignore_progress

#: Strategies by name: those of this package, those registered, and those of installed packages.
STRATEGIES = METHODS


@dataclass(frozen=True)
class Readiness:
    """Whether a strategy can run here."""

    state: Literal["ready", "missing", "unlicensed"]
    detail: str = ""  #: What was found, for a person.
    remedy: str = ""  #: What to install, or which other method to choose; empty when ready.

    def __bool__(self) -> bool:
        return self.state == "ready"


@dataclass(kw_only=True, eq=False)
class OptimizationStrategy(ABC):
    """A way to minimise an objective, keyword-only settings in the constructor.

    Parameters
    ----------
    bounds : sequence of (lower, upper), optional
        One pair per parameter, ``None`` for an open end; only for a plain callable. An objective
        that carries its own bounds keeps them, and giving both is an error.
    scale : sequence of float, optional
        Typical size of each parameter of a plain callable; by default its start value, or a tenth
        of its bounded range where it starts near zero, or 1.
    max_iterations : int, optional
        Most iterations; None for the strategy's own default.
    on_progress : callable, optional
        Receives a :class:`~heterodyne_nb.progress.ProgressEvent` at every iteration.
    stop : StopToken, optional
        Checked before every evaluation of the objective; a stopped run returns its best so far.
    """

    name: ClassVar[str] = ""
    needs_gradient: ClassVar[bool] = False
    uses_normal_equations: ClassVar[bool] = False
    supports_bounds: ClassVar[bool] = True
    looks_again: ClassVar[bool] = False

    bounds: Sequence[Any] | np.ndarray | None = None
    scale: Sequence[float] | np.ndarray | None = None
    max_iterations: int | None = None
    on_progress: OnProgress | None = ignore_progress
    stop: StopToken | None = None

    @abstractmethod
    def optimize(
        self, objective_func: Callable[[np.ndarray], float], initial_params: Sequence[float] | np.ndarray
    ) -> OptimizeResult:
        """Minimise `objective_func` from `initial_params`.

        Parameters
        ----------
        objective_func : callable
            ``f(x) -> float`` over all parameters in published order. When it also offers internal
            coordinates and normal equations (see :class:`~heterodyne_nb.optimize.strategies.problem_view.Objective`)
            they are used.
        initial_params : sequence of float
            Start values, published order.

        Returns
        -------
        scipy.optimize.OptimizeResult
            ``x`` (published order), ``fun``, ``success``, ``message``, ``nfev``, ``nit``, ``method``,
            ``history`` (list of (iteration, best fun)) and ``stop_reason``. A run ended by the stop
            token has ``success=False`` and message ``"cancelled"`` or ``"time limit"``.

        Raises
        ------
        ConfigurationError
            Start values or bounds do not fit together.
        OptimizationError
            The solver is not ready, the start has no finite objective, or the objective raised.
        """

    @classmethod
    def ready(cls) -> Readiness:
        """Whether this strategy's solver is installed and licensed."""
        return Readiness("ready", "part of SciPy and NumPy")

    def require_ready(self) -> None:
        """Raise :class:`~heterodyne_nb.errors.OptimizationError` unless :meth:`ready`."""
        state = type(self).ready()
        if not state:
            raise OptimizationError(
                f"method {self.name!r} cannot run here ({state.state}): {state.detail}", hint=state.remedy
            )

    def __post_init__(self) -> None:
        if (options := METHOD_OPTIONS.get(self.name)) is not None:
            options.read({name: getattr(self, name) for name in options.model_fields}, where=self.name)


S = TypeVar("S", bound=type[OptimizationStrategy])


def register(cls: S) -> S:
    """Class decorator: enter a strategy in :data:`STRATEGIES` under its ``name``."""
    if not cls.name:
        raise ConfigurationError(f"{cls.__name__} has no name", expected="a class attribute `name`")
    STRATEGIES[cls.name] = cls
    return cls


def strategy_name(name: str) -> str:
    """The registered name that `name` spells (``"Nelder-Mead"`` is ``"nelder_mead"``).

    Raises ConfigurationError: No such strategy; the nearest name is offered.
    """
    return STRATEGIES.find(name)


def settings_of(cls: type[OptimizationStrategy]) -> tuple[str, ...]:
    """Names of the settings a strategy's constructor accepts."""
    parameters = inspect.signature(cls).parameters.values()
    return tuple(p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD)


def create_strategy(name: str | type[OptimizationStrategy], **settings: Any) -> OptimizationStrategy:
    """Make a strategy by name.

    ``name``: A key of :data:`STRATEGIES`, in any case and punctuation; or the class itself. ``**settings``:
    Constructor settings of that strategy.

    Raises ConfigurationError: Unknown name or setting; the nearest one is offered.
    """
    cls = STRATEGIES[strategy_name(name)] if isinstance(name, str) else name
    known = settings_of(cls)
    for key in settings:
        if key not in known:
            raise unknown_name(key, known, f"setting of method {cls.name or cls.__name__!r}:")
    return cls(**settings)
