"""A folder of runs and a live fit, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from driving import Canvas, button, choose, fill, press, read, settled, tab
from servers import served_app

from heterodyne_nb import simulate
from heterodyne_nb.data.formats.native import write_dataset

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MODE, TRUTH = "static_isotropic", [300.0, -0.4, 20.0]


def a_run(path: Path, seed: int) -> None:
    made = {"q": [0.006, 0.01], "phi": [0.0], "n_frames": 40, "dt": 0.5, "contrast": 0.3, "noise": 0.01}
    write_dataset(simulate.model_maps(MODE, TRUTH, **made, seed=seed), path)


def some_frames(folder: Path) -> None:
    made = {"q": [0.006, 0.009], "phi": 0.0, "n_frames": 160, "dt": 0.5, "n_pixels": 300, "mean_counts": 0.4}
    run = simulate.frames(MODE, TRUTH, **made)
    frame, pixel, count = run.photons.in_time_order()
    dense = np.zeros((run.n_frames, run.partition.labels.size), np.uint16)
    dense[frame, pixel] = count
    with h5py.File(folder / "frames.h5", "w") as file:
        file["entry/data/data"] = dense.reshape(-1, *run.partition.shape)
    with h5py.File(folder / "qmap.h5", "w") as file:
        for name, values in {
            "dynamic_roi_map": run.partition.labels,
            "dynamic_v_list_dim0": run.partition.q,
            "dynamic_v_list_dim1": [0.0],
            "dynamic_index_mapping": np.arange(2),
        }.items():
            file[f"qmap/{name}"] = values


def set_mode(page: Any) -> None:
    """The fits of these tests: a small mode, from its start values alone."""
    tab(page, "Fit")
    page.locator('.widget-inline-hbox:visible:has(label:text-is("mode")) select').first.wait_for()
    choose(page, "mode", "static isotropic")
    fill(page, "starts", "0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    """Of the app: three runs, and frames with their partition."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "runs").mkdir()
    for k in (1, 2, 3):
        a_run(folder / "runs" / f"run{k}.nc", k)
    some_frames(folder)
    return folder


@pytest.fixture(scope="module")
def app(shared: Any, folder: Path) -> Iterator[Any]:
    with served_app(folder, str(folder / "runs")) as address:
        shared.set_viewport_size({"width": 1366, "height": 768})
        shared.goto(address, wait_until="commit")
        shared.locator(".hn-table:visible tbody tr", has_text="run3.nc").wait_for()
        yield shared


def test_runs_of_a_folder_are_fitted_averaged_followed_and_opened(app: Any, folder: Path) -> None:
    page = app
    tab(page, "Runs")
    rows = page.locator(".hn-table:visible tbody tr")
    assert rows.count() == 3
    maps = page.locator(".hn-table:visible .hn-thumbnail img")
    page.locator('.hn-table:visible img[alt="map of run3.nc"]').wait_for()
    assert (
        maps.evaluate_all("nodes => nodes.map((node) => [node.naturalWidth, node.naturalHeight])")
        == [[40, 40]] * 3
    )
    set_mode(page)
    tab(page, "Runs")
    rows.nth(0).click()
    rows.nth(1).focus()
    page.keyboard.press(" ")
    press(page, "Fit runs")
    for k in (1, 2):
        page.locator(".hn-table:visible tbody tr", has_text=f"run{k}.nc").filter(has_text="done").wait_for()
    read(page, "table.csv and the fits are in")
    page.locator('label:visible:has-text("follow new files") input').check()
    a_run(folder / "runs" / "run4.nc", 4)
    page.locator(".hn-table:visible tbody tr", has_text="run4.nc").wait_for()
    press(page, "Average")
    read(page, "average of run1.nc, run2.nc")
    Canvas(page, "map").wait()
    tab(page, "Runs")
    rows.nth(2).dblclick()
    read(page, "run3.nc · static_isotropic")
    Canvas(page, "map").wait()
    settled(page)


def test_a_replayed_run_sharpens_and_is_stopped(app: Any) -> None:
    page = app
    set_mode(page)
    tab(page, "Live")
    fields = {"from": "frames.h5", "q map": "qmap.h5", "dt (s)": "0.5", "first fit after (frames)": "20"}
    page.locator('.widget-inline-hbox:visible:has(label:text-is("frames of")) select').first.wait_for()
    choose(page, "frames of", "replay a stored run")
    choose(page, "speed", "as measured")
    for name, text in fields.items():
        fill(page, name, text)
    press(page, "Start")
    page.locator('[role="img"][aria-label]:visible').wait_for()
    page.locator(".hn-figure:visible", has_text="transport coefficient").first.wait_for()
    press(page, "Stop")
    read(page, "cancelled")
    button(page, "Start").wait_for()
    choose(page, "speed", "at once")
    press(page, "Start")
    read(page, "160 frames")
    settled(page)
