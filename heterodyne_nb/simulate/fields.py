"""Speckle of one (q, phi) bin from first principles.

Every pixel carries, for each coherent mode m and component c, a complex Gaussian field E_mc of unit variance
and covariance ⟨E(t1) E*(t2)⟩ = exp(−½ q² ∫J) (He et al., PNAS (2025) 10.1073/pnas.2514216122, SI). In the
warped time ∫J that is an Ornstein-Uhlenbeck process, hence exactly a first-order recursion over frames.
The pixel sees I = Σ_m w_m |Σ_c x_c E_mc exp(i q cos(φ_c−φ) ∫v_c)|², with mode weights w_m of sum 1: partial
coherence as independent speckle patterns added in intensity, of contrast Σ w_m².

Pixels come in blocks of fixed size with a random stream each, so memory stays small and a bin is reproduced
exactly whatever else is simulated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.simulate.components import Array, Component

_BLOCK = 512  # pixels; the fields of a block stay in the processor's cache
_STRAY = 0.04  # stray light on a frame without beam, relative to the mean intensity


@dataclass(frozen=True)
class Detector:
    """How the fields of a bin are seen."""

    n_pixels: int
    weights: Array  #: intensity share of each coherent mode
    mean_counts: float | None = None  #: photons per pixel and frame, run average; None: no shot noise
    no_beam: NDArray[np.bool_] | None = None  #: (N,) frames that see only stray light
    steady: bool = False  #: hold the mean intensity constant while the fractions change


def mode_weights(contrast: float) -> Array:
    """Intensity shares of coherent modes, as few as possible, with Σ w = 1 and Σ w² = contrast.

    One mode leads and the others share the rest equally, as in partially coherent beams.
    """
    n = int(np.ceil(1 / contrast - 1e-9))
    if n <= 1:
        return np.ones(1)
    lead = (1 + np.sqrt(max(0.0, (n - 1) * (n * contrast - 1)))) / n
    return np.concatenate([[lead], np.full(n - 1, (1 - lead) / (n - 1))])


def bin_correlation(
    components: Sequence[Component], q: float, phi: float, detector: Detector, seed: np.random.SeedSequence
) -> tuple[NDArray[np.float32], Array]:
    """Two-time correlation and mean intensity of one simulated bin.

    ``components``: What scatters, sampled at N frames. ``q``: Wave-vector modulus, 1/Å. ``phi``: Azimuth of the bin,
    degrees. ``detector``: Pixels, coherence, shot noise and lost frames. ``seed``: Source of all randomness; advanced
    by spawning. Returns ``c2`` (N, N): ⟨I(t1) I(t2)⟩ / (⟨I(t1)⟩⟨I(t2)⟩) over pixels. With shot noise the diagonal is
    ⟨n(n−1)⟩/⟨n⟩², free of the 1/⟨n⟩ spike. Returns ``intensity`` (N,): ⟨I(t)⟩ over pixels: photons per pixel with
    shot noise, else 1 on average over a full run.
    """
    n_frames = components[0].amplitude.size
    total = np.zeros(n_frames)
    products = np.zeros((n_frames, n_frames))
    for intensity in pixel_blocks(components, q, phi, detector, seed):
        total += intensity.sum(axis=1)
        products += intensity @ intensity.T
    if detector.mean_counts is not None:
        products[np.diag_indices(n_frames)] -= total
    norm = np.outer(total, total)
    with np.errstate(invalid="ignore", divide="ignore"):  # a frame without a photon has no correlation: NaN
        c2 = detector.n_pixels * products / norm
    c2[norm == 0] = np.nan
    return c2.astype(np.float32), total / detector.n_pixels


def pixel_blocks(
    components: Sequence[Component], q: float, phi: float, detector: Detector, seed: np.random.SeedSequence
) -> Iterator[Array]:
    """What the detector records, (N, block) at a time."""
    decay = np.array([np.exp(-0.5 * q**2 * c.spread) for c in components])
    phasors = _phasors(components, q, phi) / _scale(components, detector.steady)
    sizes = np.diff([*range(0, detector.n_pixels, _BLOCK), detector.n_pixels])
    for size, stream in zip(sizes, seed.spawn(len(sizes)), strict=True):
        rng = np.random.default_rng(stream)
        intensity = _intensity(decay, phasors, detector.weights, int(size), rng)
        yield _record(intensity, detector, rng)


def _phasors(components: Sequence[Component], q: float, phi: float) -> NDArray[np.complex128]:
    """Amplitude and Doppler phase (component, N) in the direction of the bin."""
    phasors = np.empty((len(components), components[0].amplitude.size), dtype=np.complex128)
    for row, c in zip(phasors, components, strict=True):
        projected = q * np.cos(np.deg2rad(c.direction - phi))
        row[:] = c.amplitude * np.exp(1j * projected * c.displacement)
    return phasors


def _scale(components: Sequence[Component], steady: bool) -> Array:
    """Field scale at each frame that makes the mean intensity 1, always or on average over the run."""
    power = np.sum([c.amplitude**2 for c in components], axis=0)
    return np.asarray(np.sqrt(power if steady else np.full_like(power, power.mean())))


def _intensity(
    decay: Array, phasors: NDArray[np.complex128], weights: Array, n_pixels: int, rng: np.random.Generator
) -> Array:
    """Intensity (N, pixels) of fields that forget themselves by `decay` (component, N−1) a frame."""
    n_components, n_frames = phasors.shape
    shape = (n_components, weights.size * n_pixels)
    keep = decay.astype(np.float32)
    renew = np.sqrt(-np.expm1(2 * np.log(np.maximum(decay, 1e-30)))).astype(np.float32)
    turn = phasors.astype(np.complex64)
    share = weights.astype(np.float32)
    field = _unit_fields(shape, rng)
    intensity = np.empty((n_frames, n_pixels))
    for k in range(n_frames):
        if k:
            field *= keep[:, k - 1, None]
            field += renew[:, k - 1, None] * _unit_fields(shape, rng)
        seen = turn[:, k] @ field
        intensity[k] = share @ (seen.real**2 + seen.imag**2).reshape(weights.size, n_pixels)
    return intensity


def _unit_fields(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.complex64]:
    """Complex Gaussian numbers of unit mean square."""
    parts = rng.standard_normal((shape[0], 2 * shape[1]), dtype=np.float32)
    parts *= np.float32(np.sqrt(0.5))
    return parts.view(np.complex64)


def _record(intensity: Array, detector: Detector, rng: np.random.Generator) -> Array:
    if detector.no_beam is not None:
        intensity[detector.no_beam] = _STRAY
    if detector.mean_counts is None:
        return intensity
    # a stream each frame: where rounding on another processor turns one photon, later frames stay the same
    for frame, stream in zip(intensity, rng.spawn(len(intensity)), strict=True):
        frame[:] = stream.poisson(detector.mean_counts * frame)
    return intensity
