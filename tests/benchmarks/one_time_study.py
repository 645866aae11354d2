"""One-time fits: seconds against SciPy, false alarms of the window's test, coverage of errors.

    python tests/benchmarks/one_time_study.py [--experiments 200] [--only time window coverage choice]

Time: 30 curves of 48 lags by `fit_batch` and by `scipy.optimize.curve_fit` in one process, the best of several rounds
each, and 10 000 curves once. Window: 1000 curves each without a decay, with one in the window, and with ones that the
window does not hold, by what the test says. Coverage: how often value ± 1.96 errors hold the truth, for Gamma and alpha,
where lags are correlated: noise made so (rho = 0.8), and speckles simulated frame by frame (four modes, 300 pixels, 600
frames, g2_err from the scatter between pixels), each experiment eight bins that are fitted one by one and jointly; and g2
with its errors computed from two-time maps of such speckles, where nothing but c2 is known. Choice: which of three decays
`compare_models` chooses, for each of them as the truth, correlated noise and speckles, four bins an experiment.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from collections.abc import Iterator

import numpy as np
import xarray as xr
from scipy.optimize import curve_fit

import heterodyne_nb as hnb
from heterodyne_nb.data import make_dataset
from heterodyne_nb.errors import HeterodyneWarning

LAGS = np.geomspace(0.02, 40.0, 48)


def dataset(g2: np.ndarray, err: np.ndarray | float, tau: np.ndarray = LAGS) -> xr.Dataset:
    """Curves (B, K) as a dataset of one azimuth."""
    q = np.linspace(0.005, 0.05, len(g2))
    errors = np.broadcast_to(err, g2.shape)[:, None]
    return make_dataset(g2=g2[:, None], g2_err=errors, tau=tau, q=q, phi=[0.0], dt=float(tau[0]))


def simple(bins: int, rng: np.random.Generator) -> np.ndarray:
    """Single decays of contrast 0.3, rates from 0.01 to 1 per s."""
    rate = np.geomspace(0.01, 1.0, bins)[:, None]
    return 1 + 0.3 * np.exp(-2 * rate * LAGS) + 2e-3 * rng.standard_normal((bins, len(LAGS)))


def best_of(rounds: int, call) -> float:
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def study_time() -> None:
    rng = np.random.default_rng(0)
    g2 = simple(30, rng)
    ds = dataset(g2, 2e-3)

    def kww(x, gamma, alpha, contrast, offset):
        return offset + contrast * np.exp(-2 * (np.abs(gamma) * x) ** alpha)

    def scipy() -> list[np.ndarray]:
        sigma = np.full(len(LAGS), 2e-3)
        start = [1, 1, 0.2, 1]
        return [curve_fit(kww, LAGS, y, start, sigma=sigma, absolute_sigma=True, maxfev=4000)[0] for y in g2]

    table = hnb.fit_batch(ds, "kww", over="q")
    theirs = np.array([abs(one[0]) for one in scipy()])
    assert np.median(np.abs(table["parameters"].values[:, 0] / theirs - 1)) < 1e-5
    ours, other = best_of(9, lambda: hnb.fit_batch(ds, "kww", over="q")), best_of(9, scipy)
    print(
        f"30 curves: fit_batch {1e3 * ours:.1f} ms, curve_fit {1e3 * other:.1f} ms, ratio {ours / other:.2f}"
    )
    many = dataset(simple(10_000, rng), 2e-3)
    print(f"10 000 curves: {best_of(1, lambda: hnb.fit_batch(many, 'kww', over='q')):.2f} s")


def study_window(count: int) -> None:
    decays = {
        "flat": 0.0 * LAGS,
        "rate 1 / window's middle": np.exp(-2 * LAGS / np.sqrt(LAGS[0] * LAGS[-1])),
        "20 % by the last lag": np.exp(-0.22 * LAGS / LAGS[-1]),
        "2 % by the last lag": np.exp(-0.02 * LAGS / LAGS[-1]),
        "1 % left at the first lag": np.exp(-4.6 * LAGS / LAGS[0]),
    }
    for known in (True, False):
        print(f"window, errors {'measured' if known else 'from the scatter'}:")
        for name, m in decays.items():
            noise = 2e-3 * np.random.default_rng(1).standard_normal((count, len(LAGS)))
            ds = dataset(1 + 0.2 * m + noise, 2e-3)
            table = hnb.fit_batch(ds if known else ds.drop_vars("g2_err"), "kww", over="q")
            told = Counter(
                " ".join(text.split(":")[0].split()[:3]) or "seen" for text in table["flags"].values
            )
            print(f"  {name:26} trusted {table['trusted'].values.mean():.3f}  {dict(told)}")


def correlated(rng: np.random.Generator, rho: float = 0.8) -> tuple[xr.Dataset, np.ndarray, float]:
    """Eight curves with correlated errors; the truth."""
    rate = np.geomspace(0.1, 1.0, 8)
    steps = np.abs(np.subtract.outer(np.arange(len(LAGS)), np.arange(len(LAGS))))
    noise = rng.standard_normal((8, len(LAGS))) @ np.linalg.cholesky(rho**steps).T
    g2 = 1 + 0.2 * np.exp(-2 * (rate[:, None] * LAGS) ** 0.9) + 2e-3 * noise
    return dataset(g2, 2e-3), rate, 0.9


def fields(rng: np.random.Generator, rate: float, frames: int, pixels: int) -> np.ndarray:
    """Fields (2, frames, 4, pixels) of four modes that decay by exp(-rate) a frame."""
    a = np.exp(-rate)
    field = rng.standard_normal((2, frames, 4, pixels)) * np.sqrt(0.5 * (1 - a**2))
    field[:, 0] = rng.standard_normal((2, 4, pixels)) * np.sqrt(0.5)
    for t in range(1, frames):
        field[:, t] += a * field[:, t - 1]
    return field


def intensities(rng: np.random.Generator, rate: float, frames: int, pixels: int) -> np.ndarray:
    """Speckles (frames, pixels) of such fields."""
    return (fields(rng, rate, frames, pixels) ** 2).sum(axis=(0, 2))


def from_maps(rng: np.random.Generator, frames: int = 150) -> tuple[xr.Dataset, np.ndarray, float]:
    """g2 of two bins from their two-time maps; the truth."""
    rate = np.array([0.03, 0.1])
    shown = [intensities(rng, gamma, frames, 300) for gamma in rate]
    shown = [one / one.mean(axis=1)[:, None] for one in shown]
    maps = np.stack([one @ one.T / one.shape[1] for one in shown])[:, None].astype("f4")
    ds = make_dataset(maps, q=[0.01, 0.02], phi=[0.0], dt=1.0)
    return ds.xpcs.g2().isel(age=0, drop=True), rate, 1.0


def speckles(
    rng: np.random.Generator, pixels: int = 300, frames: int = 600
) -> tuple[xr.Dataset, np.ndarray, float]:
    """Eight bins of speckles with errors from their scatter over pixels; the truth."""
    rate = np.geomspace(0.02, 0.2, 8)
    return correlations([intensities(rng, gamma, frames, pixels) for gamma in rate]), rate, 1.0


def correlations(shown: list[np.ndarray]) -> xr.Dataset:
    """g2 of intensities (frames, pixels) of every bin, with errors from its scatter over pixels."""
    lags = np.unique(np.geomspace(1, 150, 32).round().astype(int))
    g2, err = np.empty((2, len(shown), len(lags)))
    for b, intensity in enumerate(shown):
        for k, lag in enumerate(lags):
            early, late = intensity[:-lag], intensity[lag:]
            one = (early * late).mean(axis=0) / (early.mean() * late.mean())
            drift = (
                early.mean(axis=0) / early.mean() + late.mean(axis=0) / late.mean() - 2
            )  # its share in the means
            g2[b, k] = one.mean()
            err[b, k] = (one - g2[b, k] * drift).std(ddof=1) / np.sqrt(intensity.shape[1])
    return dataset(g2, err, lags.astype(float))


def study_coverage(experiments: int) -> None:
    kinds = {"correlated noise, rho 0.8": correlated, "speckles": speckles, "maps of speckles": from_maps}
    for name, make in kinds.items():
        rng = np.random.default_rng(2)
        hits: dict[str, list[np.ndarray]] = {}
        for ds, rate, alpha in (make(rng) for _ in range(experiments)):
            for how, key, held in _answers(ds, rate, alpha):
                hits.setdefault(f"{how}: {key}", []).append(held)
        print(f"coverage of 95 %, {name}, {experiments} experiments:")
        for key, held in hits.items():
            print(f"  {key:44} {100 * np.mean(held):.1f} %")


def _answers(ds: xr.Dataset, rate: np.ndarray, alpha: float) -> Iterator[tuple[str, str, np.ndarray]]:
    table = hnb.fit_batch(ds, "kww", over="q")
    for k, (key, truth) in enumerate((("Gamma", rate), ("alpha", alpha))):
        yield (
            "each bin by itself",
            key,
            _held(table["parameters"].values[:, k], truth, table["stderr"].values[:, k]),
        )
    joint = hnb.fit(ds, "kww", parameters={"Gamma": {"scope": "q"}})
    bins = joint.dataset
    yield "alpha shared", "Gamma", _held(bins["Gamma"].values, rate, bins["Gamma_error"].values)
    yield (
        "alpha shared",
        "alpha",
        _held(np.array([joint.values["alpha"]]), alpha, np.array([joint.errors["alpha"]])),
    )


def _held(value: np.ndarray, truth: np.ndarray | float, error: np.ndarray) -> np.ndarray:
    return np.abs(value - truth) <= 1.96 * error


DECAYS = ("single_exponential", "kww", "double_exponential")


def decaying(kind: str, rng: np.random.Generator, noise: float = 2e-3, rho: float = 0.8) -> xr.Dataset:
    """Four curves of one of three decays, with correlated errors."""
    x = np.geomspace(0.1, 1.0, 4)[:, None] * LAGS
    m = {
        "single_exponential": np.exp(-x),
        "kww": np.exp(-(x**0.8)),
        "double_exponential": 0.5 * np.exp(-2.5 * x) + 0.5 * np.exp(-x / 2.5),
    }[kind]
    steps = np.abs(np.subtract.outer(np.arange(len(LAGS)), np.arange(len(LAGS))))
    scatter = rng.standard_normal((4, len(LAGS))) @ np.linalg.cholesky(rho**steps).T
    return dataset(1 + 0.2 * m**2 + noise * scatter, noise)


def flickering(kind: str, rng: np.random.Generator, pixels: int = 1000, frames: int = 600) -> xr.Dataset:
    """Four bins of speckles whose field decays at one rate, or half of it at each of two."""
    shown = []
    for rate in np.geomspace(0.03, 0.1, 4):
        if kind == "double_exponential":
            both = [fields(rng, rate * factor, frames, pixels) for factor in (2.5, 1 / 2.5)]
            shown.append((0.5 * (both[0] + both[1]) ** 2).sum(axis=(0, 2)))
        else:
            shown.append(intensities(rng, rate, frames, pixels))
    return correlations(shown)


def study_choice(experiments: int) -> None:
    cases = [("correlated noise", decaying, kind) for kind in DECAYS]
    cases += [("speckles", flickering, kind) for kind in (DECAYS[0], DECAYS[2])]
    for name, make, kind in cases:
        rng, found = np.random.default_rng(5), Counter[str]()
        for _ in range(experiments):
            found[hnb.compare_models(make(kind, rng), DECAYS).chosen] += 1
        print(f"choice of {experiments}, {name}, truth {kind}: {dict(found)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=200)
    parser.add_argument("--only", nargs="*", default=["time", "window", "coverage", "choice"])
    args = parser.parse_args()
    warnings.simplefilter("ignore", HeterodyneWarning)
    if "time" in args.only:
        study_time()
    if "window" in args.only:
        study_window(1000)
    if "coverage" in args.only:
        study_coverage(args.experiments)
    if "choice" in args.only:
        study_choice(args.experiments)


if __name__ == "__main__":
    main()
