"""The data explorer, driven by its named children without a browser."""

from __future__ import annotations

import numpy as np
import pytest

from heterodyne_nb.app import DataExplorer
from heterodyne_nb.app.cut_panel import clear_age
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.data import make_dataset, prepare
from heterodyne_nb.simulate import example_path


def flowing(n: int = 90, bad: tuple[int, int] | None = (40, 42)):
    """One ring of four angles with fringes of v = 60 Å/s along 20°, dt = 0.5 s, and frames that went dark."""
    t = 0.5 * np.arange(1, n + 1)
    phi = np.array([-45.0, 0.0, 45.0, 80.0])
    lag = np.abs(t[:, None] - t)
    fringe = [np.cos(0.02 * np.cos(np.deg2rad(20 - one)) * 60 * lag) for one in phi]
    noise = np.random.default_rng(3).standard_normal((4, n, n)) * 0.002
    maps = 1 + 0.1 * np.exp(-lag / 60) * (1.2 + np.array(fringe)) + noise + noise.transpose(0, 2, 1)
    if bad:
        maps[:, bad[0] - 1 : bad[1]] = 1.0
        maps[:, :, bad[0] - 1 : bad[1]] = 1.0
    return make_dataset(maps[None].astype(np.float32), q=[0.02], phi=phi, dt=0.5)


@pytest.fixture
def explorer():
    made = DataExplorer(AnalysisSession(flowing()))
    yield made
    made.close()
    made.session.close()


def curve(explorer: DataExplorer) -> np.ndarray:
    return np.asarray(explorer.cut.figure.figure.data[0].y)


def test_an_empty_explorer_opens_the_example_at_a_click():
    explorer = DataExplorer()
    assert explorer.map.message == "no run is open"
    explorer.example.click()
    assert explorer.session.source == str(example_path())
    assert explorer.map.frames == (1, 200)
    assert "3 q × 8 φ, 1 without data" in explorer.file.contents.value
    assert "7.35 keV" in explorer.file.contents.value
    explorer.close()
    explorer.session.close()


def test_the_sliders_choose_the_bin_and_follow_it(explorer):
    explorer.phi.value = 45.0
    assert explorer.session.bin == 2
    np.testing.assert_array_equal(
        np.frombuffer(explorer.map.base["data"], np.float32),
        explorer.session.dataset.c2.values[0, 2].T.ravel(),
    )
    explorer.session.select_bin(0)
    assert explorer.phi.value == -45.0


def test_another_q_says_nothing_of_the_angle_which_may_have_been_moved_meanwhile(explorer):
    explorer.example.click()
    explorer.phi.value = 0.0
    said = []
    explorer.phi.observe(said.append, "index")
    for q, words in ((0.009, "90°"), (0.006, "90° (no data)")):
        explorer.q.value = q
        assert explorer.phi.options[-1] == (words, 90.0)
        assert explorer.phi.label == "0°"
    assert said == []


def test_the_bin_stays_when_the_run_changes(explorer):
    explorer.phi.value = 45.0
    other = flowing(n=60).isel(phi=[1, 2, 3])
    explorer.session.open(other)
    assert explorer.phi.value == 45.0
    assert explorer.map.frames == (1, 60)
    assert explorer.age.max == 30.0


def test_the_cut_is_that_of_the_package_at_the_age_of_the_line_on_the_map(explorer):
    explorer.map.age = 12.0
    explorer.map.width = 4.0
    assert explorer.age.value == 12.0
    expected = prepare.g2_cuts(explorer.session.dataset.isel(phi=[0]), age=12.0, width=4.0)
    np.testing.assert_allclose(curve(explorer), expected.g2.values.ravel()[: curve(explorer).size])
    explorer.kind.value = "diagonal"
    assert explorer.map.cut == "diagonal"
    assert "(t₁ + t₂)" in {v: k for k, v in explorer.kind.options}["diagonal"]
    assert not np.array_equal(curve(explorer)[:5], expected.g2.values.ravel()[:5])


