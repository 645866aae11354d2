"""Two-time maps with noise of known kind, made here from random numbers alone."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from heterodyne_nb.data import make_dataset


def lags(n):
    """|i − j| of an n × n map."""
    t = np.arange(n)
    return np.abs(t[:, None] - t)


def ar_map(n, rho, rng, sigma=0.05):
    """Ageing decay plus noise that is an AR(1) field along both times; returns (map, truth)."""
    burn = int(8 / (1 - rho))
    noise = np.triu(rng.standard_normal((n + burn, n + burn)))
    noise = noise + np.triu(noise, 1).T
    for axis in (0, 1):
        noise = lfilter([np.sqrt(1 - rho**2)], [1, -rho], noise, axis=axis)
    t = np.arange(n)
    truth = 1 + 0.2 * np.exp(-lags(n) / 30 * (1 + 0.5 * (t[:, None] + t) / n))
    return truth + sigma * noise[burn:, burn:], truth


def striped_map(n, rng, sigma=0.05):
    """White noise plus a random offset of every frame, seen in its row and column; returns (map, truth)."""
    frame = sigma * rng.standard_normal(n)
    white = np.triu(sigma * rng.standard_normal((n, n)))
    truth = 1 + 0.2 * np.exp(-lags(n) / 30)
    return truth + white + np.triu(white, 1).T + frame[:, None] + frame, truth


def speckle_map(n, lifetime, rng, n_pixels=400):
    """Two-time correlation of complex Gaussian fields with g1 = exp(−lag/lifetime); returns (map, truth)."""
    rho = np.exp(-1 / lifetime)
    white = rng.standard_normal((2, n_pixels, n), dtype=np.float32)
    white[..., 0] /= np.sqrt(1 - rho**2)  # stationary from the first frame on
    a, b = np.array([1, -rho], np.float32), np.array([np.sqrt((1 - rho**2) / 2)], np.float32)
    field = lfilter(b, a, white, axis=-1).astype(float)
    intensity = (field**2).sum(0)
    mean = intensity.mean(0)
    return intensity.T @ intensity / n_pixels / (mean[:, None] * mean), 1 + rho ** (2.0 * lags(n))


def white_dataset(n=24, q=(0.01, 0.02), phi=(-150.0, -30.0, 60.0, 175.0), seed=0, sigma=0.1, **more):
    """A (q, phi) dataset of symmetric white noise about 1, dt = 0.1 s."""
    c2 = np.random.default_rng(seed).normal(1, sigma, (len(q), len(phi), n, n)).astype(np.float32)
    c2 = np.triu(c2) + np.triu(c2, 1).swapaxes(-1, -2)
    return make_dataset(c2, q=list(q), phi=list(phi), dt=0.1, **more)
