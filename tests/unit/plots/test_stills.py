"""Still pictures beside live figures: there where a browser draws them, and no trouble where none does."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import plotly.graph_objects as go
import plotly.io as pio
import pytest

from heterodyne_nb import plots
from heterodyne_nb.plots import export
from heterodyne_nb.plots.export import NO_STILLS

LIVE, STILL = "application/vnd.plotly.v1+json", "image/png"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = pio.renderers.default
    yield
    pio.renderers.default = before


def shown() -> dict:
    """What a notebook gets of a figure."""
    return pio.renderers._build_mime_bundle(go.Figure(go.Scatter(y=[1, 2]), {"width": 300}).to_dict())


@pytest.mark.browser
def test_a_figure_is_live_and_a_still_as_large_as_asked_for() -> None:
    plots.keep_stills(scale=0.5)
    bundle = shown()
    assert set(bundle) == {LIVE, STILL}
    assert int.from_bytes(base64.b64decode(bundle[STILL])[16:20], "big") == 150


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
    monkeypatch.setattr("kaleido.calc_fig_sync", fail)
    plots.keep_stills()
    assert set(shown()) == set(shown()) == {LIVE}
    assert capsys.readouterr().out == f"{NO_STILLS}: kaleido failed: it hangs\n"
    assert len(tried) == 1


@pytest.mark.usefixtures("without_browser")
def test_a_file_that_is_no_program_is_no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER_PATH", __file__)
    assert export.find_browser() is None
