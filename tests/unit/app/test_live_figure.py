"""The place of a figure without a browser: what it sends, and what of it stays the same."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go
import pytest

from heterodyne_nb.app.live_figure import LiveFigure


@pytest.fixture
def place() -> Iterator[LiveFigure]:
    one = LiveFigure(300, "Open a run.")
    yield one
    one.close()


def figure(*titles: str, **axis: object) -> go.Figure:
    one = go.Figure([go.Scatter(y=np.arange(3.0), name=title) for title in titles])
    return one.update_xaxes(title_text="t", **axis)


def revision(place: LiveFigure) -> str:
    return json.loads(place.widget.spec)["layout"]["uirevision"]


def test_another_figure_is_shown_by_the_same_widget(place: LiveFigure) -> None:
    widget = place.widget
    place.draw(figure("one"))
    place.draw(figure("one", "two").add_heatmap(z=np.eye(3)))
    assert place.widget is widget
    assert [trace["type"] for trace in json.loads(widget.spec)["data"]] == ["scatter", "scatter", "heatmap"]


def test_every_place_shares_one_copy_of_plotly(place: LiveFigure) -> None:
    other = LiveFigure(300)
    assert other.widget.library is place.widget.library
    place.widget.library.close()  # as `Widget.close_all` does
    another = LiveFigure(300)
    assert another.widget.library.comm is not None
    other.close()
    another.close()


def test_a_zoom_is_forgotten_only_when_the_axes_or_the_run_are_others(place: LiveFigure) -> None:
    place.draw(figure("one"), of="run 1")
    first = revision(place)
    place.draw(figure("one", "two"), of="run 1")
    assert revision(place) == first
    place.draw(figure("one", type="log"), of="run 1")
    assert revision(place) != first
    place.draw(figure("one"), of="run 2")
    assert revision(place) != first


def test_a_subtitle_becomes_a_line_of_the_title(place: LiveFigure) -> None:
    place.draw(figure("one").update_layout(title={"text": "above", "subtitle": {"text": "below"}}))
    title = json.loads(place.widget.spec)["layout"]["title"]
    assert title["text"].startswith("above<br>")
    assert "below" in title["text"]


def test_clearing_hiding_and_drawing_again(place: LiveFigure) -> None:
    place.draw(figure("one"), height=450)
    assert place.widget.layout.min_height == "450px"
    place.clear()
    assert (place.figure, place.widget.spec, place.displayed) == (None, "", False)
    place.hide()
    assert place.widget.layout.display == "none"
    place.draw(figure("one"))
    assert (place.widget.layout.display, place.widget.layout.min_height) == ("", "300px")
