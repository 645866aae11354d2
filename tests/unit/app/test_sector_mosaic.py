"""Bins as sectors of a polar picture: where they lie, what colours them, and that one is chosen there for every panel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from heterodyne_nb import AnalysisSession, simulate
from heterodyne_nb.app import DataExplorer, FitPanel
from heterodyne_nb.app.sector_mosaic import SectorMosaic, sector_edges
from heterodyne_nb.data import make_dataset

RINGS = np.array([0.02, 0.03])
PHI = np.array([-45.0, 0.0, 45.0, 80.0])
SPEED, DIRECTION, CONTRAST = 60.0, 20.0, (0.1, 0.2)


def flowing() -> AnalysisSession:
    """Two rings of four angles with fringes of 60 Å/s along 20°; the outer ring has twice the contrast, one bin no data."""
    t = 0.5 * np.arange(1, 91)
    q = RINGS
    lag = np.abs(t[:, None] - t)
    speed = SPEED * np.cos(np.deg2rad(DIRECTION - PHI))
    noise = np.random.default_rng(3).standard_normal((2, 4, t.size, t.size)) * 0.001
    beat = np.cos(q[:, None, None, None] * speed[None, :, None, None] * lag)
    maps = 1 + np.array(CONTRAST)[:, None, None, None] * np.exp(-lag / 60) * (1.2 + beat) / 2.2
    maps = maps + noise + noise.transpose(0, 1, 3, 2)
    maps[1, 3] = np.nan
    return AnalysisSession(make_dataset(maps.astype(np.float32), q=q, phi=PHI, dt=0.5))


@pytest.fixture
def session() -> Iterator[AnalysisSession]:
    made = flowing()
    yield made
    made.close()


@pytest.fixture
def mosaic(session: AnalysisSession) -> Iterator[SectorMosaic]:
    made = SectorMosaic(session)
    assert made.wait()
    assert made.message.value == ""
    yield made
    made.close()


def choose(mosaic: SectorMosaic, number: str) -> list[float | None]:
    mosaic.number.value = number
    assert mosaic.wait()
    assert mosaic.message.value == ""
    return mosaic.view.values


def test_sectors_are_rings_from_the_lowest_q_and_reach_half_way_to_the_next_angle() -> None:
    q, phi = np.repeat([0.02, 0.01], 3), np.tile([0.0, 30.0, -60.0], 2)
    edges = sector_edges(q, phi)
    assert edges[3, 1] == edges[0, 0]
    assert edges[0, 1] == 1.0
    np.testing.assert_allclose(edges[0, 2:], [-30, 15])
    np.testing.assert_allclose(edges[1, 2] % 360, 15)
    np.testing.assert_allclose(edges[2, 3] % 360, 330)


def test_a_single_angle_is_a_whole_ring_and_angles_of_half_a_turn_leave_the_other_half_open() -> None:
    np.testing.assert_allclose(sector_edges(np.array([0.01]), np.array([40.0]))[0, 2:], [0, 360])
    phi = np.arange(-67.5, 91, 22.5)
    edges = sector_edges(np.full(8, 0.01), phi)
    np.testing.assert_allclose(edges[:, 3] - edges[:, 2], 22.5)
    np.testing.assert_allclose((edges[:, 2] + 11.25) % 360, phi % 360)


def test_the_contrast_of_the_data_colours_the_sectors_and_a_bin_without_data_has_none(
    mosaic: SectorMosaic,
) -> None:
    values = mosaic.view.values
    lag = 1.0  # the middle one of the three shortest
    beat = [np.cos(q * SPEED * np.cos(np.deg2rad(DIRECTION - phi)) * lag) for q in RINGS for phi in PHI]
    expected = np.repeat(CONTRAST, 4) * np.exp(-lag / 60) * (1.2 + np.array(beat)) / 2.2
    np.testing.assert_allclose(values[:7], expected[:7], rtol=0.02)
    assert values[7] is None
    assert mosaic.view.names[7] == "q 0.03 Å⁻¹, φ 80°: no data"
    assert mosaic.view.names[0].startswith("q 0.02 Å⁻¹, φ −45°: contrast at short lags 0.0")


def test_the_frequency_of_the_fringes_is_that_of_the_flow_along_each_sector(mosaic: SectorMosaic) -> None:
    values = choose(mosaic, "fringes")
    expected = [q * SPEED * np.cos(np.deg2rad(DIRECTION - phi)) / (2 * np.pi) for q in RINGS for phi in PHI]
    assert values[7] is None
    np.testing.assert_allclose(values[:7], expected[:7], rtol=0.05)


def test_a_click_chooses_the_bin_of_every_panel_and_the_picture_follows_the_others(
    mosaic: SectorMosaic, session: AnalysisSession
) -> None:
    mosaic.view._heard(mosaic.view, {"pick": 5, "number": 1}, [])
    assert (session.bin, mosaic.view.chosen, mosaic.view.heard) == (5, 5, 1)
    session.select_bin(2)
    assert mosaic.view.chosen == 2
    mosaic.view._heard(mosaic.view, {"pick": 5, "number": 2}, [])
    assert session.bin == 5


def test_another_run_has_other_sectors(mosaic: SectorMosaic, session: AnalysisSession) -> None:
    session.open(session.dataset.isel(q=[0], phi=[0, 1]))
    assert mosaic.wait()
    assert len(mosaic.view.sectors) == len(mosaic.view.values) == len(mosaic.view.names) == 2


def test_the_fit_shown_colours_the_bins_it_was_made_of() -> None:
    maps = simulate.model_maps(
        "static_isotropic", [300, -0.4, 40], q=[0.006, 0.01], phi=[-30.0, 30.0], n_frames=40, dt=0.5, contrast=0.3,
        noise=0.01, seed=2,
    )  # fmt: skip
    session = AnalysisSession(maps)
    mosaic = SectorMosaic(session)
    assert choose(mosaic, "chi2") == [None] * 4
    assert mosaic.view.names[0].endswith("not fitted")
    session.change_settings(mode="static_isotropic", multistart=0)
    session.fit_bins([0, 3])
    session.run()
    assert session.wait(300)
    assert mosaic.wait()
    fitted = session.history[0].result.dataset["chi2_reduced_bin"].values
    assert mosaic.view.values == [fitted[0], None, None, fitted[1]]
    mosaic.close()
    session.close()


@pytest.mark.parametrize("kind", [DataExplorer, FitPanel])
def test_the_bin_picker_of_a_tab_opens_the_picture_when_asked(kind: type, session: AnalysisSession) -> None:
    panel = kind(session)
    assert panel.bins.mosaic is None
    panel.bins.sectors.value = True
    assert panel.bins.mosaic.wait()
    assert panel.bins.mosaic.widget in panel.bins._below.children
    panel.bins.mosaic.view._heard(panel.bins.mosaic.view, {"pick": 6, "number": 1}, [])
    assert (panel.bins.q.value, panel.bins.phi.value) == (0.03, 45.0)
    panel.bins.sectors.value = False
    assert panel.bins._below.children == ()
    panel.close()
