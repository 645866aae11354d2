"""Figures of one-time fits: a panel a bin with residuals below, and rates against q with their power law."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from heterodyne_nb import fit, fit_batch, plots
from heterodyne_nb.data import make_dataset
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots.one_time import power_law

TAU = np.geomspace(0.05, 30.0, 40)
Q = np.array([0.01, 0.014, 0.02])


@pytest.fixture(scope="module")
def curves() -> xr.Dataset:
    g2 = 1 + 0.2 * np.exp(-2 * 0.4 * (Q[:, None] / 0.01) ** 2 * TAU)
    g2 = g2 + 2e-3 * np.random.default_rng(0).standard_normal(g2.shape)
    return make_dataset(g2=g2[:, None], g2_err=np.full((3, 1, 40), 2e-3), tau=TAU, q=Q, phi=[0.0], dt=0.05)


@pytest.mark.parametrize("kind", ["joint", "table"])
def test_a_grid_shows_data_fit_and_residuals_of_every_bin(curves: xr.Dataset, kind: str) -> None:
    joint = fit(curves, "kww", parameters={"Gamma": {"scope": "q"}})
    figure = plots.g2_grid(curves, joint if kind == "joint" else fit_batch(curves, "kww", over="q"))
    points = [trace for trace in figure.data if trace.mode == "markers"]
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert (len(points), len(lines)) == (6, 3)
    np.testing.assert_allclose(points[0].y, curves["g2"].values[0, 0])
    for pull in points[1::2]:
        assert np.std(pull.y) == pytest.approx(1.0, abs=0.3)
    at_start = 1 + 0.2 * np.exp(-2 * 0.4 * TAU[0])
    assert lines[0].y[0] == pytest.approx(at_start, abs=5e-3)


def test_a_grid_of_data_alone_has_no_residuals(curves: xr.Dataset) -> None:
    assert len(plots.g2_grid(curves, bins=[0, 2]).data) == 2


def test_logarithmic_axes_are_labelled_at_decades_or_at_1_2_5_and_each_once(curves: xr.Dataset) -> None:
    joint = fit(curves, "kww", parameters={"Gamma": {"scope": "q"}})
    grid, rates = plots.g2_grid(curves, joint, columns=2), plots.one_time_parameters(joint)
    logarithmic = [axis for figure in (grid, rates) for axis in figure.select_xaxes({"type": "log"})]
    logarithmic += list(rates.select_yaxes({"type": "log"}))
    assert len(logarithmic) == 6 + 2 + 2
    assert {axis.dtick for axis in logarithmic} == {1, "D2"}
    named = [(axis.showticklabels, axis.title.text) for axis in grid.select_xaxes({"type": "log"})]
    above, last = (
        (False, None),
        (True, "lag τ (s)"),
    )  # under the last row alone: titles of the next would meet them
    assert named == [above, above, above, last, above, last]


def test_residuals_without_errors_are_plain_differences_and_said_to_be(curves: xr.Dataset) -> None:
    plain = curves.drop_vars("g2_err")
    figure = plots.g2_grid(plain, fit(plain, "kww", parameters={"Gamma": {"scope": "q"}}))
    assert figure.layout.title.subtitle.text.endswith("below each: data − fit")
    pull = [trace for trace in figure.data if trace.mode == "markers"][1]
    assert np.std(pull.y) == pytest.approx(2e-3, rel=0.4)


@pytest.mark.parametrize("kind", ["joint", "table"])
def test_rates_against_q_carry_their_exponent(curves: xr.Dataset, kind: str) -> None:
    joint = fit(curves, "kww", parameters={"Gamma": {"scope": "q"}, "alpha": {"scope": "q"}})
    figure = plots.one_time_parameters(joint if kind == "joint" else fit_batch(curves, "kww", over="q"))
    titles = [one.text for one in figure.layout.annotations]
    (rate,) = [text for text in titles if text.startswith("Gamma: q^(")]
    value, error = (float(part.replace("−", "-")) for part in rate[len("Gamma: q^(") : -1].split(" ± "))
    assert abs(value - 2.0) < 4 * error < 0.4
    assert any(text.startswith("tau: q^(−") for text in titles)
    assert "contrast" in titles


def test_a_power_law_is_the_weighted_line_of_the_logarithms() -> None:
    q = np.array([0.01, 0.02, 0.04])
    law = power_law(q, 3.0 * q**1.5, 0.01 * q**1.5)
    assert law is not None
    assert law.exponent == pytest.approx(1.5)
    assert law.amplitude == pytest.approx(3.0)
    assert law.error == pytest.approx(0.01 / 3.0 / np.sqrt(np.sum((np.log(q) - np.log(q).mean()) ** 2)))
    assert power_law(q[:1], q[:1], q[:1]) is None


def test_a_table_of_all_bins_is_for_spreadsheets(curves: xr.Dataset, tmp_path) -> None:
    joint = fit(curves, "kww", parameters={"Gamma": {"scope": "q"}})
    table = plots.one_time_table(joint)
    np.testing.assert_allclose(table["tau"] * table["Gamma"], 1.0)
    np.testing.assert_allclose(table["alpha"], joint.values["alpha"])
    table.to_dataframe().to_csv(tmp_path / "g2.csv")
    head = (tmp_path / "g2.csv").read_text().splitlines()[0]
    assert {"q", "phi", "Gamma", "Gamma_error", "tau", "contrast"} <= set(head.split(","))


def test_a_comparison_of_a_one_time_fit_shows_g2(curves: xr.Dataset, tmp_path) -> None:
    result = fit(curves, "kww", parameters={"Gamma": {"scope": "q"}})
    figure = plots.comparison(curves, result, q=0.014)
    np.testing.assert_allclose(figure.data[0].y, curves["g2"].values[1, 0])
    assert plots.report(curves, result, tmp_path / "report.html").exists()


def test_unknown_names_are_errors(curves: xr.Dataset) -> None:
    result = fit(curves, "kww")
    with pytest.raises(ConfigurationError, match="no parameter 'Gama'"):
        plots.one_time_parameters(result, ["Gama"])
    with pytest.raises(ConfigurationError, match="no coordinate 'age'"):
        plots.one_time_parameters(result, against="age")
