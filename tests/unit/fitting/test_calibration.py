"""Contrast measured on a static sample: what it is, how sure it is, and what a fit makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fit_samples import STATIC, static_maps

from heterodyne_nb import ConfigManager, calibrate_contrast, fit, fit_batch
from heterodyne_nb.data import make_dataset
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning
from heterodyne_nb.fitting import objective_of
from heterodyne_nb.simulate import model_maps, speckle

GRID: dict[str, Any] = {"q": [0.01, 0.02], "phi": [0.0, 60.0], "n_frames": 20, "dt": 0.5}


def rows(calibration: dict[str, Any]) -> np.ndarray:
    return np.array(calibration["contrast"]["calibration"], float)


def test_the_contrast_of_static_speckle_scatters_about_that_of_the_beam_by_its_error() -> None:
    still = [
        rows(
            calibrate_contrast(
                speckle("static_isotropic", [0, 0, 1e-6], contrast=0.3, n_pixels=300, seed=s, **GRID)
            )
        )
        for s in range(12)
    ]
    pulls = np.array([(one[:, 2] - 0.3) / one[:, 3] for one in still])
    assert abs(pulls.mean()) < 0.5
    assert 0.75 < pulls.std() < 1.3  # 48 draws: 1 ± 0.1
    assert still[0][:, :2].tolist() == [[0.01, 0.0], [0.01, 60.0], [0.02, 0.0], [0.02, 60.0]]


def test_one_value_a_q_is_the_mean_over_its_angles_and_surer() -> None:
    rest = speckle("static_isotropic", [0, 0, 1e-6], contrast=0.3, n_pixels=400, **GRID)
    single, ring = rows(calibrate_contrast(rest)), calibrate_contrast(rest, per="q", prior=True)
    assert ring["contrast"]["vary"] is True
    assert [row[1] for row in ring["contrast"]["calibration"]] == [None, None]
    np.testing.assert_allclose(rows(ring)[:, 2], single[:, 2].reshape(2, 2).mean(axis=1))
    np.testing.assert_allclose(rows(ring)[:, 3], np.sqrt((single[:, 3].reshape(2, 2) ** 2).sum(axis=1)) / 2)


@pytest.mark.filterwarnings("ignore:.*units")
def test_maps_and_g2_without_a_baseline_give_the_same_contrast() -> None:
    tau = 0.5 * np.arange(1, 20)
    flat = np.full((2, 2, 19), 0.25) + 1e-4 * np.random.default_rng(1).standard_normal((2, 2, 19))
    g2 = make_dataset(
        g2=flat, g2_err=np.full_like(flat, 1e-4), tau=tau, q=[0.01, 0.02], phi=[0.0, 60.0], dt=0.5
    )
    np.testing.assert_allclose(rows(calibrate_contrast(g2, n_speckles=1e9))[:, 2], 0.25, atol=5e-4)
    with pytest.raises(DataFormatError, match=r"(?s)how sure.*n_speckles=500"):
        calibrate_contrast(g2)


def test_a_reference_that_moves_is_told() -> None:
    moving = model_maps("static_isotropic", [3000.0, 0.0, 0.0], contrast=0.2, **GRID)
    with pytest.warns(DataWarning, match="not static"):
        calibrate_contrast(moving, n_speckles=1000)


def test_a_fit_holds_each_bin_at_its_calibration_or_leans_on_it() -> None:
    ds, known = static_maps(), np.array([0.19, 0.195, 0.2, 0.205])
    cells = [
        [q, phi, c, 0.002]
        for (q, phi), c in zip([(0.01, 0.0), (0.01, 60.0), (0.02, 0.0), (0.02, 60.0)], known, strict=True)
    ]
    held, leaning, loose = (
        fit(ds, "static_isotropic", parameters={**STATIC, **more}, multistart=0)
        for more in (
            {"contrast": {"calibration": cells, "vary": False}},
            {"contrast": {"calibration": cells}},
            {},
        )
    )
    np.testing.assert_allclose(held.dataset["contrast"], known)
    assert held.dataset.attrs["n_free"] == 3 + 4  # the offsets
    loosely, nearer = (np.linalg.norm(one.dataset["contrast"].values - known) for one in (loose, leaning))
    assert nearer < 0.5 * loosely
    assert np.all(leaning.dataset["contrast_error"].values < loose.dataset["contrast_error"].values)
    assert "contrast held at the calibration" in held.summary()
    for result in (held, leaning):
        assert objective_of(result, ds)(np.array(list(result.values.values()))) == pytest.approx(result.chi2)


def test_one_calibration_of_a_q_counts_once_for_bins_that_share_it() -> None:
    ds = static_maps()
    ring = {"contrast": {"calibration": [[0.01, None, 0.21, 1e-3], [0.02, None, 0.21, 1e-3]]}}
    alone = {"contrast": {"prior": (0.21, 1e-3)}}
    one, other = (
        fit(ds, "static_isotropic", parameters={**STATIC, **how}, multistart=0, contrast="per_q")
        for how in (ring, alone)
    )
    np.testing.assert_allclose(one.dataset["contrast"], other.dataset["contrast"], rtol=1e-6)


def test_one_time_fits_and_batches_take_a_calibration_too() -> None:
    tau = np.geomspace(0.01, 50, 40)
    decay = np.stack([[1 + c * np.exp(-2 * 0.4 * tau) for c in (0.15, 0.25)]])
    ds = make_dataset(g2=decay, g2_err=np.full_like(decay, 1e-3), tau=tau, q=[0.01], phi=[0.0, 60.0], dt=0.01)
    asked = {"contrast": {"calibration": [[0.01, 0.0, 0.15, 0.01], [0.01, 60.0, 0.25, 0.01]], "vary": False}}
    result = fit(ds, "single_exponential", parameters=asked)
    np.testing.assert_allclose(result.dataset["contrast"], [0.15, 0.25])
    batch = fit_batch(ds, "single_exponential", over="phi", parameters=asked)
    np.testing.assert_allclose(np.ravel(batch["contrast"]), [0.15, 0.25])


def test_bins_that_were_not_calibrated_are_named() -> None:
    asked = {**STATIC, "contrast": {"calibration": [[0.01, None, 0.2, 0.01]], "vary": False}}
    with pytest.raises(ConfigurationError, match=r'(?s)2 of 4 bins were not calibrated: q = 0.02.*per="q"'):
        fit(static_maps(), "static_isotropic", parameters=asked)
    with pytest.raises(ConfigurationError, match=r"(?s)is no calibration.*rows \[q"):
        fit(static_maps(), "static_isotropic", parameters={"contrast": {"calibration": [[0.01, 0.2]]}})


def test_a_configuration_holds_a_calibration() -> None:
    cells = calibrate_contrast(speckle("static_isotropic", [0, 0, 1e-6], contrast=0.3, **GRID))["contrast"][
        "calibration"
    ]
    initial = {"values": STATIC, "calibration": {"contrast": cells}, "fixed": ["contrast"]}
    config = ConfigManager.from_dict(
        {"analysis_settings": {"mode": "static_isotropic"}, "initial_parameters": initial}
    )
    level = config.parameters.contrast
    assert level.held
    assert [list(row) for row in level.calibration] == cells
    assert config.parameters.to_dict()["contrast"]["calibration"] == cells