def test_brushing_on_map_or_strip_masks_frames_and_undo_takes_it_back(explorer):
    explorer.map.brushed = (10, 12)
    explorer.strip.brushed = (13, 14)
    assert explorer.session.masked == ((10, 14),)
    assert explorer.map.bands == explorer.strip.bands == [(10, 14)]
    assert explorer.map.brushed == ()
    explorer.map.erased = (12, 12)
    assert explorer.session.masked == ((10, 11), (13, 14))
    explorer.undo.click()
    explorer.undo.click()
    assert explorer.session.masked == ((10, 12),)
    explorer.redo.click()
    assert explorer.session.masked == ((10, 14),)


def test_bad_frames_are_offered_and_masked_only_when_accepted(explorer):
    explorer.find.click()
    assert explorer.frames.background.wait(600)
    assert explorer.map.offered == explorer.strip.offered == [(40, 42)]
    assert explorer.session.masked == ()
    explorer.dismiss.click()
    assert explorer.map.offered == []
    explorer.find.click()
    assert explorer.frames.background.wait(600)
    explorer.accept.click()
    assert explorer.session.masked == ((40, 42),)
    assert explorer.map.offered == []


def test_frames_can_be_written_down(explorer):
    explorer.frames.numbers.value = "3, 5 - 7; 80"
    explorer.frames.mask.click()
    assert explorer.session.masked == ((3, 3), (5, 7), (80, 80))
    explorer.frames.numbers.value = "6"
    explorer.frames.unmask.click()
    assert explorer.session.masked == ((3, 3), (5, 5), (7, 7), (80, 80))
    explorer.frames.numbers.value = "three"
    explorer.frames.mask.click()
    assert "is no frame" in explorer.frames.message.value
    explorer.frames.numbers.value = ""
    explorer.frames.unmask.click()
    assert explorer.session.masked == ()
    assert explorer.frames.message.value == ""


def test_cropping_moves_the_limits_of_the_cut_and_comes_back(explorer):
    explorer.frames.first.value, explorer.frames.last.value = 31, 80
    explorer.frames.crop.click()
    assert explorer.session.crop == (31, 80)
    assert (explorer.age.min, explorer.age.max) == (15.5, 40.0)
    assert explorer.map.frames == (31, 80)
    explorer.frames.uncrop.click()
    assert explorer.map.frames == (1, 90)
    assert explorer.frames.last.value == 90


def test_the_fringes_become_start_values(explorer):
    explorer.session.mask_frames(40, 42)
    explorer.read.click()
    assert explorer.fringes.background.wait(600)
    reading = explorer.fringes.reading
    assert reading.phi0 == pytest.approx(20, abs=1.5)
    assert reading.velocity(20.0) == pytest.approx(60, rel=0.05)
    explorer.use.click()
    table = explorer.session.parameters
    assert table.values[table.index("v0")] == pytest.approx(reading.v0)
    assert table.values[table.index("phi0")] == reading.phi0
    assert explorer.undo.tooltip == "undo: start values"


def test_a_known_direction_is_used_and_a_wrong_one_is_said(explorer):
    explorer.fringes.direction.value = "east"
    explorer.read.click()
    assert "is no angle" in explorer.fringes.message.value
    explorer.fringes.direction.value = "−70"
    explorer.read.click()
    assert explorer.fringes.background.wait(600)
    assert explorer.fringes.reading.phi0 == -70


def test_colours_by_numbers_begin_where_the_percentiles_are(explorer):
    low, high = explorer.map.limits
    explorer.colours.by.value = "numbers"
    assert explorer.map.limits == pytest.approx((low, high), abs=1e-3)
    explorer.colours.high.value = 1.3
    assert explorer.map.limits[1] == 1.3
    explorer.colours.low.value = 2.0
    assert "does not increase" in explorer.colours.message.value
    assert explorer.map.limits[1] == 1.3


def test_a_file_that_is_not_there_is_said_in_place(explorer):
    explorer.path.value = "/nowhere/run.h5"
    explorer.open.click()
    assert "there is no such file" in explorer.file.message.value
    assert explorer.session.dataset is not None


