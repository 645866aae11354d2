"""Start values of a flow from its fringes: v(t) as a power law, and its direction, from peaks at several ages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from heterodyne_nb.data.fringes import CLEAR_PEAK
from heterodyne_nb.data.prepare import fringe_spectrum, select
from heterodyne_nb.errors import DataFormatError

__all__ = ["FlowReading", "read_flow"]

_AGES = 12
#: Widths of the windows of age, as a part of the run.
_WINDOW = 0.03
#: The least |cos(φ0 − φ)|: closer to a right angle with the flow a fringe says nothing about its speed.
_SLOWEST = 0.15
_ROUNDS = 8
_SURE = 0.02


@dataclass(frozen=True)
class FlowReading:
    """What the fringes of one q ring say."""

    #: v0, beta: v(t) = v0 t^beta in Å/s, t in s.
    v0: float
    beta: float
    phi0: float  #: Direction of the flow, degrees in (−90, 90].
    scatter: float  #: Median relative distance of the fringe frequencies from these.
    spectrum: xr.Dataset  #: As :func:`heterodyne_nb.data.prepare.fringe_spectrum` returns it, of the ring.
    clear: xr.DataArray  #: Which peaks were used, bool of the shape of ``spectrum.peak_frequency``.

    def velocity(self, t: np.ndarray | float) -> np.ndarray | float:
        """v(t) in Å/s at times in s."""
        return self.v0 * np.power(t, self.beta)

    @property
    def start_values(self) -> dict[str, float]:
        """Parameters of the heterodyne model that this sets."""
        return {"v0": self.v0, "beta": self.beta, "v_offset": 0.0, "phi0": self.phi0}


def read_flow(
    ds: xr.Dataset, *, q: float, phi0: float | None = None, width: float | None = None
) -> FlowReading:
    """Read speed and direction of a flow off the fringes of one q ring.

    Cuts across the diagonal at a dozen ages are detrended and transformed; where a peak is clear, its frequency
    is f = q |cos(φ0 − φ)| v / 2π. The direction that brings all angles onto one power law is taken.

    ``ds``: With two-time maps. ``q``: The ring, 1/Å (the nearest). ``phi0``: Direction of the flow in degrees, where
    it is known. Default: from the angles, which needs two with fringes. ``width``: Windows of age in s. Default: 3 %
    of the run.

    Raises DataFormatError: There are no clear fringes, or at one angle only while `phi0` is not given. Raises
    ConfigurationError: There is no such q.
    """
    t = ds["t"].values
    step = max(_WINDOW * (t[-1] - t[0]), 2 * float(ds.attrs["dt"])) if width is None else width
    edge = max(0.08 * (t[-1] - t[0]), step)
    ages = np.linspace(t[0] + edge, t[-1] - edge, _AGES)
    spectrum = fringe_spectrum(select(ds, q=[q]), age=ages, width=step, cut="diagonal")
    clear = (spectrum["peak_to_median"] > CLEAR_PEAK) & np.isfinite(spectrum["peak_frequency"])
    phi = spectrum["phi"].broadcast_like(spectrum["peak_frequency"]).values
    ring = spectrum["q"].broadcast_like(spectrum["peak_frequency"]).values
    age = spectrum["age"].broadcast_like(spectrum["peak_frequency"]).values
    used = clear.values
    _enough(phi[used], phi0)
    along = 2 * np.pi * spectrum["peak_frequency"].values[used] / ring[used]
    directions = np.arange(-89.5, 90.5, 0.5) if phi0 is None else np.array([float(phi0)])
    fits = [_power_law(along, age[used], phi[used], one) for one in directions]
    best = int(np.argmin([fit[2] for fit in fits]))
    log_v0, beta, scatter = fits[best]
    return FlowReading(float(np.exp(log_v0)), beta, float(directions[best]), scatter, spectrum, clear)


def _enough(angles: np.ndarray, phi0: float | None) -> None:
    if angles.size < 3:
        raise DataFormatError(
            "no clear fringes", where="fringes", hint="choose another q, or mask the bad frames first"
        )
    if phi0 is None and np.unique(angles).size < 2:
        raise DataFormatError(
            f"fringes at one angle ({angles[0]:.4g}°) do not tell the direction of the flow",
            where="fringes",
            hint="give phi0",
        )


def _power_law(
    along: np.ndarray, age: np.ndarray, phi: np.ndarray, phi0: float
) -> tuple[float, float, float]:
    """ln v0, beta, and the median relative distance that is left, for one direction."""
    cosine = np.maximum(np.abs(np.cos(np.deg2rad(phi0 - phi))), _SLOWEST)
    wanted, x = np.log(along / cosine), np.log(age)
    weights = np.ones(x.size)
    for _ in range(_ROUNDS):
        slope, level = np.polyfit(x, wanted, 1, w=np.sqrt(weights))
        left = np.abs(wanted - level - slope * x)
        weights = 1 / np.maximum(
            left, _SURE
        )  # least absolute distance: peaks that are no fringes do not count
    return float(level), float(slope), float(np.median(left))
