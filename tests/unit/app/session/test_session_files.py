"""A session in a folder and as a script: another process gets the same state and the same numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import heterodyne_nb
from heterodyne_nb import AnalysisSession, ConfigurationError, DataFormatError, FitResult
from heterodyne_nb.app.session import running, tasks
from heterodyne_nb.data import stack_bins
from heterodyne_nb.data.formats.native import write_dataset
from heterodyne_nb.errors import MissingFileError

STATE = ("bin", "bins", "masked", "crop", "parameters", "settings", "shown", "config", "source")


def worked(session: AnalysisSession) -> AnalysisSession:
    """A bit of everything: masks, crop, bins, a fixed and a bounded parameter, two fits."""
    session.mask_frames(11, 12)
    session.crop_frames(2, 38)
    session.fit_bins([1, 2, 3])
    session.select_bin(2)
    session.set_parameter("alpha", value=-0.4, vary=False)
    session.set_parameter("D0", value=250.0, min=1.0, max=5e4, prior=(280.0, 50.0))
    session.run()
    session.wait(600)
    session.change_settings(loss="huber", loss_scale=1.5)
    session.run()
    session.wait(600)
    return session


def assert_same(one: AnalysisSession, other: AnalysisSession) -> None:
    for name in STATE:
        assert getattr(one, name) == getattr(other, name), name
    assert one.dataset.drop_encoding().identical(other.dataset.drop_encoding())
    assert len(one.history) == len(other.history)
    for mine, theirs in zip(one.history, other.history, strict=True):
        assert mine == theirs


def run_script(script: str) -> FitResult:
    """Run a script in a namespace of its own; the `result` it ends with."""
    names: dict[str, Any] = {}
    exec(compile(script, "script.py", "exec"), names)
    return names["result"]


def assert_same_numbers(one: FitResult, other: FitResult) -> None:
    for name in ("parameters", "contrast", "offset"):
        np.testing.assert_allclose(one.dataset[name], other.dataset[name], rtol=1e-10, atol=1e-300)
    assert one.chi2 == pytest.approx(other.chi2, rel=1e-10)


def test_a_saved_session_loads_with_equal_state(session: AnalysisSession, tmp_path: Path) -> None:
    worked(session).show(0)
    session.set_config(session.to_config())
    loaded = AnalysisSession.load(session.save(tmp_path / "analysis"))
    assert_same(session, loaded)
    assert loaded.undo_name == ""
    loaded.close()


def test_in_a_new_process_the_state_is_equal_and_the_script_makes_the_result_again(
    session: AnalysisSession, tmp_path: Path
) -> None:
    worked(session)
    script = session.to_script()
    for line in ("mask_frames([(11, 12)])", "crop_frames(2, 38)", "isel(bin=[1, 2, 3])", "loss='huber'"):
        assert line in script
    assert "huber" not in session.to_script(0)
    folder, out = session.save(tmp_path / "analysis"), tmp_path / "made_by_script.nc"
    code = (
        f"{script}\nresult.save({str(out)!r})\n"
        f"s = hnb.AnalysisSession.load({str(folder)!r})\n"
        "print([repr(list(e.result.values.values())) for e in s.history], s.masked, s.shown, s.parameters)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=600
    )
    told = [repr(list(e.result.values.values())) for e in session.history]
    assert done.stdout.strip().endswith(f"{told} {session.masked} 1 {session.parameters}"), done.stderr
    assert_same_numbers(FitResult.load(out), session.result)


def test_the_script_of_a_cancelled_fit_holds_its_best_point(
    session: AnalysisSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_fit = tasks.fit

    def stopped_early(
        dataset: Any, settings: Any, parameters: Any, on_progress: Any, stop: Any, **more: Any
    ) -> Any:
        def after_one(event: Any) -> None:
            if event.message.startswith("iteration 1"):
                stop.cancel()

        return true_fit(dataset, settings, parameters, after_one, stop)

    monkeypatch.setattr(running.tasks, "fit", stopped_early)
    session.set_parameter("D0", value=3000.0)
    session.run()
    session.wait(600)
    assert session.result.message.startswith("cancelled")
    assert "ended early" in session.to_script()
    assert_same_numbers(run_script(session.to_script()), session.result)


def test_data_made_in_memory_have_no_script_until_the_session_is_saved(
    small: xr.Dataset, tmp_path: Path
) -> None:
    session = AnalysisSession(small)
    session.change_settings(mode="static_isotropic", multistart=0)
    session.run()
    session.wait(600)
    with pytest.raises(ConfigurationError, match="made in memory"):
        session.to_script()
    folder = session.save(tmp_path / "kept")
    assert "made in memory" in session.warnings[0]
    assert session.source == str(folder / "data.nc")
    loaded = AnalysisSession.load(folder)
    assert loaded.source == session.source
    assert loaded.history == session.history
    assert np.array_equal(loaded.dataset["c2"], small["c2"])
    assert_same_numbers(run_script(session.to_script()), session.result)
    loaded.mask_frames(3)
    loaded.save(folder)  # onto itself: its data are read while the new folder is written
    again = AnalysisSession.load(folder)
    assert again.masked == ((3, 3),)
    assert np.array_equal(again.original["c2"], small["c2"])
    for one in (session, loaded, again):
        one.close()


def test_a_moved_or_changed_data_file_is_said(
    session: AnalysisSession, small: xr.Dataset, tmp_path: Path
) -> None:
    session.run()
    session.wait(600)
    folder = session.save(tmp_path / "analysis")
    elsewhere = tmp_path / "elsewhere" / "run.nc"
    elsewhere.parent.mkdir()
    Path(session.source).rename(elsewhere)
    with pytest.raises(MissingFileError, match="data=") as missing:
        AnalysisSession.load(folder)
    assert "run1.nc" in str(missing.value)
    moved = AnalysisSession.load(folder, data=elsewhere)
    assert (moved.source, moved.warnings) == (str(elsewhere), ())
    moved.close()
    write_dataset(small.assign_attrs(note="another"), elsewhere)
    changed = AnalysisSession.load(folder, data=elsewhere)
    assert "contents have changed" in changed.warnings[0]
    changed.close()


def test_a_session_and_its_data_can_be_moved_together(session: AnalysisSession, tmp_path: Path) -> None:
    session.save(Path(session.source).parent / "analysis")
    (tmp_path / "there").mkdir()
    for name in ("analysis", "run1.nc"):
        (tmp_path / name).rename(tmp_path / "there" / name)
    loaded = AnalysisSession.load(tmp_path / "there" / "analysis")
    assert loaded.source == str(tmp_path / "there" / "run1.nc")
    loaded.close()


@pytest.mark.parametrize(
    ("text", "told"),
    [("{", "damaged"), ('{"a": 1}', "not the index"), (None, "no saved session")],
)
def test_what_is_no_saved_session_is_an_error_of_ours(tmp_path: Path, text: str | None, told: str) -> None:
    if text is not None:
        (tmp_path / "session.json").write_text(text)
    with pytest.raises(DataFormatError, match=told):
        AnalysisSession.load(tmp_path)


def test_a_session_of_a_newer_version_is_refused(session: AnalysisSession, tmp_path: Path) -> None:
    folder = session.save(tmp_path / "analysis")
    record = json.loads((folder / "session.json").read_text())
    (folder / "session.json").write_text(json.dumps({**record, "version": 99}))
    with pytest.raises(DataFormatError, match="newer version"):
        AnalysisSession.load(folder)


def test_a_folder_of_something_else_is_not_overwritten(session: AnalysisSession, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("It was a dark and stormy night.")
    with pytest.raises(ConfigurationError, match="left alone"):
        session.save(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter1.txt").exists()


def test_a_saved_session_with_a_foreign_file_in_it_is_not_replaced(
    session: AnalysisSession, tmp_path: Path
) -> None:
    folder = session.save(tmp_path / "analysis")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"holds 'notes.txt', no part of a saved session") as told:
        session.save(folder)
    assert "move what is yours out of it" in str(told.value)
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_session_whose_writer_was_killed_between_the_moves_is_there_when_it_is_loaded(
    session: AnalysisSession, tmp_path: Path
) -> None:
    folder = session.save(tmp_path / "analysis")
    code = (
        "import os, signal, sys\nfrom heterodyne_nb import AnalysisSession, files\n"
        "session = AnalysisSession.load(sys.argv[1])\nreplace = files.replace\n"
        "def killed(old, new):\n    replace(old, new)\n    new.parent.name == 'old' and os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.replace = killed\nsession.save(sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    assert done.returncode == -9
    assert not folder.exists()
    loaded = AnalysisSession.load(folder)
    assert_same(session, loaded)
    loaded.close()


def test_a_robust_set_is_kept_with_its_arguments_and_start(
    session: AnalysisSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.run()
    session.wait(600)
    monkeypatch.setattr(
        heterodyne_nb, "fit_robust", lambda data, **given: {"scenario": given["start"]}, raising=False
    )
    session.run_robust(["scenario"], radius=0.5, n_scenarios=20)
    session.wait(600)
    loaded = AnalysisSession.load(session.save(tmp_path / "robust"))
    assert loaded.history[1] == session.history[1]
    script = loaded.to_script()
    assert "result = hnb.fit(" in script
    assert "start=result" in script
    assert all(text in script for text in ("methods=['scenario']", "radius=0.5", "n_scenarios=20"))
    compile(script, "script", "exec")
    loaded.close()


@pytest.mark.filterwarnings("ignore::heterodyne_nb.errors.DataWarning")
def test_the_exported_configuration_opens_the_file_as_the_session_did(tmp_path: Path) -> None:
    """What was said when the file was opened: the choice of bins and frames, a mask, the frame time, q of an array."""
    maps = heterodyne_nb.simulate.model_maps(
        "static_isotropic", [300.0, 0, 0], q=[0.01, 0.02], phi=[0.0, 60.0], n_frames=40, dt=0.1, noise=0.01
    )
    write_dataset(maps, tmp_path / "run.nc")
    np.savetxt(tmp_path / "map.txt", maps["c2"].values[0, 0])
    used = np.ones(40, bool)
    used[10:12] = False
    for name, opened in (
        ("run.nc", {"q": 0.02, "phi": [60.0], "dt": 0.2, "frames": (3, 38), "mask": used}),
        ("run.nc", {}),
        ("map.txt", {"q": 0.01, "phi": 30.0, "dt": 0.1}),
    ):
        session = AnalysisSession()
        session.open(tmp_path / name, **opened)
        session.mask_frames(20, 21)
        asked = heterodyne_nb.analysis.loading.load(session.to_config()).dataset
        xr.testing.assert_equal(
            stack_bins(asked)[["c2", "mask"]], stack_bins(session.dataset)[["c2", "mask"]]
        )
        session.close()
