import hashlib
import json
import os

import numpy as np
import pytest
import xarray as xr

import heterodyne_nb
from heterodyne_nb.data import make_dataset, open_dataset, prepare, stack_bins, write_apsu
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.result import collect_provenance
from heterodyne_nb.result.provenance import ranges, sha256


@pytest.fixture
def data_file(tmp_path):
    """A file of 2 q, 3 phi and 12 frames in the APS-U layout."""
    rng = np.random.default_rng(0)
    maps = 1.0 + 0.1 * rng.random((2, 3, 12, 12), dtype=np.float32)
    maps = 0.5 * (maps + maps.swapaxes(-1, -2))
    dataset = make_dataset(maps, q=[0.004, 0.008], phi=[-60.0, 0.0, 60.0], dt=0.5)
    path = tmp_path / "run_0042.h5"
    write_apsu(dataset, path)
    return path


def test_the_provenance_says_what_was_fitted(data_file):
    data = open_dataset(data_file, q=[0.004], frames=(2, 11), mask=[4, 5, 6, 9])
    told = collect_provenance(data, {"mode": "heterodyne"}, source_path=data_file, seed=3, date="2025-01-31")
    assert told["source"] == "run_0042.h5"
    assert told["source_sha256"] == hashlib.sha256(data_file.read_bytes()).hexdigest()
    assert told["selection"]["q"] == pytest.approx([0.004])
    assert told["selection"]["phi"] == pytest.approx([-60.0, 0.0, 60.0])
    assert told["selection"]["frames"] == [2, 11]
    assert told["masks"] == {"frames": [[4, 6], [9, 9]]}
    assert told["versions"]["heterodyne_nb"] == heterodyne_nb.__version__
    assert (told["seed"], told["date"], told["config"]) == (3, "2025-01-31", {"mode": "heterodyne"})


def test_the_provenance_is_json_deterministic_and_holds_no_folder(data_file):
    data = open_dataset(data_file)
    config = {
        "parameters": {"D0": {"value": np.float64(3), "min": -np.inf}},
        "q": np.arange(2),
        "f": data_file,
    }
    first, second = (collect_provenance(data, config, source_path=data_file) for _ in range(2))
    text = json.dumps(first, sort_keys=True)
    assert text == json.dumps(second, sort_keys=True)
    assert str(data_file.parent) not in text
    assert json.loads(text) == first


def test_what_is_not_known_is_left_out():
    told = collect_provenance(xr.Dataset())
    assert set(told) == {"versions"}


def test_a_file_that_is_gone_has_no_hash(data_file):
    data = open_dataset(data_file).load()
    data.close()
    os.remove(data_file)
    told = collect_provenance(data, source_path=data_file)
    assert told["source"] == "run_0042.h5"
    assert "source_sha256" not in told


def test_a_changed_file_is_hashed_anew(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(b"one" * 3_000_000)
    assert sha256(path) == hashlib.sha256(b"one" * 3_000_000).hexdigest()
    path.write_bytes(b"another")
    assert sha256(path) == hashlib.sha256(b"another").hexdigest()


def test_frames_are_written_as_ranges():
    assert ranges(np.array([3, 4, 5, 9, 11, 12])) == [[3, 5], [9, 9], [11, 12]]


def run(script, result, folder, monkeypatch):
    """Execute a script with a stand-in for the fit; return the data and settings it was called with."""
    calls = []

    def fit(data, mode="heterodyne", **settings):
        calls.append((data, {"mode": mode, **settings}))
        return result

    monkeypatch.setitem(vars(heterodyne_nb), "fit", fit)
    monkeypatch.chdir(folder)
    exec(compile(script, "script.py", "exec"), {})
    return calls[0]


def test_the_script_opens_the_same_data_and_calls_fit_with_the_same_settings(
    data_file, make_result, monkeypatch, capsys
):
    data = open_dataset(data_file, q=[0.008], phi=[0.0, 60.0], frames=(2, 11), mask=[4, 5, 6, 9])
    config = {
        "mode": "heterodyne",
        "parameters": {
            "D0_ref": 100.0,
            "phi0": {"value": 3.0, "min": -np.inf, "max": 90.0, "prior": (0.0, 5.0)},
        },
        "method": "gauss_newton",
        "loss": "huber",
        "loss_scale": 1.2,
        "options": {"max_iterations": 40},
        "multistart": 8,
        "time_limit": None,
    }
    told = collect_provenance(data, config, source_path=data_file, seed=5)
    result = make_result(provenance=told)
    script = result.to_script()
    opened, settings = run(script, result, data_file.parent, monkeypatch)
    xr.testing.assert_identical(opened[["c2", "mask"]].load(), data[["c2", "mask"]].load())
    assert settings == {
        "mode": "heterodyne",
        "parameters": {
            "D0_ref": 100.0,
            "phi0": {"value": 3.0, "min": -np.inf, "max": 90.0, "prior": [0.0, 5.0]},
        },
        "method": "gauss_newton",
        "loss": "huber",
        "loss_scale": 1.2,
        "options": {"max_iterations": 40},
        "multistart": 8,
        "seed": 5,
    }
    assert capsys.readouterr().out == result.summary() + "\n"


def test_the_script_picks_bins_that_form_no_grid(data_file, make_result, monkeypatch):
    data = stack_bins(open_dataset(data_file)).isel(bin=[4, 0, 2])
    result = make_result(provenance=collect_provenance(data, source_path=data_file))
    opened, settings = run(result.to_script(), result, data_file.parent, monkeypatch)
    np.testing.assert_array_equal(opened["c2"], data["c2"])
    np.testing.assert_allclose(opened["phi"], [0.0, -60.0, 60.0])
    assert settings == {"mode": "heterodyne", "method": "gauss_newton"}


def test_the_script_says_what_it_cannot_pass_on(data_file, make_result):
    told = collect_provenance(open_dataset(data_file), {"mode": "heterodyne", "colour": "blue"})
    script = make_result(provenance=told).to_script()
    assert "# recorded, but not an argument of fit: colour = 'blue'" in script
    compile(script, "script.py", "exec")


def test_the_script_takes_a_path_and_asks_for_one_where_none_is_known(make_result):
    result = make_result(provenance={})
    with pytest.raises(ConfigurationError, match="pass path="):
        result.to_script()
    script = result.to_script("it's here.h5")
    compile(script, "script.py", "exec")
    assert "it's here.h5" in script


def test_a_script_of_many_angles_keeps_its_lines_readable(data_file, make_result):
    data = open_dataset(data_file)
    told = collect_provenance(data, source_path=data_file)
    told["selection"]["phi"] = np.linspace(-179.123, 180, 30).tolist()
    script = make_result(provenance=told).to_script()
    compile(script, "script.py", "exec")
    assert "heterodyne_nb.open_dataset(\n    'run_0042.h5'," in script


def test_the_mask_of_prepare_is_the_mask_of_the_script(data_file, make_result, monkeypatch):
    data = prepare.mask_frames(open_dataset(data_file), [(3, 5)])
    result = make_result(provenance=collect_provenance(data, source_path=data_file))
    opened, _ = run(result.to_script(), result, data_file.parent, monkeypatch)
    np.testing.assert_array_equal(opened["mask"], data["mask"])
