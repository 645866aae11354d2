"""Choices of a session: each is one step of undo, wrong ones change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from held import stopped_clock

from heterodyne_nb import AnalysisSession, ConfigManager, ConfigurationError, simulate
from heterodyne_nb.app.session import FitSettings, state
from heterodyne_nb.data.formats.native import write_dataset


def used_frames(session: AnalysisSession) -> list[int]:
    dataset = session.dataset
    return dataset["frame"].values[dataset["mask"].values.astype(bool)].tolist()


def test_masked_ranges_are_sorted_and_joined_and_reach_the_dataset(session: AnalysisSession) -> None:
    session.mask_frames(20, 22)
    session.mask_frames(5)
    session.mask_frames(23, 25)
    assert session.masked == ((5, 5), (20, 25))
    assert used_frames(session) == [*range(1, 5), *range(6, 20), *range(26, 41)]


def test_unmasking_part_of_a_range_leaves_the_rest_masked(session: AnalysisSession) -> None:
    session.mask_frames(10, 20)
    session.unmask_frames(13, 15)
    assert session.masked == ((10, 12), (16, 20))


def test_undo_and_redo_step_through_masks_crops_bins_parameters_and_settings(
    session: AnalysisSession,
) -> None:
    session.mask_frames(3, 4)
    session.crop_frames(2, 30)
    session.select_bin(2)
    session.set_parameter("D0", value=500.0)
    session.change_settings(loss="huber")
    names = []
    while name := session.undo():
        names.append(name)
    assert names[:5] == [
        "change loss", "value of D0", "show another bin", "crop to frames 2-30", "mask frames 3-4"
    ]  # fmt: skip
    assert (session.masked, session.crop, session.bin, session.settings) == ((), None, 0, FitSettings())
    assert session.dataset is None  # opening the file was an action as well
    while session.redo():
        pass
    assert session.masked == ((3, 4),)
    assert session.crop == (2, 30)
    assert session.bin == 2
    assert session.parameters.values[0] == 500.0
    assert session.settings.loss == "huber"
    assert used_frames(session) == [2, *range(5, 31)]


def test_a_new_action_after_undo_forgets_what_could_be_redone(session: AnalysisSession) -> None:
    session.mask_frames(3)
    session.undo()
    session.mask_frames(9)
    assert session.redo_name == ""
    assert session.redo() == ""
    assert session.masked == ((9, 9),)


def test_assigning_a_choice_is_one_step_of_undo_as_well(session: AnalysisSession) -> None:
    session.masked = ((7, 8),)
    assert used_frames(session)[:7] == [1, 2, 3, 4, 5, 6, 9]
    assert session.undo() == "masked changed"
    assert session.masked == ()
    assert len(used_frames(session)) == 40


def test_a_moving_slider_is_one_step_of_undo_until_it_rests(
    session: AnalysisSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, before = stopped_clock(monkeypatch, state), session.parameters
    for value in np.linspace(100.0, 900.0, 30):
        session.set_parameter("D0", value=float(value))
    rested = session.parameters
    clock.now += 2
    session.set_parameter("D0", value=50.0)
    assert session.undo() == "value of D0"
    assert session.parameters == rested
    assert session.undo() == "value of D0"
    assert session.parameters == before


@pytest.mark.parametrize(
    ("action", "told"),
    [
        (lambda s: s.mask_frames(35, 60), "frame 60 is not in the data"),
        (lambda s: s.mask_frames(1, 40), "0 of 40 frames"),
        (lambda s: s.crop_frames(7, 7), "fewer than two frames"),
        (lambda s: s.select_bin(4), "no bin 4"),
        (lambda s: s.fit_bins([]), "no bin is chosen"),
        (lambda s: s.set_parameter("D0", value=-1.0), "below its lower bound"),
        (lambda s: s.set_parameter("D9", value=1.0), "unknown parameter 'D9'"),
        (lambda s: s.set_parameter("alpha", tie="D0"), "same unit"),
        (lambda s: s.change_settings(loss="hubert"), "hubert"),
        (lambda s: s.change_settings(time_limit=-2), "time_limit"),
        (lambda s: s.change_settings(colour="red"), "unknown setting"),
        (lambda s: s.show(0), "no entry 0"),
        (lambda s: s.revert(), "no fit to go back to"),
        (lambda s: setattr(s, "bin", 17), "no bin 17"),
        (lambda s: setattr(s, "masked", ((1, 2, 3),)), "no range of frames"),
    ],
)
def test_a_wrong_action_is_an_error_in_our_words_and_changes_nothing(
    session: AnalysisSession, action: object, told: str
) -> None:
    before, steps = session.choices, session.undo_name
    with pytest.raises(ConfigurationError, match=told):
        action(session)  # type: ignore[operator]
    assert told in str(session.error)
    assert session.choices == before
    assert session.undo_name == steps
    session.mask_frames(2)
    assert session.error is None


def test_observers_see_choices_and_dataset_together(session: AnalysisSession) -> None:
    seen = []
    session.observe(lambda change: seen.append((session.masked, len(used_frames(session)))), "masked")
    session.mask_frames(4, 6)
    assert seen == [(((4, 6),), 37)]


def test_the_bin_shown_stays_the_same_place_when_another_run_is_opened(
    session: AnalysisSession, tmp_path: Path
) -> None:
    other = simulate.model_maps(
        "static_isotropic", [200, 0, 0], q=[0.004, 0.01], phi=[-45.0, 1.0, 90.5], n_frames=20, dt=0.5
    )
    write_dataset(other, tmp_path / "run2.nc")
    session.select_bin(q=0.01, phi=90.0)
    session.mask_frames(30, 35)
    session.open(tmp_path / "run2.nc")
    assert session.bin == 5
    assert session.masked == ()
    session.undo()
    assert session.bin == 3
    assert session.masked == ((30, 35),)
    assert session.source.endswith("run1.nc")


def test_a_bin_that_another_run_lacks_gives_way_to_its_first_usable_one(
    session: AnalysisSession, tmp_path: Path
) -> None:
    other = simulate.model_maps(
        "static_isotropic", [200, 0, 0], q=[0.05], phi=[0.0, 90.0], n_frames=20, dt=0.5
    )
    maps = other["c2"].values.copy()
    maps[0, 0] = np.nan
    write_dataset(
        other.assign(c2=(other["c2"].dims, maps), usable=(("q", "phi"), [[False, True]])), tmp_path / "x.nc"
    )
    session.open(tmp_path / "x.nc")
    assert session.bin == 1


def test_the_first_bin_shown_is_the_one_whose_signal_is_clearest() -> None:
    maps = simulate.model_maps(
        "static_isotropic", [200, 0, 0], q=[0.004, 0.006], phi=[0.0, 90.0], n_frames=40, dt=0.5, contrast=0.3
    )  # fmt: skip
    noise = np.random.default_rng(0).normal(0, 1, maps["c2"].shape)
    noise = noise + noise.swapaxes(-1, -2)
    for clearest in range(4):
        size = np.where(np.arange(4) == clearest, 0.005, 0.03).reshape(2, 2, 1, 1)
        session = AnalysisSession(maps.assign(c2=maps["c2"] + size * noise))
        assert session.bin == clearest
        session.close()


def test_a_deleted_entry_stays_in_the_file_and_its_note_and_deletion_come_back(
    session: AnalysisSession, tmp_path: Path
) -> None:
    session.change_settings(mode="static_isotropic", multistart=0)
    session.run()
    session.wait(600)
    session.annotate(0, "warm")
    session.delete(0)
    assert session.kept == []
    assert session.shown is None
    session.save(tmp_path / "saved")
    again = AnalysisSession.load(tmp_path / "saved")
    assert (again.notes, again.deleted, again.kept) == ({"fit 1": "warm"}, ("fit 1",), [])
    assert len(again.history) == 1
    again.close()


def test_a_parameter_can_be_fixed_tied_bounded_given_a_prior_and_set_free_again(
    session: AnalysisSession,
) -> None:
    session.set_parameter("alpha", vary=False)
    session.set_parameter("D0", value=200.0, min=10.0, max=1e4, prior=(250.0, 20.0))
    session.set_parameter("D_offset", tie="D0")
    table = session.parameters
    assert table.role == ("free", "fixed", "tied to D0")
    assert (table.lower[0], table.upper[0], table.prior[0]) == (10.0, 1e4, (250.0, 20.0))
    assert table.values[2] == 200.0
    session.set_parameter("D_offset", tie=None)
    session.set_parameter("alpha", vary=True)
    session.set_parameter("D0", prior=None, min=None)
    table = session.parameters
    assert table.role == ("free", "free", "free")
    assert (table.lower[0], table.prior[0]) == (0.0, None)


def test_changing_the_mode_keeps_what_was_asked_of_parameters_both_modes_have(
    session: AnalysisSession,
) -> None:
    session.set_parameter("alpha", value=-0.25, min=-1.0)
    session.change_settings(mode="laminar_flow", gap=1e7)
    table = session.parameters
    assert len(table) == 7
    assert (table.values[1], table.lower[1]) == (-0.25, -1.0)


def test_a_configuration_sets_mode_parameters_frames_and_data(small_file: Path) -> None:
    config = {
        "analysis_settings": {"mode": "static_isotropic"},
        "data": {"file": str(small_file)},
        "temporal": {"start_frame": 3},
        "masks": {"frames": [[10, 12]]},
        "initial_parameters": {"values": {"D0": 123.0}, "fixed": ["D0"]},
        "optimization": {"loss": "huber", "multistart": {"n": 2}},
    }
    session = AnalysisSession(config=config)
    assert used_frames(session) == [*range(3, 10), *range(13, 41)]
    assert session.parameters.role[0] == "fixed"
    assert (session.settings.loss, session.settings.multistart) == ("huber", 2)
    again = ConfigManager.from_dict(session.to_config().to_dict())
    assert session.undo() == "configuration"
    assert session.dataset is None
    session.set_config(again)
    assert used_frames(session) == [*range(3, 10), *range(13, 41)]
    assert session.parameters.values[0] == 123.0
    session.close()


def test_a_wrong_configuration_lists_its_problems_and_changes_nothing(session: AnalysisSession) -> None:
    before = session.choices
    with pytest.raises(ConfigurationError, match=r"optimization\.loss"):
        session.set_config({"analysis_settings": {"mode": "heterodyne"}, "optimization": {"loss": "hubert"}})
    assert session.choices == before


def test_the_preview_follows_the_parameters_and_scales_to_the_data(
    session: AnalysisSession, small: xr.Dataset
) -> None:
    session.set_parameters({"D0": 300.0, "alpha": -0.4, "D_offset": 40.0})
    session.select_bin(2)
    near = session.preview()
    assert float(near.dataset["contrast"][0]) == pytest.approx(0.3, abs=0.02)
    assert float(near.dataset["offset"][0]) == pytest.approx(1.0, abs=0.02)
    assert np.nanstd(near.residual_map(small, bin=0).values[np.triu_indices(40, 1)]) < 0.012
    far = session.preview({"D0": 30000.0})
    assert far.chi2 > 2 * near.chi2


def test_the_preview_of_a_one_time_mode_is_a_curve_of_lags(session: AnalysisSession) -> None:
    session.change_settings(mode="kww")
    curve = session.preview({"Gamma": 0.05, "alpha": 1.0})
    assert curve.model_map(bin=0, t=np.array([0.5, 5.0])).dims == ("tau",)


def test_warnings_of_an_action_are_kept_for_the_page_and_not_printed() -> None:
    session = AnalysisSession()
    session.open_example()
    assert session.bin == 3  # the bin with the clearest signal
    session.set_parameter("D0_ref", vary=False, prior=(1.0, 2.0))
    assert any("prior" in text for text in session.warnings)
    session.close()


def test_data_masked_after_they_were_opened_count_as_made_in_memory(small_file: Path) -> None:
    from heterodyne_nb import open_dataset

    dataset = open_dataset(small_file)
    whole, masked = AnalysisSession(dataset), AnalysisSession(dataset.xpcs.mask_frames(3))
    assert whole.source == str(small_file)
    assert masked.source.startswith("<memory")
    whole.close()
    masked.close()
    dataset.close()
