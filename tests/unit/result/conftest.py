"""A heterodyne result with everything in it."""

import pytest
from result_parts import BOUNDS, PlainModel, parts

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
