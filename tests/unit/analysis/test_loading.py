"""Loading does what the configuration says and tells what was used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from heterodyne_nb.analysis.loading import load, prepare_for_fit, ranges_in_words
from heterodyne_nb.cli import main
from heterodyne_nb.config import ConfigManager
from heterodyne_nb.data import open_dataset, stack_bins, write_dataset
from heterodyne_nb.errors import ConfigurationError, ConfigurationWarning, DataWarning, MissingFileError
from heterodyne_nb.simulate import model_maps

PHI = [-170.0, -90.0, 0.0, 90.0, 170.0]


@pytest.fixture(scope="module")
def maps() -> xr.Dataset:
    grid = {"q": [0.01, 0.02, 0.03], "phi": PHI, "n_frames": 30, "dt": 0.5}
    return model_maps("static_anisotropic", [50.0, 0.0, 0.0], contrast=0.2, noise=0.01, **grid)


def _settings(**sections: Any):
    return ConfigManager.from_dict({"analysis_settings": {"mode": "static_anisotropic"}, **sections}).settings


def test_frames_masks_and_q_are_as_configured_and_told(maps: xr.Dataset) -> None:
    settings = _settings(
        temporal={"start_frame": 4, "end_frame": 20},
        masks={"frames": [2, [6, 8], 20]},
        scattering={"wavevector_q": 0.021},
    )
    used, lines = prepare_for_fit(maps, settings)
    assert used["frame"].values[[0, -1]].tolist() == [4, 20]
    assert used["frame"].values[~used["mask"].values].tolist() == [6, 7, 8, 20]
    assert used["t"].values[0] == 2.0
    assert used["q"].values.tolist() == [0.02]
    assert lines == (
        "frames: 4 to 20, 0.5 s each; 13 of 17 used",
        "masked frames: 6-8, 20",
        "q: 0.02 1/Å",
        "phi: -170, -90, 0, 90, 170 deg",
    )


def test_nothing_configured_uses_everything(maps: xr.Dataset) -> None:
    used, lines = prepare_for_fit(maps, _settings())
    assert used.sizes == maps.sizes
    assert lines[0] == "frames: 1 to 30, 0.5 s each; 30 of 30 used"


@pytest.mark.parametrize("stacked", [False, True])
def test_angle_ranges_may_cross_the_cut_and_add_up(maps: xr.Dataset, stacked: bool) -> None:
    ranges = [{"min_angle": 165, "max_angle": 195}, {"min_angle": -10, "max_angle": 10}]
    settings = _settings(angle_filtering={"enabled": True, "target_ranges": ranges})
    used, _ = prepare_for_fit(stack_bins(maps) if stacked else maps, settings)
    assert sorted(set(used["phi"].values.tolist())) == [-170.0, 0.0, 170.0]


def test_angles_that_match_nothing_are_an_error_that_lists_those_there_are(maps: xr.Dataset) -> None:
    ranges = [{"min_angle": 40, "max_angle": 50}]
    settings = _settings(angle_filtering={"enabled": True, "target_ranges": ranges})
    with pytest.raises(ConfigurationError, match="phi = -170, -90, 0, 90, 170 deg"):
        prepare_for_fit(maps, settings)


def test_angles_that_match_nothing_fall_back_only_if_configured_and_with_a_warning(maps: xr.Dataset) -> None:
    filtering = {
        "enabled": True,
        "target_ranges": [{"min_angle": 40, "max_angle": 50}],
        "fallback_to_all_angles": True,
    }
    with pytest.warns(DataWarning, match="all are used"):
        used, _ = prepare_for_fit(maps, _settings(angle_filtering=filtering))
    assert used["phi"].values.tolist() == PHI


def test_bad_frames_are_found_in_the_data_if_configured(maps: xr.Dataset) -> None:
    spoilt = maps.copy(deep=True)
    values = spoilt["c2"].values
    values[:, :, 11, :] -= 0.15
    values[:, :, :, 11] -= 0.15
    used, lines = prepare_for_fit(spoilt, _settings(masks={"detect": True}))
    assert used["frame"].values[~used["mask"].values].tolist() == [12]
    assert "masked frames: 12" in lines


def test_a_frame_beyond_the_data_is_an_error(maps: xr.Dataset) -> None:
    with pytest.raises(ConfigurationError, match="frame 31 is not in the data"):
        prepare_for_fit(maps, _settings(temporal={"end_frame": 31}))


def test_the_file_is_found_beside_its_configuration_and_named(maps: xr.Dataset, tmp_path: Path) -> None:
    (tmp_path / "run7").mkdir()
    write_dataset(maps, tmp_path / "run7" / "maps.nc")
    path = tmp_path / "config.json"
    path.write_text(
        '{"analysis_settings": {"mode": "static_anisotropic"}, "data": {"folder": "run7", "file": "maps.nc"}}'
    )
    loaded = load(ConfigManager(path))
    assert loaded.dataset.sizes["t"] == 30
    assert loaded.account[0] == "file: maps.nc"


def test_a_missing_file_or_none_at_all_is_an_error(tmp_path: Path) -> None:
    mode = {"analysis_settings": {"mode": "static_anisotropic"}}
    with pytest.raises(MissingFileError, match=r"gone\.h5"):
        load(ConfigManager.from_dict({**mode, "data": {"file": str(tmp_path / "gone.h5")}}))
    with pytest.raises(ConfigurationError, match=r"data\.file"):
        load(ConfigManager.from_dict(mode))


def test_plain_arrays_take_q_phi_and_dt_from_the_configuration(tmp_path: Path, maps: xr.Dataset) -> None:
    np.save(tmp_path / "maps.npy", maps["c2"].values[0])
    values = {
        "analysis_settings": {"mode": "static_anisotropic"},
        "data": {"file": str(tmp_path / "maps.npy"), "q": [0.01] * 5, "phi": PHI},
        "temporal": {"dt": 0.25},
    }
    loaded = load(ConfigManager.from_dict(values))
    assert sorted(loaded.dataset["phi"].values.tolist()) == PHI
    assert loaded.dataset.attrs["dt"] == 0.25


def test_q_and_phi_of_a_file_that_says_them_itself_are_told_to_be_unused(
    tmp_path: Path, maps: xr.Dataset
) -> None:
    write_dataset(maps, tmp_path / "maps.nc")
    data = {"file": str(tmp_path / "maps.nc"), "q": [0.5], "phi": [1.0]}
    config = ConfigManager.from_dict({"analysis_settings": {"mode": "static_anisotropic"}, "data": data})
    with pytest.warns(
        ConfigurationWarning, match=r"data\.q and data\.phi not used: maps\.nc says these itself"
    ):
        loaded = load(config)
    assert loaded.dataset["q"].values.tolist() == [0.01, 0.02, 0.03]


def test_frames_are_told_in_ranges() -> None:
    assert ranges_in_words(np.array([4, 7, 8, 9, 12])) == "4, 7-9, 12"


def test_units_the_analysis_and_empty_rings_are_settings_of_a_configuration_and_flags(tmp_path: Path) -> None:
    g2 = 1 + 0.2 * np.exp(-np.arange(1, 9) / 3.0)
    path = tmp_path / "curve.npz"
    np.savez(path, g2=g2[None], tau=np.arange(1.0, 9), q=[0.1], phi=[0.0], dt=1.0)
    stated = {"tau": "ms", "q": "1/nm", "dt": "ms"}
    data = {"file": str(path), "units": stated, "keep_empty": True}
    used = load(ConfigManager.from_dict({"analysis_settings": {"mode": "kww"}, "data": data})).dataset
    assert used["q"].item() == pytest.approx(0.01)
    np.testing.assert_allclose(used["tau"], 1e-3 * np.arange(1, 9))
    assert json.loads(used.attrs["opened_with"]) == {"units": stated, "keep_empty": True}
    wrong = ConfigManager.from_dict(
        {"analysis_settings": {"mode": "kww"}, "data": {"file": str(path), "analysis": "b"}}
    )
    with pytest.raises(ConfigurationError, match="no analysis 'b'"):
        load(wrong)
    flags = ["convert", str(path), str(tmp_path / "own.nc"), "--units", "tau=ms,q=1/nm,dt=ms"]
    assert main(flags) == 0
    assert open_dataset(tmp_path / "own.nc")["q"].item() == pytest.approx(0.01)
    assert main([*flags[:3], "--overwrite", "--analysis", "b"]) == 2
    assert main([*flags[:3], "--overwrite", "--units", "tau"]) == 2
