"""Titles, colours and templates of all figures."""

from __future__ import annotations

import numpy as np
import xarray as xr

from heterodyne_nb import plots
from heterodyne_nb.plots import canvas


def test_a_long_subtitle_is_broken_and_the_figure_grows_by_its_lines(experiment: xr.Dataset) -> None:
    short, long = experiment, experiment.assign_attrs(source="a_very_long_name_of_a_run_" * 8 + ".h5")
    before, after = (plots.c2(ds, q=0.01, phi=0).layout for ds in (short, long))
    lines = after.title.subtitle.text.count("<br>")
    assert lines >= 2
    assert after.height - before.height == after.margin.t - before.margin.t == 17 * lines


def test_residual_colours_are_neutral_in_the_middle() -> None:
    scale = dict(canvas.diverging_scale("light"))
    assert scale[0.5] == "#F7F7F7"
    assert scale[0.25] == canvas.line_colour(0)
    assert scale[0.75] == canvas.line_colour(1)


def test_our_templates_do_not_become_the_default_of_plotly() -> None:
    import plotly.io as pio

    assert {"heterodyne_light", "heterodyne_dark"} <= set(pio.templates)
    assert pio.templates.default == "plotly"


def test_many_decades_are_numbered_by_powers_of_ten() -> None:
    assert canvas.log_ticks(np.geomspace(1e-5, 1.0, 9))["exponentformat"] == "power"
    assert canvas.log_ticks(np.geomspace(0.5, 100.0, 9))["tickformat"] == "~g"
