"""``run_heterodyne``: figures without a fit, the mode flags, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from heterodyne_nb.cli import run_heterodyne
from heterodyne_nb.cli.arguments import configured
from heterodyne_nb.cli.classic import simulated
from heterodyne_nb.config import ConfigManager
from heterodyne_nb.errors import ConfigurationError, ConfigurationWarning
from heterodyne_nb.result import FitResult

Captured = pytest.CaptureFixture[str]


def test_experimental_data_are_drawn_and_accounted_for(
    config_file: Callable[..., Path], tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "figures"
    flags = ["--config", str(config_file()), "--output-dir", str(out), "--plot-experimental-data"]
    assert run_heterodyne(flags) == 0
    told = capsys.readouterr().out
    assert "frames: 3 to 98, 0.1 s each; 93 of 96 used" in told
    assert "file: static.h5, layout aps-u" in told
    assert "masked frames: 10-12" in told
    assert "figures only, no fit" in told
    assert [path.name for path in out.iterdir()] == ["experimental_data.html"]
    assert (out / "experimental_data.html").stat().st_size > 1e6


def test_simulated_data_are_drawn_at_the_angles_asked_for(
    config_file: Callable[..., Path], tmp_path: Path
) -> None:
    config = config_file(scattering={"wavevector_q": 0.05})
    flags = [
        "--config",
        str(config),
        "--output-dir",
        str(tmp_path / "out"),
        "--plot-simulated-data",
        "--quiet",
    ]
    assert run_heterodyne([*flags, "--phi-angles=-30,0,30", "--contrast", "0.3", "--offset", "1"]) == 0
    page = (tmp_path / "out" / "simulated_data.html").read_text(encoding="utf-8")
    assert "model static_anisotropic at its start values" in page


def test_simulated_maps_are_offset_plus_contrast_times_the_model(config_file: Callable[..., Path]) -> None:
    config = ConfigManager(config_file(scattering={"wavevector_q": 0.05}))
    plain, scaled = simulated(config, [0.0, 90.0], 1.0, 0.0), simulated(config, [0.0, 90.0], 0.3, 1.0)
    assert plain["frame"].values[[0, -1]].tolist() == [3, 98]
    assert plain["c2"].values[0, 0].diagonal() == pytest.approx(1.0)
    assert scaled["c2"].values == pytest.approx(1.0 + 0.3 * plain["c2"].values, abs=1e-6)


def test_simulated_maps_of_several_components_take_their_number_from_the_configuration(
    tmp_path: Path,
) -> None:
    config = ConfigManager.template("multicomponent", 3).updated(
        {"scattering.wavevector_q": 0.01, "temporal.dt": 0.1, "temporal.end_frame": 20}
    )
    config.save(tmp_path / "three.json")
    flags = ["--config", str(tmp_path / "three.json"), "--output-dir", str(tmp_path), "--plot-simulated-data"]
    assert run_heterodyne([*flags, "--quiet"]) == 0
    page = (tmp_path / "simulated_data.html").read_text(encoding="utf-8")
    assert "model multicomponent_3 at its start values" in page


def test_simulated_data_need_a_q(config_file: Callable[..., Path], tmp_path: Path, capsys: Captured) -> None:
    flags = ["--config", str(config_file()), "--output-dir", str(tmp_path / "out"), "--plot-simulated-data"]
    assert run_heterodyne(flags) == 2
    assert "scattering.wavevector_q: is needed to simulate maps" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flag", ["--contrast=0.3", "--offset=1", "--phi-angles=0,90"])
def test_a_flag_without_effect_is_an_error(
    flag: str, config_file: Callable[..., Path], capsys: Captured
) -> None:
    assert run_heterodyne(["--config", str(config_file()), flag]) == 2
    assert "only concerns simulated maps" in capsys.readouterr().err


def test_a_missing_configuration_names_what_the_folder_has(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "mine.json").write_text("{}")
    assert run_heterodyne(["--config", str(tmp_path / "mein.json")]) == 2
    assert "the folder has mine.json" in capsys.readouterr().err


def test_missing_data_are_an_error_and_nothing_is_written(
    config_file: Callable[..., Path], tmp_path: Path, capsys: Captured
) -> None:
    config, out = config_file(data={"file": "gone.h5"}), tmp_path / "out"
    assert run_heterodyne(["--config", str(config), "--output-dir", str(out)]) == 1
    assert "gone.h5" in capsys.readouterr().err
    assert not out.exists()


def test_robust_methods_alone_save_each_its_answer(config_file: Callable[..., Path], tmp_path: Path) -> None:
    config = config_file(optimization={"robust": {"methods": ["wasserstein", "scenario"]}})
    out = tmp_path / "out"
    assert run_heterodyne(["--config", str(config), "--method", "robust", "--output-dir", str(out)]) == 0
    found = [FitResult.load(path) for path in out.glob("results*.nc")]
    methods = {result.robust["method"] for result in found if result.robust is not None}
    assert methods == {"wasserstein", "scenario"}


def test_a_mode_flag_replaces_the_mode_and_keeps_the_parameters_it_shares(
    config_file: Callable[..., Path],
) -> None:
    path = config_file(
        analysis_settings={"mode": "laminar_flow"},
        geometry={"gap": 2e6},
        initial_parameters={"values": [50.0, -0.5, 5.0, 0.01, 0.0, 0.0, 10.0], "bounds": {"beta": [-1, 1]}},
    )
    with pytest.warns(ConfigurationWarning, match="static_isotropic has no beta, gamma_dot_0"):
        config = configured(path, {}, mode="static_isotropic")
    assert config.settings.mode == "static_isotropic"
    assert config.parameters.values.tolist() == [50.0, -0.5, 5.0]


def test_the_mode_the_configuration_has_already_changes_nothing(config_file: Callable[..., Path]) -> None:
    path = config_file()
    assert configured(path, {}, mode="static_anisotropic") == ConfigManager(path)


def test_a_data_flag_starts_at_the_working_directory(
    config_file: Callable[..., Path], data_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config_file(data={"file": "gone.h5", "folder": "nowhere"})
    monkeypatch.chdir(data_file.parent)
    config = configured(path, {}, data=Path(data_file.name))
    assert config.data_path == data_file.resolve()


def test_a_wrong_replacement_is_an_error(config_file: Callable[..., Path]) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'nelder_mead'"):
        configured(config_file(), {"optimization.classical.methods": ("nelder_mad",)})


def test_two_modes_exclude_each_other(capsys: Captured) -> None:
    assert run_heterodyne(["--heterodyne", "--laminar-flow"]) == 2
    assert "not allowed with argument" in capsys.readouterr().err
