"""The g2 tab: models and scopes by mouse, points left out, the numbers of every bin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from heterodyne_nb import AnalysisSession
from heterodyne_nb.app import App, G2Panel
from heterodyne_nb.data import open_dataset
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.simulate import example_path

TAU, Q = np.geomspace(1e-3, 20.0, 44), np.geomspace(0.006, 0.02, 4)
BAD = (float(Q[2]), 0.0, float(TAU[20]))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rate = 0.5 * (Q / Q[0]) ** 2
    g2 = 1 + 0.15 * np.exp(-2 * (rate[:, None] * TAU) ** 0.85)
    g2 += 1e-3 * np.random.default_rng(1).standard_normal(g2.shape)
    g2[2, 20] += 0.05
    path = tmp_path / "multitau.npz"
    np.savez(path, g2=g2[:, None], g2_err=np.full_like(g2, 1e-3)[:, None], tau=TAU, q=Q, phi=[0.0], dt=1e-3)
    return path


@pytest.fixture
def panel(file: Path) -> Iterator[G2Panel]:
    made = G2Panel(AnalysisSession(file))
    yield made
    made.close()
    made.session.close()


def fitted(panel: G2Panel) -> dict[str, float]:
    panel.fit.click()
    panel.session.wait()
    assert panel.message.value == ""
    return panel.session.history[-1].result.values


def test_each_bin_is_fitted_by_itself_at_a_press(panel: G2Panel) -> None:
    values = fitted(panel)
    assert [name for name in values if name.startswith("Gamma[")] == [f"Gamma[q={q:.6g}]" for q in Q]
    assert panel.table.value.count("<tr>") == 1 + len(Q)
    assert 'download="g2_parameters.csv"' in panel.table.value
    panel.view.value = "against q"
    assert panel.figure.figure.layout.title.text.startswith("Parameters against q")


def test_a_law_and_a_held_contrast_reach_the_fit(panel: G2Panel) -> None:
    fitted(panel)
    panel.lines["Gamma"].scope.value = "power"
    assert list(panel.lines) == ["Gamma", "Gamma.mid", "Gamma.n", "alpha", "contrast", "offset"]
    assert panel.lines["Gamma"].value.disabled
    panel.lines["contrast"].value.value = "0.15"
    assert panel.lines["contrast"].fixed.value
    panel.lines["alpha"].max.value = "1.5"
    panel.figure.widget.selected = []
    panel.session.exclude_points([BAD])
    values = fitted(panel)
    result = panel.session.history[-1].result
    assert abs(values["Gamma.n"] - 2.0) < 3 * result.errors["Gamma.n"]
    assert np.all(result.dataset["contrast"] == 0.15)
    panel.lines["alpha"].min.value = "much"
    assert "is not a number" in panel.message.value


def test_points_inside_the_brush_are_left_out_and_come_back(panel: G2Panel, tmp_path: Path) -> None:
    session = panel.session
    panel.figure.widget.selected = [list(BAD)]
    assert session.excluded == ()  # a drag that zooms leaves nothing out
    panel.drag.value, panel.figure.widget.selected = "leave out", []
    panel.figure.widget.selected = [list(BAD)]
    assert session.excluded == (BAD,)
    assert int(np.isnan(session.dataset["g2"]).sum()) == 1
    assert panel.all_points.description == "Use all points (1 out)"
    fitted(panel)
    script = session.to_script()
    assert "data.xpcs.exclude_points" in script
    assert "data.xpcs.exclude_points" in session.history[0].result.to_script()
    session.save(tmp_path / "kept")
    again = AnalysisSession.load(tmp_path / "kept")
    assert again.excluded == again.history[0].excluded == (BAD,)
    panel.all_points.click()
    assert session.excluded == ()
    session.undo()
    assert session.excluded == (BAD,)
    assert int(np.isnan(session.data_of(0)["g2"]).sum()) == 1


def test_a_point_that_is_not_there_is_an_error(file: Path) -> None:
    data = open_dataset(file)
    with pytest.raises(ConfigurationError, match="no point at"):
        data.xpcs.exclude_points([(0.5, 0.0, 1.0)])
    assert data.xpcs.exclude_points([]) is data


def test_a_file_of_g2_alone_opens_here_and_one_with_maps_does_not(file: Path) -> None:
    for path, title in ((file, "g₂"), (example_path(), "Data")):
        app = App(path)
        assert app.tabs.titles[app.tabs.selected_index] == title
        assert app.message.value == ""
        app.close()
        app.session.close()
