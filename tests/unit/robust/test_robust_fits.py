"""The call: every mode, losses, results that keep their certificate, and errors a user can meet."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from robust_samples import GAP, HETERODYNE, LAMINAR, STATIC, maps

import heterodyne_nb as hnb
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning
from heterodyne_nb.progress import StopToken

FAST = {"parameters": STATIC, "multistart": 0, "n_scenarios": 10}
MODE = "static_isotropic"


@pytest.fixture(scope="module")
def nominal() -> hnb.FitResult:
    return hnb.fit(maps(), MODE, parameters=STATIC, multistart=0)


@pytest.fixture(scope="module")
def answers() -> dict[str, hnb.FitResult]:
    return hnb.fit_robust(maps(), MODE, calibration={"q_scale": 0.02, "baseline": 0.01}, price=None, **FAST)


def test_one_result_a_method_each_with_its_certificate(answers) -> None:
    assert list(answers) == ["wasserstein", "scenario", "ellipsoidal"]
    for name, result in answers.items():
        robust = result.robust
        assert (result.method, robust["method"], result.success) == (name, name, True)
        assert robust["relative_gap"] < 1e-5
        assert robust["worst_case"] <= robust["worst_case_before"]
        assert {"radius", "radius_rule", "words", "solver", "fallbacks", "timings"} <= robust.keys()
        assert np.isfinite(result.curve("J")["lower"].values).all()


def test_radius_zero_gives_the_nominal_fit_exactly(nominal) -> None:
    for method in ("wasserstein", "scenario", "ellipsoidal"):
        same = hnb.fit_robust(maps(), MODE, methods=method, radius=0.0, **FAST)[method]
        assert same.values == nominal.values
        assert same.chi2 == nominal.chi2


def test_the_price_keeps_the_answer_within_the_noise(nominal) -> None:
    """χ² rises by no more than it is expected to at the truth, and no parameter goes further than that allows."""
    settings = {"start": nominal}  # nothing stated: the centre is a constant curve
    capped = hnb.fit_robust(maps(), MODE, methods="wasserstein", **settings)["wasserstein"]
    allowed = hnb.radius_path(maps(), "wasserstein", [0.0], mode=MODE, **settings).attrs["allowed"]
    assert nominal.chi2_reduced < capped.chi2_reduced <= allowed * (1 + 1e-9)
    free = hnb.fit_robust(maps(), MODE, methods="wasserstein", radius=1.0, price=None, **settings)
    assert free["wasserstein"].chi2_reduced > allowed
    rise = (allowed / nominal.chi2_reduced - 1.0) * nominal.chi2
    reach = np.sqrt(rise * np.diag(np.linalg.inv(0.5 * nominal.dataset["hessian"].values)))
    for name, most in zip(nominal.values, reach, strict=True):
        assert abs(capped.values[name] - nominal.values[name]) < 1.1 * most  # χ² is not quite square


def test_the_bands_of_the_ellipsoidal_answer_hold_the_calibration(nominal) -> None:
    wide = hnb.fit_robust(maps(), MODE, methods="ellipsoidal", calibration={"q_scale": 0.05}, **FAST)[
        "ellipsoidal"
    ]
    plain, curve = nominal.curve("J"), wide.curve("J")
    half = [(c["upper"] - c["lower"]).values / 2 / c["value"].values for c in (plain, curve)]
    added = np.sqrt(half[1][10:30] ** 2 - half[0][10:30] ** 2)
    np.testing.assert_allclose(added, 1.96 * 2 * 0.05, rtol=0.05)  # J goes as 1/q²
    assert "calibration" in wide.uncertainty


def test_what_a_result_certifies_survives_its_file(answers, tmp_path) -> None:
    for suffix in (".nc", ".zarr"):
        path = answers["scenario"].save(tmp_path / f"robust{suffix}")
        again = hnb.FitResult.load(path)
        assert again == answers["scenario"]
        assert again.robust == answers["scenario"].robust


def test_reports_tell_the_worst_case(answers, nominal) -> None:
    text, page = answers["ellipsoidal"].summary(), answers["ellipsoidal"]._repr_html_()
    for report in (text, page):
        assert "the worst case is" in report
        assert "certificate" in report
    assert "worst case" not in nominal.summary()
    assert nominal.robust is None
    assert "samples hold the answer" in answers["scenario"].summary()


def test_the_script_fits_the_same_again(answers, tmp_path, monkeypatch) -> None:
    from heterodyne_nb.data import write_apsu

    write_apsu(maps(), tmp_path / "static.h5")
    ds = hnb.open_dataset(tmp_path / "static.h5")
    first = hnb.fit_robust(ds, MODE, methods="wasserstein", radius=0.02, **FAST)["wasserstein"]
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(first.to_script(), "script", "exec"), names)
    assert names["result"].values == pytest.approx(first.values, rel=1e-9)
    assert names["result"].robust["radius"] == 0.02


def test_a_start_is_taken_and_polished(nominal) -> None:
    for start in (nominal, nominal.values, {"D0": 280.0}):
        found = hnb.fit_robust(maps(), MODE, methods="wasserstein", radius=0.0, start=start)["wasserstein"]
        assert found.chi2 == pytest.approx(nominal.chi2, rel=1e-8)


def test_heterodyne_and_laminar_flow_fit_too() -> None:
    flowing = hnb.fit_robust(maps("heterodyne"), start=HETERODYNE, n_scenarios=8)
    shear = hnb.fit_robust(maps("laminar_flow"), "laminar_flow", start=LAMINAR, gap=GAP, n_scenarios=8)
    for result in (*flowing.values(), *shear.values()):
        assert result.success
        assert result.robust["relative_gap"] < 1e-5


def test_a_robust_loss_combines() -> None:
    ds = maps()
    c2 = ds["c2"].values.copy()
    c2[..., 3, 20] = c2[..., 20, 3] = 5.0
    spoiled = ds.assign(c2=(ds["c2"].dims, c2, ds["c2"].attrs))
    found = hnb.fit_robust(spoiled, MODE, loss="huber", **FAST)
    clean = hnb.fit(ds, MODE, parameters=STATIC, multistart=0)
    for name, result in found.items():
        assert result.robust["relative_gap"] < 1e-5
        assert abs(result.values["D_offset"] - clean.values["D_offset"]) < 3 * clean.errors["D_offset"], name


def test_one_time_fits_have_all_methods() -> None:
    rng = np.random.default_rng(0)
    tau, phi = np.arange(1, 60) * 0.2, [0.0, 45.0, 90.0]
    names = {"fraction": 0.4, "J_ref": 40.0, "J_sample": 600.0, "v": 80.0, "phi0": 20.0}
    model = hnb.ModelFactory.create_model("heterodyne_equilibrium")
    m = model.correlation(list(names.values()), tau[None, :], q=0.01, phi=np.array(phi)[:, None])
    g2 = 1 + 0.2 * m + 2e-3 * rng.standard_normal(m.shape)
    ds = xr.Dataset(
        {
            "g2": (("q", "phi", "tau"), g2[None]),
            "g2_err": (("q", "phi", "tau"), np.full((1, *m.shape), 2e-3)),
        },
        coords={"q": [0.01], "phi": phi, "tau": tau},
    )
    found = hnb.fit_robust(ds, "heterodyne_equilibrium", start=names, n_scenarios=10)
    for result in found.values():
        assert result.robust["relative_gap"] < 1e-5
        assert result.values["v"] == pytest.approx(80.0, rel=0.1)
    assert "the lags" in found["scenario"].robust["words"]


def test_cross_validation_chooses_among_candidates_and_says_so() -> None:
    found = hnb.fit_robust(maps(), MODE, methods=("wasserstein", "scenario"), radius="cv", **FAST)
    for result in found.values():
        assert result.robust["radius_rule"] == "cross-validation over 4 bins"
        assert result.robust["radius"] >= 0.0


def test_the_radius_path_is_a_dataset_of_rising_prices() -> None:
    path = hnb.radius_path(
        maps(), "ellipsoidal", mode=MODE, calibration={"q_scale": 0.02, "baseline": 0.02}, **FAST
    )
    assert dict(path.sizes) == {"radius": 8, "parameter": 3, "t": 40}
    assert path.attrs["method"] == "ellipsoidal"
    assert path["J"].attrs["units"] == "Å²/s"
    assert np.all(np.diff(path["nominal"]) > -1e-9)
    assert np.all(path["worst_case"] <= path["worst_case_nominal"] * (1 + 1e-12))
    assert float(path["relative_gap"].max()) < 1e-5


def test_radii_can_be_chosen_and_come_in_rising_order() -> None:
    path = hnb.radius_path(maps(), "scenario", [0.5, 0.0, 1.0], mode=MODE, **FAST)
    assert path["radius"].values.tolist() == [0.0, 0.5, 1.0]


def test_a_cancelled_robust_fit_returns_the_best_so_far_marked_so(nominal) -> None:
    stop = StopToken()

    def cancel(event) -> None:
        if event.stage == "wasserstein":
            stop.cancel()

    found = hnb.fit_robust(maps(), MODE, start=nominal, methods="wasserstein", on_progress=cancel, stop=stop)
    assert not found["wasserstein"].success
    assert "cancelled" in found["wasserstein"].message


def test_bad_bins_are_found_and_only_offered() -> None:
    ds = maps("heterodyne")
    c2 = ds["c2"].values.copy()
    t = ds["t"].values
    c2[0, 2] += 0.4 * (1 + 0.3 * np.exp(-np.abs(t[:, None] - t[None, :]) / 5.0) - c2[0, 2])
    spoiled = ds.assign(c2=(ds["c2"].dims, c2, ds["c2"].attrs))
    offered = hnb.detect_bad_bins(spoiled, start=HETERODYNE)
    assert offered.values.tolist() == [[True, True, False, True]]
    assert float(offered["score"][0, 2]) > 6
    assert bool(spoiled["usable"].all())
    assert hnb.detect_bad_bins(ds, start=HETERODYNE).values.all()
    with pytest.warns(DataWarning, match="phi = 30°"):
        left = hnb.fit(spoiled.assign(usable=offered), parameters=HETERODYNE, multistart=0)
    assert left.dataset.sizes["bin"] == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"methods": "wassertein"}, "did you mean 'wasserstein'"),
        ({"methods": ()}, "no robust method"),
        ({"radius": "large"}, "'auto' or 'cv'|'cv'"),
        ({"radius": -1.0}, "0 or more"),
        ({"radius": {"elipsoidal": 1.0}}, "did you mean 'ellipsoidal'"),
        ({"radius": "cv", "methods": "ellipsoidal"}, "how well the instrument is known"),
        ({"radius": 2.0, "methods": "scenario"}, "from 0 to 1"),
        ({"price": -1.0}, "price"),
        ({"calibration": {"q_scale": 0.0}}, "every calibration counts as known"),
        ({"solver": "simplex"}, "unknown solver"),
        ({"cvar": 2.0}, "above 0 and below 1"),
        ({"start": 3.0}, "name -> value"),
        ({"start": {"D": 3.0}}, "unknown parameter"),
        ({"loss": "hubert"}, "did you mean 'huber'"),
    ],
)
def test_wrong_arguments_are_told(change: dict, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        hnb.fit_robust(maps(), MODE, **{**FAST, **change})


def test_what_is_no_dataset_is_told() -> None:
    with pytest.raises(ConfigurationError, match="needs a Dataset"):
        hnb.fit_robust(np.ones(3), MODE)
    with pytest.raises(DataFormatError, match="no two-time maps"):
        hnb.fit_robust(xr.Dataset(), MODE)
    with pytest.raises(ConfigurationError, match="did you mean"):
        hnb.radius_path(maps(), "scenario", mode=MODE, n_scenario=4)