def test_files_are_listed_and_picked(explorer, tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "run.h5").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no data")
    explorer.path.value = str(tmp_path)
    explorer.file.browse.click()
    names = [label for label, _ in explorer.file.listing.options]
    assert any(name.startswith("run.h5") for name in names)
    assert "inside/" in names
    assert not any("notes" in name for name in names)
    explorer.file.listing.value = str(tmp_path / "inside")
    assert explorer.file.listing.options[0][1] == str(tmp_path)
    explorer.file.listing.value = str(tmp_path)
    explorer.file.listing.value = str(tmp_path / "run.h5")
    assert explorer.path.value == str(tmp_path / "run.h5")


def test_the_cut_starts_where_no_frame_is_masked_or_bad(explorer):
    session = explorer.session
    t, dt = session.dataset["t"].values, float(session.dataset.attrs["dt"])
    frames = np.round(t / dt)
    for part in (0.3, 0.43, 0.45, 0.47):  # the last three at the frames that went dark
        age = clear_age(session.dataset, session.bin, part, 2.0)
        assert not set(frames[np.abs(t - age) < 1.001]) & {40, 41, 42}
        assert abs(age - part * t[-1]) < 2.5
    session.mask_frames(43, 48)
    age = clear_age(session.dataset, session.bin, 0.5, 2.0)
    assert not set(frames[np.abs(t - age) < 1.001]) & set(range(40, 49))


def test_the_bins_that_are_fitted_are_chosen(explorer):
    explorer.fitted.value = "bin"
    assert explorer.session.bins == (0,)
    explorer.fitted.value = "ring"
    assert explorer.session.bins == (0, 1, 2, 3)
    explorer.session.fit_bins([1, 2])
    assert explorer.fitted.value == "own"
    explorer.fitted.value = "all"
    assert explorer.session.bins is None


def test_a_closed_explorer_leaves_no_widget_and_no_observer_behind():
    from ipywidgets.widgets.widget import _instances

    session = AnalysisSession(flowing())
    before = set(_instances)
    explorer = DataExplorer(session)
    explorer.find.click()
    explorer.close()
    # widgets give each child a style and a layout of its own, which close with nobody; plotly.js is kept for all
    left = [w for key, w in _instances.items() if key not in before]
    assert [
        type(w).__name__ for w in left if not type(w).__name__.endswith(("Style", "Layout", "Library"))
    ] == []
    session.mask_frames(5)
    assert explorer.map.bands == []
    assert session._trait_notifiers.get("dataset", {}).get("change", []) == []
    session.close()


def test_while_a_page_shows_the_cut_it_is_computed_beside_it_and_the_last_age_wins(explorer):
    explorer.cut.figure.widget._view_count = 1  # all that a page says back when it shows the figure
    for age in (10.0, 20.0, 30.0):
        explorer.age.value = age
    assert explorer.cut.latest.wait(600)
    expected = prepare.g2_cuts(explorer.session.dataset.isel(phi=[0]), age=30.0, width=explorer.window.value)
    np.testing.assert_allclose(curve(explorer), expected.g2.values.ravel()[: curve(explorer).size])


def test_a_run_of_g2_alone_shows_its_g2_and_no_map_of_the_run_before(explorer: DataExplorer):
    tau = np.geomspace(0.1, 50.0, 30)
    g2 = 1 + 0.2 * np.exp(-2 * np.array([0.2, 0.8])[:, None] * tau)
    ds = make_dataset(
        g2=g2[:, None], g2_err=np.full((2, 1, 30), 2e-3), tau=tau, q=[0.01, 0.02], phi=[0.0], dt=0.1
    )
    assert explorer.map.base
    explorer.session.open(ds)
    assert explorer.map.base == {}
    assert "no two-time map" in explorer.map.message
    assert explorer.strip.trace == {}
    np.testing.assert_allclose(curve(explorer), g2[0])
    explorer.q.value = 0.02
    told = [part.message.value for part in (explorer, *explorer._parts)]
    assert told == [""] * len(told)
    assert explorer.kind.disabled
    assert explorer.frames.crop.disabled
    explorer.session.open(flowing())
    assert explorer.map.base
    assert not explorer.kind.disabled
