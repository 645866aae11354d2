"""How the next fit is made: one frozen value that a panel edits and a script writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from heterodyne_nb.config.optimization import CONTRASTS, Classical
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.names import find_name
from heterodyne_nb.progress import StopToken

if TYPE_CHECKING:
    from heterodyne_nb.config import ConfigManager


@dataclass(frozen=True)
class FitSettings:
    """Arguments of :func:`heterodyne_nb.fit` besides data and parameters; they mean the same.

    Attributes
    ----------
    mode, method, loss, contrast : str
    loss_scale : float or "auto"
        In units of sigma.
    multistart : int or None
        Number of start vectors fitted; None lets the search decide, 0 takes the given start alone.
    time_limit : float or None
        Seconds.
    seed : int
    gap : float or None
        Å; laminar flow needs it.
    options : mapping
        Settings of the method.

    Raises
    ------
    ConfigurationError
        A name or number is wrong; raised when the value is made.
    """

    mode: str = "heterodyne"
    method: str = "gauss_newton"
    loss: str = "linear"
    loss_scale: float | str = "auto"
    contrast: str = "per_bin"
    multistart: int | None = None
    time_limit: float | None = None
    seed: int = 0
    gap: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from heterodyne_nb.fitting.two_time_fit import FitOptions
        from heterodyne_nb.models import ModelFactory
        from heterodyne_nb.optimize import strategy_name

        object.__setattr__(self, "mode", ModelFactory.create_model(self.mode).name)
        object.__setattr__(self, "method", strategy_name(self.method))
        object.__setattr__(self, "contrast", find_name(self.contrast, CONTRASTS, "contrast"))
        object.__setattr__(self, "options", dict(self.options))
        FitOptions(
            loss=self.loss, loss_scale=self.loss_scale, multistart=self.multistart, seed=self.seed
        )  # these four are checked there
        StopToken(self.time_limit)
        if self.gap is not None and not self.gap > 0:
            raise ConfigurationError(f"{self.gap!r}", where="gap", expected="Å, more than 0")

    def changed(self, **changes: Any) -> FitSettings:
        """A copy with some settings changed.

        Raises
        ------
        ConfigurationError
            There is no such setting, or its value is wrong.
        """
        known = [one.name for one in fields(self)]
        return replace(self, **{find_name(name, known, "setting"): value for name, value in changes.items()})

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``fit``: the mode, and whatever is not its default."""
        plain = FitSettings()
        given = {name: value for name, value in asdict(self).items() if value != getattr(plain, name)}
        if self.loss == "linear":
            given.pop("loss_scale", None)
        return {"mode": self.mode, **{k: v for k, v in given.items() if k != "mode"}}

    @classmethod
    def from_config(cls, config: ConfigManager) -> FitSettings:
        """The settings that a configuration asks for; of several methods, the first."""
        chosen, whole = config.settings.optimization, config.settings.analysis_settings
        method = chosen.classical.methods[0]
        usual = Classical().options(method)
        options = {k: v for k, v in chosen.classical.options(method).items() if usual.get(k) != v}
        count = f"_{whole.n_components}" if whole.n_components else ""
        return cls(
            mode=f"{whole.mode}{count}",
            method=method,
            loss=chosen.loss,
            loss_scale=chosen.loss_scale,
            contrast=chosen.contrast,
            multistart=chosen.multistart.n,
            time_limit=chosen.time_limit,
            seed=chosen.multistart.seed,
            gap=config.settings.geometry.gap,
            options=options,
        )
