from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
from noisy_maps import white_dataset

from heterodyne_nb.data import prepare, stack_bins
from heterodyne_nb.data.accessor import _PLOTS, _VERBS


@pytest.fixture
def ds():
    return white_dataset()


def test_verbs_are_the_functions_of_the_package(ds):
    x = ds.xpcs
    assert x.g2(age=1.0, width=0.3, cut="diagonal").identical(
        prepare.g2_cuts(ds, age=1.0, width=0.3, cut="diagonal")
    )
    assert x.select(q=0.01).identical(prepare.select(ds, q=0.01))
    assert x.crop_frames(3, 9).identical(prepare.crop_frames(ds, 3, 9))
    assert x.mask_frames([3]).xpcs.unmask()["mask"].all()
    assert x.merge_bins(over="phi").identical(prepare.merge_bins(ds, over="phi"))
    assert x.estimate_sigma().identical(prepare.estimate_sigma(ds))
    assert x.detect_bad_frames().identical(prepare.detect_bad_frames(ds))
    assert x.fringe_spectrum(age=1.0).identical(prepare.fringe_spectrum(ds, age=1.0))
    assert x.stack_bins().identical(stack_bins(ds))
    assert x.stack_bins().xpcs.unstack_bins()["c2"].dims == ("q", "phi", "t1", "t2")


def test_verbs_are_listed_and_documented(ds):
    assert set(_VERBS) | {"plot"} <= set(dir(ds.xpcs))
    assert set(_PLOTS) <= set(dir(ds.xpcs.plot))
    assert ds.xpcs.g2.__doc__ == prepare.g2_cuts.__doc__
    assert "mask_frames" in repr(ds.xpcs)


def test_every_verb_of_this_layer_exists(ds):
    for verb, where in _VERBS.items():
        if where.startswith("heterodyne_nb.data."):
            assert callable(getattr(ds.xpcs, verb))


def test_an_unknown_verb_lists_the_known_ones(ds):
    with pytest.raises(AttributeError, match=r"ds.xpcs has no 'maskframes'; it offers .*mask_frames"):
        _ = ds.xpcs.maskframes
    with pytest.raises(AttributeError, match=r"ds.xpcs.plot has no 'map'; it offers c2"):
        _ = ds.xpcs.plot.map


def test_a_figure_is_drawn_by_the_plot_layer(ds):
    pytest.importorskip("plotly")
    figure = ds.xpcs.plot.c2(q=0.01, phi=60)
    assert type(figure).__name__ == "Figure"


def test_plot_itself_draws_the_maps_and_without_maps_the_curves(ds):
    pytest.importorskip("plotly")
    assert ds.xpcs.plot(q=0.01, phi=60).data[0].type.startswith("heatmap")
    assert all(trace.type.startswith("scatter") for trace in ds.xpcs.g2().xpcs.plot(q=0.01, phi=60).data)


def test_the_accessor_can_be_copied_and_pickled(ds):
    np.testing.assert_array_equal(copy.copy(ds.xpcs).select(q=0.01)["q"], [0.01])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ds.xpcs)).select(q=0.01)["q"], [0.01])


def test_the_accessor_comes_with_the_data_layer_and_without_plotting():
    code = """
import sys, xarray, heterodyne_nb.data
assert hasattr(xarray.Dataset, "xpcs")
assert "plotly" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
