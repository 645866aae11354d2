"""Result and robust panels, driven by their named children without a browser, on real fits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import heterodyne_nb
from heterodyne_nb import AnalysisSession, FitResult
from heterodyne_nb.app import ResultPanel, RobustPanel
from heterodyne_nb.app.export_bar import FORMATS
from heterodyne_nb.data.formats.native import write_dataset


@pytest.fixture(scope="module")
def fitted(small: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnalysisSession]:
    """A session with a plain fit and a robust set; tests only look at it."""
    path = tmp_path_factory.mktemp("run") / "run1.nc"
    write_dataset(small, path)
    session = AnalysisSession(path)
    session.change_settings(mode="static_isotropic", multistart=0)
    session.run()
    session.wait(600)
    session.run_robust(n_scenarios=12)
    session.wait(600)
    yield session
    session.close()


@pytest.fixture
def results(fitted: AnalysisSession) -> Iterator[ResultPanel]:
    fitted.show(0)
    panel = ResultPanel(fitted)
    yield panel
    panel.close()


@pytest.fixture
def robust(fitted: AnalysisSession) -> Iterator[RobustPanel]:
    panel = RobustPanel(fitted)
    yield panel
    panel.close()


def drawn(panel: ResultPanel) -> int:
    return sum(figure.widget.layout.display == "" for figure in panel.figures)


@pytest.mark.parametrize(
    ("view", "figures", "text"),
    [
        ("curves", 1, ""),
        ("parameters", 0, "D_offset"),
        ("g₂ and model", 1, ""),
        ("data and model", 1, ""),
        ("identifiability", 1, "alpha"),
        ("goodness of fit", 2, ""),
        ("derived", 0, "Å²/s"),
    ],
)
def test_every_view_shows_its_figures_and_text(
    results: ResultPanel, view: str, figures: int, text: str
) -> None:
    results.view.value = view
    assert results.message.value == ""
    assert drawn(results) == figures
    assert text in results.text.value


def test_the_views_are_of_the_fit_and_method_chosen(results: ResultPanel, fitted: AnalysisSession) -> None:
    assert results.method.layout.display == "none"
    results.entry.value = 1
    assert fitted.shown == 1
    assert list(results.method.options) == ["wasserstein", "scenario", "ellipsoidal"]
    results.method.value = "scenario"
    assert results.result() is fitted.history[1].results["scenario"]
    results.view.value = "parameters"
    assert "scenario" in results.text.value


def test_a_fit_of_another_run_has_curves_and_says_that_its_data_are_not_open(
    fitted: AnalysisSession, tmp_path: Path
) -> None:
    session = AnalysisSession.load(fitted.save(tmp_path / "saved"))
    session.open_example()
    session.show(0)
    panel = ResultPanel(session)
    assert drawn(panel) == 1
    panel.view.value = "data and model"
    assert "run1.nc, which is not open" in panel.message.value
    assert drawn(panel) == 0
    panel.view.value = "curves"
    assert panel.message.value == ""
    panel.close()
    session.close()


@pytest.mark.parametrize("ending", [ending for _, ending in FORMATS])
def test_each_format_is_written_and_offered(results: ResultPanel, tmp_path: Path, ending: str) -> None:
    export = results.export
    export.format.value = ".csv" if ending == ".nc" else ".nc"
    export.path.value = str(tmp_path / "my fit")
    export.format.value = ending
    assert export.path.value == str(tmp_path / f"my fit{ending}")
    export.write.click()
    assert export.message.value == ""
    written = tmp_path / f"my fit{ending}"
    assert written.exists()
    assert str(written) in export.told.value
    if ending in (".nc", ".zarr"):
        assert FitResult.load(written) == results.result()
    if ending != ".zarr":
        link = re.search(r'download="my fit[^"]*" href="data:[^;]+;base64,([^"]+)"', export.told.value)
        assert link is not None
        import base64

        assert base64.b64decode(link[1]) == written.read_bytes()


def test_a_file_that_exists_is_replaced_only_where_that_is_ticked(
    results: ResultPanel, tmp_path: Path
) -> None:
    export, target = results.export, tmp_path / "fit.nc"
    target.write_text("mine")
    export.path.value = str(target)
    export.write.click()
    assert "exists and is left as it is" in export.message.value
    assert target.read_text() == "mine"
    export.replace.value = True
    export.write.click()
    assert FitResult.load(target) == results.result()


def test_a_folder_that_is_not_there_is_said(results: ResultPanel, tmp_path: Path) -> None:
    results.export.path.value = str(tmp_path / "nowhere" / "fit.nc")
    results.export.write.click()
    assert "there is no such folder" in results.export.message.value
    results.export.path.value = ""
    results.export.write.click()
    assert "no file is named" in results.export.message.value


def test_without_a_fit_the_panel_says_so_and_writes_nothing() -> None:
    panel = ResultPanel()
    assert "No fit has been made" in panel.text.value
    assert panel.export.write.disabled
    panel.view.value = "goodness of fit"
    assert panel.message.value == ""
    panel.close()
    panel.session.close()


def test_certificates_of_each_method_are_listed(robust: RobustPanel, fitted: AnalysisSession) -> None:
    for name, result in fitted.history[1].results.items():
        assert f"<td>{name}</td>" in robust.certificates.value
        assert f"{result.robust['worst_case']:.5g}" in robust.certificates.value
    assert robust.certificates.value.count("holds to") == 3


def test_the_worst_case_of_the_method_looked_at_is_drawn_beside_the_plain_fit(robust: RobustPanel) -> None:
    titles = set()
    for name in robust.method.options:
        robust.method.value = name
        titles.add(robust.worst.figure.layout.title.text)
    assert len(titles) == 3
    names = {trace.name for trace in robust.curves.figure.data}
    assert {"fit 1", "wasserstein", "scenario", "ellipsoidal"} <= names


def test_a_robust_fit_and_a_path_by_their_buttons(
    fitted: AnalysisSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = heterodyne_nb.radius_path
    few = {"radii": [0.0, 0.02, 0.05]}
    monkeypatch.setattr(heterodyne_nb, "radius_path", lambda data, **asked: whole(data, **{**asked, **few}))
    session = AnalysisSession.load(fitted.save(tmp_path / "copy"))
    panel = RobustPanel(session)
    for name in ("scenario", "ellipsoidal"):
        panel.form.methods[name].value = False
    panel.form.fields["wasserstein.radius"].control.value = "0.05"
    panel.run.click()
    assert panel.run.disabled
    assert session.wait(600)
    entry = session.history[-1]
    assert list(entry.results) == ["wasserstein"]
    assert entry.result.robust["radius"] == 0.05
    assert entry.start == "fit 1"
    panel.method.value = "wasserstein"
    panel.follow.click()
    assert session.wait(600)
    assert session.robust_path.attrs["method"] == "wasserstein"
    assert np.all(np.diff(session.robust_path["radius"]) > 0)
    assert panel.path.widget.layout.display == ""
    panel.close()
    session.close()


def _type(form: Any, path: str, text: str) -> None:
    form.fields[path].control.value = text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda form: [box.set_trait("value", False) for box in form.methods.values()],
            "no method is chosen",
        ),
        (lambda form: _type(form, "scenario.radius", "wide"), "scenario.radius"),
        (
            lambda form: _type(form, "ellipsoidal.tolerances.q_scale", "some"),
            "&#x27;some&#x27; is not a number",
        ),
        (lambda form: _type(form, "scenario.n_scenarios", "1.5"), "a whole number"),
    ],
)
def test_what_is_wrong_in_the_form_is_said_when_run_is_pressed(
    robust: RobustPanel, fitted: AnalysisSession, change: Any, told: str
) -> None:
    change(robust.form)
    count = len(fitted.history)
    robust.run.click()
    assert told in robust.message.value
    assert fitted.status == "idle"
    assert len(fitted.history) == count


def test_closed_panels_leave_no_observer(fitted: AnalysisSession) -> None:
    def observers() -> dict[str, int]:
        return {n: len(fitted._trait_notifiers.get(n, {}).get("change", [])) for n in fitted.traits()}

    before = observers()
    panels = [ResultPanel(fitted), RobustPanel(fitted)]
    assert observers() != before
    for panel in panels:
        panel.close()
    assert observers() == before


def test_a_session_shows_itself_as_text_and_page(fitted: AnalysisSession) -> None:
    assert "run1.nc" in repr(fitted)
    page = fitted._repr_html_()
    assert "fit 1" in page
    assert "robust 2" in page
    assert "40 of 40 used" in page
    empty = AnalysisSession()
    assert repr(empty) == "AnalysisSession(no data; heterodyne; 14 free of 14; 0 fits)"
    empty.close()


def test_a_result_shows_itself_in_a_panel_of_its_own(fitted: AnalysisSession) -> None:
    panel = fitted.history[1].result.show()
    panel.view.value = "parameters"
    assert "wasserstein" in panel.text.value
    panel.view.value = "g₂ and model"
    assert "not open" in panel.message.value
    panel.close()
    panel.session.close()
    other = fitted.history[0].result.show(fitted.dataset)
    other.view.value = "g₂ and model"
    assert other.message.value == ""
    other.close()
    other.session.close()
