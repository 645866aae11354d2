"""Figures as files and as stills in a notebook: there where a browser draws them, and no trouble where none does."""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import plotly.graph_objects as go
import plotly.io as pio
import pytest
import xarray as xr

from heterodyne_nb import plots
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import export
from heterodyne_nb.plots.export import NO_STILLS
from heterodyne_nb.result import FitResult

LIVE, STILL = "application/vnd.plotly.v1+json", "image/png"


def shown() -> dict:
    """What a notebook gets of a figure."""
    return pio.renderers._build_mime_bundle(go.Figure(go.Scatter(y=[1, 2]), {"width": 300}).to_dict())


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = pio.renderers.default
    yield
    pio.renderers.default = before


@pytest.mark.browser
def test_a_figure_is_live_and_a_still_as_large_as_asked_for() -> None:
    plots.keep_stills(scale=0.5)
    bundle = shown()
    assert set(bundle) == {LIVE, STILL}
    assert int.from_bytes(base64.b64decode(bundle[STILL])[16:20], "big") == 150


@pytest.mark.browser
def test_one_browser_draws_all_stills(monkeypatch: pytest.MonkeyPatch) -> None:
    import kaleido

    opened, real = [], kaleido.Kaleido

    def counted(**options: object) -> kaleido.Kaleido:
        opened.append(options)
        return real(**options)

    monkeypatch.setattr("kaleido.Kaleido", counted)
    export._open_browser.cache_clear()
    plots.keep_stills()
    assert [set(shown()) for _ in range(3)] == [{LIVE, STILL}] * 3
    assert len(opened) == 1


@pytest.mark.usefixtures("without_browser")
def test_without_a_browser_figures_are_live_and_one_line_says_why(capsys: pytest.CaptureFixture) -> None:
    plots.keep_stills()
    assert set(shown()) == set(shown()) == {LIVE}
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(NO_STILLS)
    assert "install chromium" in line


def test_a_browser_that_fails_is_tried_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    tried = []

    def fail(*_: object, **__: object) -> None:
        tried.append(1)
        raise TimeoutError("it hangs\nand hangs")

    monkeypatch.setattr(export, "find_browser", lambda: "chromium")
    monkeypatch.setattr("kaleido.Kaleido", fail)
    export._open_browser.cache_clear()
    plots.keep_stills()
    assert set(shown()) == set(shown()) == {LIVE}
    assert capsys.readouterr().out == f"{NO_STILLS}: kaleido failed: it hangs\n"
    assert len(tried) == 1


@pytest.mark.usefixtures("without_browser")
def test_a_file_that_is_no_program_is_no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER_PATH", __file__)
    assert export.find_browser() is None


def test_a_page_of_one_figure_needs_no_network(experiment: xr.Dataset, tmp_path: Path) -> None:
    page = plots.save_html(plots.c2(experiment, bin=0), tmp_path / "map.html").read_text()
    assert re.search(r"<script[^>]+src=", page) is None


def test_a_picture_without_kaleido_is_a_clear_error(
    experiment: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kaleido", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(plots.FigureExportError, match=r"heterodyne_nb\[app\]"):
        plots.save_png(plots.c2(experiment, bin=0), tmp_path / "map.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("without_browser")
def test_a_picture_without_a_browser_is_an_error_that_says_what_to_install(
    result: FitResult, tmp_path: Path
) -> None:
    with pytest.raises(plots.FigureExportError, match="install chromium"):
        plots.for_paper(plots.curves(result), tmp_path / "curves.svg")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_picture_format_or_folder_is_an_error(experiment: xr.Dataset, tmp_path: Path) -> None:
    figure = plots.c2(experiment, bin=0)
    with pytest.raises(ConfigurationError, match=r"\.bmp"):
        plots.save_png(figure, tmp_path / "map.bmp")
    with pytest.raises(ConfigurationError):
        plots.save_html(figure, tmp_path / "no" / "map.html")


@pytest.mark.browser
def test_a_picture_is_written_through_kaleido(experiment: xr.Dataset, tmp_path: Path) -> None:
    path = plots.save_png(plots.c2(experiment, bin=0), tmp_path / "map.png", scale=1)
    picture = path.read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert int.from_bytes(picture[16:20], "big") == 680
