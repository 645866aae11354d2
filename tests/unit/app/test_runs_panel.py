"""A folder of runs: looked at, opened, averaged, fitted, followed; by the panel's named children without a browser."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from heterodyne_nb import AnalysisSession, FitResult, scan_folder, simulate
from heterodyne_nb.app import App, RunsPanel
from heterodyne_nb.app.thumbnail import thumbnail
from heterodyne_nb.data import prepare
from heterodyne_nb.data.formats.native import write_dataset


def write(path: Path, seed: int) -> None:
    maps = simulate.model_maps(
        "static_isotropic", [300, -0.4, 40], q=[0.006, 0.01], phi=[0.0], n_frames=40, dt=0.5,
        contrast=0.3, noise=0.01, seed=seed,
    )  # fmt: skip
    write_dataset(maps, path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    runs = tmp_path / "runs"
    runs.mkdir()
    for k in (1, 2, 3):
        write(runs / f"run{k}.nc", k)
    return runs


@pytest.fixture
def panel(folder: Path) -> Iterator[RunsPanel]:
    session = AnalysisSession()
    session.change_settings(mode="static_isotropic", multistart=0)
    one = RunsPanel(session)
    one.folder.value = str(folder)
    yield one
    one.close()
    session.close()


def look(panel: RunsPanel) -> None:
    panel.scan.click()
    assert panel.wait(120)
    assert panel.message.value == ""


def column(panel: RunsPanel, head: str) -> list[str]:
    return [row[panel.table.columns.index(head)] for row in panel.table.rows]


def test_a_row_says_what_a_run_holds_and_how_good_it_is(panel: RunsPanel, folder: Path) -> None:
    look(panel)
    assert panel.table.names == [str(folder / f"run{k}.nc") for k in (1, 2, 3)]
    assert column(panel, "frames") == ["40"] * 3
    expected = [f"{value:.3f}" for value in scan_folder(folder)["contrast"]]
    assert column(panel, "contrast") == expected


def test_a_run_that_cannot_be_read_has_a_row_that_says_why(panel: RunsPanel, folder: Path) -> None:
    (folder / "run4.nc").write_bytes(b"no data at all")
    look(panel)
    assert column(panel, "contrast")[3] == ""
    assert column(panel, "remarks")[3] != ""


def test_the_run_chosen_is_opened_and_so_is_one_that_is_double_clicked(
    panel: RunsPanel, folder: Path
) -> None:
    look(panel)
    panel.open.click()
    assert "0 runs are chosen" in panel.message.value
    panel.table.selected = panel.table.names[:2]
    panel.open.click()
    assert "2 runs are chosen" in panel.message.value
    panel.table.selected = [panel.table.names[1]]
    panel.open.click()
    assert panel.session.source == str(folder / "run2.nc")
    panel.table.opened = [panel.table.names[0], 1]
    assert panel.session.source == str(folder / "run1.nc")


def test_the_average_of_the_runs_chosen_is_opened(panel: RunsPanel, folder: Path) -> None:
    look(panel)
    panel.table.selected = panel.table.names[:2]
    panel.average.click()
    assert panel.wait(120)
    mean = np.mean([xr.open_dataset(folder / f"run{k}.nc")["c2"].values for k in (1, 2)], axis=0)
    np.testing.assert_allclose(panel.session.dataset["c2"].values, mean, rtol=1e-6)
    assert "run1.nc, run2.nc" in panel.told.value


def test_chosen_runs_are_fitted_into_the_table_and_the_folder(panel: RunsPanel, folder: Path) -> None:
    look(panel)
    panel.table.selected = panel.table.names[:2]
    panel.fit.click()
    assert panel.wait(600)
    assert panel.message.value == ""
    result = FitResult.load(folder / "fits" / "fits" / "run1.nc.nc")
    assert column(panel, "χ²ᵣ") == [
        f"{result.chi2_reduced:.4g}",
        f"{FitResult.load(folder / 'fits' / 'fits' / 'run2.nc.nc').chi2_reduced:.4g}",
        "",
    ]
    assert column(panel, "fit")[0] == f"done, {result.light}"
    assert (folder / "fits" / "table.csv").exists()
    assert "D0" in panel.table.columns


def test_a_new_file_comes_into_the_table_once_it_has_stopped_growing(panel: RunsPanel, folder: Path) -> None:
    look(panel)
    whole = folder.parent / "whole.nc"
    write(whole, 4)
    contents = whole.read_bytes()
    late = folder / "run4.nc"
    late.write_bytes(contents[: len(contents) // 2])
    panel.look_again()
    late.write_bytes(contents)
    panel.look_again()
    assert panel.wait(120)
    assert len(panel.table.names) == 3
    panel.look_again()
    assert panel.wait(120)
    assert panel.table.names[3] == str(late)
    assert "remarks" not in panel.table.columns  # there is nothing to say of any run


def test_the_app_opens_a_folder_of_runs_and_turns_to_the_data_of_the_one_chosen(folder: Path) -> None:
    app = App(folder)
    assert app.runs.wait(120)
    assert app.tabs.titles[app.tabs.selected_index] == "Runs"
    assert len(app.runs.table.rows) == 3
    app.runs.table.opened = [str(folder / "run3.nc"), 1]
    assert app.session.source == str(folder / "run3.nc")
    assert app.tabs.titles[app.tabs.selected_index] == "Data"
    app.close()
    app.session.close()


def pixels(address: str) -> np.ndarray:
    """RGBA of a picture given as a ``data:`` address."""
    image = pytest.importorskip("PIL.Image", reason="Pillow reads the picture")
    kind, _, text = address.partition(";base64,")
    assert kind == "data:image/png"
    return np.asarray(image.open(io.BytesIO(base64.b64decode(text))).convert("RGBA"))


def test_each_row_shows_the_map_of_its_clearest_bin(panel: RunsPanel, folder: Path) -> None:
    look(panel)
    assert list(panel.table.pictures) == panel.table.names
    picture = pixels(panel.table.pictures[str(folder / "run1.nc")])
    assert picture.shape == (40, 40, 4)
    brightness = picture[::-1, :, :3].sum(axis=-1).astype(float)  # t2 upwards
    near, far = (np.mean([brightness[k, k + lag] for k in range(40 - lag)]) for lag in (1, 25))
    assert near > 1.5 * far
    np.testing.assert_array_equal(brightness, brightness.T)


def test_masked_frames_are_see_through_and_a_file_of_curves_or_of_nothing_has_no_picture(
    tmp_path: Path,
) -> None:
    write(tmp_path / "run.nc", 1)
    maps = prepare.mask_frames(xr.open_dataset(tmp_path / "run.nc", engine="xpcs").load(), [(10, 12)])
    write_dataset(maps, tmp_path / "masked.nc")
    alpha = pixels(thumbnail(str(tmp_path / "masked.nc")))[::-1, :, 3]
    assert (alpha[9:12] == 0).all()
    assert (alpha[:9, :9] == 255).all()
    write_dataset(prepare.g2_cuts(maps, age=10.0, width=5.0).isel(age=0, drop=True), tmp_path / "curves.nc")
    (tmp_path / "nothing.h5").write_bytes(b"nothing")
    assert [thumbnail(str(tmp_path / name)) for name in ("curves.nc", "nothing.h5")] == ["", ""]


def test_a_file_that_was_written_anew_gets_a_new_picture(panel: RunsPanel, folder: Path) -> None:
    look(panel)
    before = dict(panel.table.pictures)
    write(folder / "run2.nc", 9)
    look(panel)
    after = panel.table.pictures
    changed = [Path(name).name for name in after if after[name] != before[name]]
    assert changed == ["run2.nc"]
