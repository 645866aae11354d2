"""fit_batch: the same fit per q, per azimuth, per age window, per file; one table of answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from fit_samples import STATIC, near, static_maps

from heterodyne_nb import fit, fit_batch
from heterodyne_nb.data import prepare, stack_bins
from heterodyne_nb.errors import ConfigurationError, DataWarning, FitWarning, OptimizationError
from heterodyne_nb.progress import ProgressEvent, StopToken


def batch(data: Any = None, **settings: Any) -> xr.Dataset:
    arguments = {"parameters": near(STATIC), "multistart": 0, **settings}
    return fit_batch(static_maps() if data is None else data, "static_isotropic", **arguments)


def test_each_q_is_fitted_as_if_it_were_alone() -> None:
    table = batch()
    assert table["parameters"].sizes == {"q": 2, "parameter": 3}
    assert table["q"].attrs["units"] == "1/Å"
    for k, q in enumerate(static_maps()["q"].values):
        alone = fit(static_maps().sel(q=[q]), "static_isotropic", parameters=near(STATIC), multistart=0)
        np.testing.assert_array_equal(table["parameters"][k], list(alone.values.values()))
        np.testing.assert_array_equal(table["stderr"][k], list(alone.errors.values()))
        assert float(table["chi2_reduced"][k]) == alone.chi2_reduced
    assert table["success"].values.all()
    assert table.attrs["failed"] == ""


@pytest.mark.parametrize("over", ["phi", "bin"])
def test_other_dimensions_will_do(over: str) -> None:
    data = stack_bins(static_maps()) if over == "bin" else static_maps()
    table = batch(data, over=over)
    assert table.sizes[over] == data.sizes[over]


def test_a_mapping_is_fitted_entry_by_entry_under_its_labels() -> None:
    runs = {"run_1": static_maps(seed=1), "run_2": static_maps(seed=2)}
    table = batch(runs, over="file")
    assert table["file"].values.tolist() == ["run_1", "run_2"]
    assert float(table["parameters"].sel(file="run_1", parameter="D0")) != float(
        table["parameters"].sel(file="run_2", parameter="D0")
    )


def test_age_windows_of_maps_show_the_ageing() -> None:
    asked = {"D0": 100.0, "alpha": {"value": 0.0, "vary": False}, "D_offset": {"value": 0.0, "vary": False}}
    table = batch(over="age", windows=2, parameters=asked)
    ages = table["age"].values
    assert table["age"].attrs["units"] == "s"
    np.testing.assert_allclose(ages, [6.5, 19.0])
    truth = STATIC["D0"] * ages ** STATIC["alpha"] + STATIC["D_offset"]
    off = table["parameters"].sel(parameter="D0") - truth
    assert np.all(np.abs(off) < 4 * table["stderr"].sel(parameter="D0"))


def test_one_time_cuts_are_fitted_age_by_age() -> None:
    cuts = prepare.g2_cuts(static_maps(), age=[6.0, 12.0, 18.0], width=6.0, cut="diagonal")
    table = fit_batch(cuts.isel(q=[1], phi=[0]), "kww", over="age")
    assert table.sizes["age"] == 3
    assert np.all(np.isfinite(table["parameters"]))


def test_a_part_that_cannot_be_fitted_is_named_and_the_others_are_kept() -> None:
    ds = static_maps()
    dead = ds.assign(c2=ds["c2"].where(ds["q"] > 0.015), usable=ds["usable"] & (ds["q"] > 0.015))
    with pytest.warns(FitWarning, match=r"q = 0.01 is left out: .*none of the 2 bins"):
        table = batch(dead)
    assert table["q"].values.tolist() == [0.02]
    assert table.attrs["failed"].startswith("0.01: ")


def test_a_part_of_bins_may_be_dead() -> None:
    c2 = static_maps()["c2"].values.copy()
    c2[0, 0] = 1.0
    with pytest.warns(DataWarning, match="phi = 0°: its map is constant"):
        table = batch(static_maps().assign(c2=(static_maps()["c2"].dims, c2)))
    assert table.sizes["q"] == 2


def test_nothing_fitted_is_an_error_that_tells_every_reason() -> None:
    ds = static_maps()
    with (
        pytest.warns(FitWarning, match="left out"),
        pytest.raises(OptimizationError, match=r"none of the 2 fits succeeded\n.*none of the 2 bins"),
    ):
        batch(ds.assign(usable=ds["usable"] & False, c2=ds["c2"] * np.nan))


def test_an_unknown_dimension_or_setting_is_an_error_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"no .temperature. to go along\n.*q, phi"):
        batch(over="temperature")
    with pytest.raises(ConfigurationError, match=r"windows = 3 with over = 'q'"):
        batch(windows=3)
    with pytest.raises(ConfigurationError, match="expected: 1 to 5"):
        batch(over="age", windows=40)
    with pytest.raises(TypeError, match="los"):
        batch(los="huber")


def test_a_wrong_setting_is_an_error_and_not_a_list_of_failed_parts() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'huber'"):
        batch(loss="hubber")


def test_stopped_in_between_the_rest_is_listed() -> None:
    stop = StopToken()

    def cancel(event: ProgressEvent) -> None:
        stop.cancel()

    table = fit_batch(
        static_maps(), "static_isotropic", parameters=STATIC, multistart=0, stop=stop, on_progress=cancel
    )
    assert table.sizes["q"] == 1
    assert table.attrs["failed"] == "0.02: cancelled"


def test_progress_counts_the_parts() -> None:
    events: list[ProgressEvent] = []
    batch(on_progress=events.append)
    assert [event.fraction for event in events] == [0.5, 1.0]
    assert [event.message for event in events] == ["q = 0.01", "q = 0.02"]
