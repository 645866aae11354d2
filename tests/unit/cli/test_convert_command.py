"""``heterodyne-nb convert`` keeps the content and refuses what it cannot do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from heterodyne_nb.cli import main
from heterodyne_nb.config import ConfigManager
from heterodyne_nb.data import open_dataset

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("out.h5", ["--layout", "aps-u"]),
        ("out.hdf", ["--layout", "aps-legacy"]),
        ("out.h5", ["--layout", "nxxpcs"]),
        ("out.nc", []),
    ],
)
def test_data_keep_their_maps_q_phi_and_times(
    name: str, flags: list[str], data_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / name
    assert main(["convert", str(data_file), str(out), *flags]) == 0
    before, after = open_dataset(data_file), open_dataset(out)
    np.testing.assert_array_equal(after["c2"].values, before["c2"].values)
    for axis in ("q", "phi", "t"):
        np.testing.assert_allclose(after[axis].values, before[axis].values, rtol=1e-6)


def test_plain_arrays_take_q_phi_and_dt_from_the_flags(tmp_path: Path, rng: np.random.Generator) -> None:
    upper = np.triu(rng.normal(1.1, 0.01, (2, 6, 6)))
    np.save(tmp_path / "maps.npy", upper + np.swapaxes(np.triu(upper, 1), 1, 2))
    out = tmp_path / "maps.h5"
    flags = ["--layout", "aps-u", "--q", "0.01,0.01", "--phi", "0,45", "--dt", "0.25"]
    assert main(["convert", str(tmp_path / "maps.npy"), str(out), *flags]) == 0
    made = open_dataset(out)
    assert made["phi"].values.tolist() == [0.0, 45.0]
    assert made.attrs["dt"] == 0.25


@pytest.mark.parametrize("suffix", [".yaml", ".toml", ".json"])
def test_a_configuration_says_the_same_in_another_format(
    suffix: str, config_file: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / f"other{suffix}"
    assert main(["convert", str(config_file()), str(out)]) == 0
    assert ConfigManager(out) == ConfigManager(config_file())


def test_an_existing_output_is_kept_unless_it_may_be_overwritten(
    data_file: Path, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "out.nc"
    out.write_text("mine")
    assert main(["convert", str(data_file), str(out)]) == 2
    assert out.read_text() == "mine"
    assert "add --overwrite" in capsys.readouterr().err
    assert main(["convert", str(data_file), str(out), "--overwrite"]) == 0
    assert open_dataset(out).sizes["t"] == 100


def test_a_failed_conversion_leaves_the_old_output_and_nothing_else(tmp_path: Path, capsys: Captured) -> None:
    broken, out = tmp_path / "broken.h5", tmp_path / "out.nc"
    broken.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\x00" * 100)
    out.write_text("mine")
    assert main(["convert", str(broken), str(out), "--force"]) == 1
    assert "broken.h5" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.h5", "out.nc"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["missing.h5", "out.nc"], 1, "no such file"),
        (["{data}", "out.h5"], 2, "does not say which layout to write"),
        (["{data}", "out.nc", "--layout", "aps-u"], 2, "own layout, not aps-u"),
        (["{data}", "out.yaml"], 2, "a configuration cannot become data"),
        (["{config}", "out.h5", "--layout", "aps-u"], 2, "a configuration cannot become data"),
        (["{config}", "out.yaml", "--dt", "1"], 2, "--dt does not concern this"),
        (["{data}", "out.h5", "--layout", "apsu"], 2, "invalid choice: 'apsu'"),
        (["{data}", "out.nc", "--q", "a,b"], 2, "not a comma-separated list of numbers"),
    ],
)
def test_what_cannot_be_converted_is_told(
    arguments: list[str],
    code: int,
    told: str,
    data_file: Path,
    config_file: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    names = {"data": str(data_file), "config": str(config_file())}
    monkeypatch.chdir(tmp_path)
    assert main(["convert", *(word.format(**names) for word in arguments)]) == code
    assert told in capsys.readouterr().err
    assert not list(tmp_path.glob("out.*"))
