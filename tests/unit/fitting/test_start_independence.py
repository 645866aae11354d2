"""What a fit says must not depend on where it began: curves agree where the 14 numbers need not."""

from __future__ import annotations

import numpy as np
import pytest
from fit_samples import HETERODYNE

import heterodyne_nb as hnb
from heterodyne_nb.config import resolve_parameters
from heterodyne_nb.result import FitResult
from heterodyne_nb.simulate import model_maps


@pytest.fixture(scope="module")
def fits() -> tuple[FitResult, FitResult]:
    """From the start values of the template, and from random ones found by a search with another seed."""
    phi = [-75.0, -50.0, -25.0, 0.0, 15.0, 40.0, 65.0, 85.0]
    ds = model_maps(
        "heterodyne", HETERODYNE, q=[0.009], phi=phi, n_frames=80, dt=0.5, contrast=0.3, noise=0.01, seed=11
    )
    table = resolve_parameters("heterodyne")
    template = dict(zip(table.names, table.values.tolist(), strict=True))
    first = hnb.fit(ds, "heterodyne", parameters={**template, "f2": 2.0}, seed=1)
    return first, hnb.fit(ds, "heterodyne", seed=7)


def test_two_starts_reach_the_same_chi_square(fits: tuple[FitResult, FitResult]) -> None:
    first, second = fits
    assert first.chi2 == pytest.approx(second.chi2, rel=1e-6)


def test_their_curves_agree_within_a_fraction_of_their_bands(fits: tuple[FitResult, FitResult]) -> None:
    first, second = fits
    for name in first.curve_names:
        one, other = first.curve(name), second.curve(name)
        width = 0.5 * (one["upper"] - one["lower"])
        assert float((np.abs(one["value"] - other["value"]) / width).max()) < 0.5


def test_numbers_along_the_null_direction_differ_all_the_same(fits: tuple[FitResult, FitResult]) -> None:
    first, second = fits
    assert first.values["f2"] != second.values["f2"]
    assert "f0" in first.identifiability().not_determined

    def together(result: FitResult) -> float:
        f0, f1, f2 = (result.values[name] for name in ("f0", "f1", "f2"))
        return float(f0 * np.exp(-f1 * f2))

    assert together(first) == pytest.approx(together(second), rel=0.02)
