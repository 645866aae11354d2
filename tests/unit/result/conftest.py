"""A heterodyne result with everything in it."""

import numpy as np
import pytest
from result_parts import BOUNDS, PlainModel, parts

import heterodyne_nb
from heterodyne_nb.data import make_dataset
from heterodyne_nb.result import FitResult


@pytest.fixture
def make_result():
    """Build a result, some of its parts replaced."""

    def make(**changes):
        return FitResult.from_parts(
            changes.pop("model", PlainModel()), **parts(**{"bounds": BOUNDS, **changes})
        )

    return make


@pytest.fixture
def result(make_result):
    """A complete heterodyne result."""
    return make_result()


@pytest.fixture
def one_time_result():
    """A fit of g2 curves alone: two q, two angles, errors stated, a run with a name."""
    tau = np.geomspace(0.1, 20, 25)
    q, phi = np.array([0.01, 0.02]), np.array([0.0, 45.0])
    decay = 1 + 0.2 * np.exp(-2 * (tau / 3) ** 0.9)
    g2 = np.broadcast_to(decay, (2, 2, 25)) + np.random.default_rng(1).normal(0, 0.002, (2, 2, 25))
    said = {"sample": "silica", "energy": 7.35}
    ds = make_dataset(q=q, phi=phi, dt=0.1, g2=g2, g2_err=np.full(g2.shape, 0.002), tau=tau, attrs=said)
    return heterodyne_nb.fit(ds, mode="kww")
