"""Idioms of xarray × verbs of the package: the same numbers as by the package's own way, or one of its errors."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import xarray as xr
from layout_builders import random_maps

import heterodyne_nb as hn
from heterodyne_nb.app import AnalysisSession
from heterodyne_nb.data import make_dataset, stack_bins, write_dataset
from heterodyne_nb.engine import problem_from_dataset
from heterodyne_nb.errors import HeterodyneError
from heterodyne_nb.fitting.fitting import parameter_table
from heterodyne_nb.fitting.one_time_fit import read_one_time

pytestmark = pytest.mark.filterwarnings("ignore::heterodyne_nb.errors.DataWarning")
N, DT = 24, 0.5
STATIC = {"D0": 10.0, "alpha": {"value": 0.0, "vary": False}, "D_offset": {"value": 0.0, "vary": False}}


def dataset(n: int = N) -> xr.Dataset:
    """Speckle of contrast 0.2 that decays in 10 frames, with noise."""
    lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    noise = 0.1 * (random_maps((2, 2), n=n) - 1)
    c2 = (noise + 1 + 0.2 * np.exp(-lag / 10)).astype(np.float32)
    return make_dataset(c2, q=[0.01, 0.02], phi=[0, 90], dt=DT, sigma=np.full((2, 2), 0.01))


def coarse(ds: xr.Dataset) -> xr.Dataset:
    blocks = ds["c2"].values.reshape(2, 2, N // 2, 2, N // 2, 2).mean((3, 5))
    return make_dataset(blocks, q=[0.01, 0.02], phi=[0, 90], dt=2 * DT, sigma=np.full((2, 2), 0.01))


def thin(ds: xr.Dataset) -> xr.Dataset:
    few = ds["c2"].values[..., ::2, ::2]
    return make_dataset(few, q=[0.01, 0.02], phi=[0, 90], dt=2 * DT, sigma=np.full((2, 2), 0.01))


def plain(ds: xr.Dataset) -> xr.Dataset:
    """Without any attribute."""
    ds = ds.copy()
    for one in (ds, *ds.variables.values(), *ds.coords.values()):
        one.attrs.clear() if hasattr(one, "attrs") else None
    return ds.drop_attrs()


def saved(ds: xr.Dataset, tmp_path: Path) -> xr.Dataset:
    ds.to_netcdf(tmp_path / "by_xarray.nc", engine="h5netcdf")
    return hn.open_dataset(tmp_path / "by_xarray.nc")


def zarred(ds: xr.Dataset, tmp_path: Path) -> xr.Dataset:
    pytest.importorskip("zarr", reason="needs heterodyne_nb[dask]")
    ds.to_zarr(tmp_path / "by_xarray.zarr", zarr_format=2)
    return hn.open_dataset(tmp_path / "by_xarray.zarr")


def chunked(ds: xr.Dataset, tmp_path: Path) -> xr.Dataset:
    pytest.importorskip("dask", reason="needs heterodyne_nb[dask]")
    return ds.chunk({"q": 1, "t1": 10, "t2": 10})


def in_nm(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign_coords(
        q=("q", ds["q"].values * 10, {"units": "1/nm"}), t=("t", ds["t"].values * 1e3, {"units": "ms"})
    )


def clock() -> np.ndarray:
    return (np.arange(1, N + 1) * DT * 1e9).astype("timedelta64[ns]")


def with_times(ds: xr.Dataset, times: np.ndarray) -> xr.Dataset:
    return ds.assign_coords({name: (name, times) for name in ("t", "t1", "t2")})


def same(ds: xr.Dataset) -> xr.Dataset:
    return ds


crop = lambda ds: hn.prepare.crop_frames(ds, 5, 18)  # noqa: E731
one_phi = lambda ds: hn.prepare.select(ds, phi=90)  # noqa: E731
mask_first = lambda ds: hn.prepare.mask_frames(ds, (1, 4))  # noqa: E731
holes = lambda ds: hn.prepare.mask_frames(ds, []).assign(c2=ds["c2"].where(ds["c2"] < 1.3))  # noqa: E731
#: Idiom, and what it means in the words of this package; None: it can only be refused.
IDIOMS: dict[str, tuple[Callable[..., xr.Dataset], Callable[[xr.Dataset], xr.Dataset] | None]] = {
    "where frames": (lambda ds: ds.where(ds["t"] > 4 * DT), mask_first),
    "where frames, drop": (lambda ds: ds.where(ds["t"] > 4 * DT, drop=True), lambda ds: hn.prepare.crop_frames(ds, 5)),
    "where phi": (lambda ds: ds.where(ds["phi"] == 90), one_phi),
    "where phi, drop": (lambda ds: ds.where(ds["phi"] == 90, drop=True), one_phi),
    "where pixels": (lambda ds: ds.where(ds["c2"] < 1.3), holes),
    "sel t": (lambda ds: ds.sel(t=slice(4.5 * DT, 18.5 * DT)), crop),
    "sel t1, t2": (lambda ds: ds.sel(t1=slice(4.5 * DT, 18.5 * DT), t2=slice(4.5 * DT, 18.5 * DT)), crop),
    "isel t": (lambda ds: ds.isel(t=slice(4, 18)), crop),
    "isel all times": (lambda ds: ds.isel(t=slice(4, 18), t1=slice(4, 18), t2=slice(4, 18)), crop),
    "isel one phi": (lambda ds: ds.isel(phi=1), one_phi),
    "isel one t1": (lambda ds: ds.isel(t1=3), None),
    "concat phi": (lambda ds: xr.concat([ds.isel(phi=[0]), ds.isel(phi=[1])], "phi", data_vars="all"), same),
    "concat phi, minimal": (lambda ds: xr.concat([ds.isel(phi=[0]), ds.isel(phi=[1])], "phi", data_vars="minimal"), same),
    "concat runs": (lambda ds: xr.concat([ds, ds], "run", data_vars="all"), None),
    "one run": (lambda ds: ds.expand_dims("run"), same),
    "DataTree": (lambda ds: xr.DataTree.from_dict({"a": ds, "b": ds}), None),
    "DataArray": (lambda ds: ds["c2"], None),
    "no mask": (lambda ds: ds.drop_vars("mask"), same),
    "no usable": (lambda ds: ds.drop_vars("usable"), same),
    "no frame": (lambda ds: ds.drop_vars("frame"), same),
    "no times": (lambda ds: ds.drop_vars(["t", "t1", "t2", "frame", "mask"]), same),
    "no dt": (lambda ds: ds.drop_attrs(deep=False), same),
    "no q": (lambda ds: ds.drop_vars("q"), None),
    "no attributes": (plain, same),
    "to_netcdf": (saved, same),
    "to_zarr": (zarred, same),
    "dask": (chunked, same),
    "transposed": (lambda ds: ds.transpose("t2", "phi", "t1", "q", ...), same),
    "sorted": (lambda ds: ds.sortby("phi", ascending=False), same),
    "stacked": (lambda ds: ds.stack(bin=("q", "phi")), same),
    "coarsened": (lambda ds: ds.coarsen(t=2, t1=2, t2=2).mean(), coarse),
    "thinned": (lambda ds: ds.thin(t=2, t1=2, t2=2), thin),
    "averaged over t1": (lambda ds: ds.mean("t1"), None),
    "renamed dimension": (lambda ds: ds.rename(t1="age", t2="lag"), None),
    "renamed map": (lambda ds: ds.rename(c2="ttcf", g2="curve"), None),
    "other units": (in_nm, same),
    "float32": (lambda ds: ds.astype("float32").assign_coords(t=ds["t"].astype("f4"), q=ds["q"].astype("f4")), same),
    "text": (lambda ds: ds.assign(c2=ds["c2"].astype(str)), None),
    "with more": (lambda ds: ds.assign(note=("t", np.arange(N))).assign_coords(stage=3.0), same),
    "compute": (lambda ds: ds.compute(), same),
    "times of a clock": (lambda ds: with_times(ds, np.datetime64("2026-02-03T04:05:06") + clock()), same),
    "times as durations": (lambda ds: with_times(ds, clock()), same),
    "backwards": (lambda ds: ds.isel(t=slice(None, None, -1), t1=slice(None, None, -1), t2=slice(None, None, -1)), same),
    "t1 backwards": (lambda ds: ds.isel(t1=slice(None, None, -1)), same),
    "rolled with its times": (lambda ds: ds.roll(t1=3, t2=3, t=3, roll_coords=True), same),
    "t1 and t2 exchanged": (lambda ds: ds.rename(t1="t2", t2="t1"), same),
    "padded": (lambda ds: ds.pad(t1=2, t2=2), same),
    "levels of an index": (lambda ds: ds.stack(bin=("q", "phi")).reset_index("bin").set_index(bin=["phi", "q"]), same),
    "frames with gaps": (lambda ds: ds.isel({d: [0, 1, 2, 6, 7, 8, 9] for d in ("t", "t1", "t2")}), None),
    "another dimension": (lambda ds: ds.expand_dims(sample=["a", "b"]), None),
    "swapped dimension": (lambda ds: ds.assign_coords(n=("t1", np.arange(N))).swap_dims(t1="n"), None),
    "q in words": (lambda ds: ds.assign_coords(q=["low", "high"]), None),
    "stacked times": (lambda ds: ds.stack(pixel=("t1", "t2")), None),
    "DataFrame": (lambda ds: ds[["c2"]].to_dataframe(), None),
    "copy": (lambda ds: ds.copy(deep=True), same),
    "pickle": (lambda ds: pickle.loads(pickle.dumps(ds)), same),
}  # fmt: skip


def by_bin(ds: xr.Dataset, name: str) -> np.ndarray:
    """A variable's values of live bins, in the order of q and phi."""
    bins = stack_bins(ds)
    order = np.lexsort(
        (np.broadcast_to(bins["phi"], bins.sizes["bin"]), np.broadcast_to(bins["q"], bins.sizes["bin"]))
    )
    one = bins[name] if isinstance(bins, xr.Dataset) else bins
    return one.transpose("bin", *sorted(map(str, set(one.dims) - {"bin"}))).values[order]


def fit(ds: xr.Dataset, tmp_path: Path) -> list[np.ndarray]:
    """All that a two-time fit is made of; the times from the first, since the model is one of lags."""
    model = hn.ModelFactory.create_model("static_isotropic")
    problem = problem_from_dataset(ds, model, parameter_table(model, STATIC))
    order = np.lexsort((problem.phi, problem.q))
    holes = problem.holes[np.lexsort(problem.holes.T)] if len(problem.holes) < 400 else np.zeros(0)
    return [problem.q[order], problem.phi[order], np.diff(problem.t), problem.sigma[order], problem.data[order], problem.mask[order], holes]  # fmt: skip


def one_time(ds: xr.Dataset, tmp_path: Path) -> list[np.ndarray]:
    """All that a one-time fit is made of."""
    found = read_one_time(ds)
    order = np.lexsort((found.phi, found.q))
    weight = found.weight[order]
    return [found.q[order], found.phi[order], found.tau, found.g2[order] * (weight > 0)]


def figure(ds: xr.Dataset, tmp_path: Path) -> list[np.ndarray]:
    made = hn.plots.comparison(ds, fitted(), q=0.01, phi=90)
    return [np.asarray(one.z, float) for one in made.data[:1]]


@cache
def fitted() -> hn.FitResult:
    return hn.fit(dataset(), "static_isotropic", parameters=STATIC, multistart=0)


def prepared(ds: xr.Dataset, tmp_path: Path) -> list[np.ndarray]:
    chosen = hn.prepare.select(ds, q=0.01)
    first = int(chosen["frame"].values[5])
    masked = hn.prepare.mask_frames(chosen, first)
    cut = hn.prepare.g2_cuts(masked, age=[4.0], width=2.0)
    good = hn.prepare.detect_bad_frames(masked)
    merged = hn.prepare.merge_bins(hn.prepare.crop_frames(masked, first - 2, None), over="phi")
    sigma = np.ravel(hn.prepare.estimate_sigma(masked).values)
    return [by_bin(cut, "g2"), good.values, by_bin(merged, "c2"), np.sort(sigma[np.isfinite(sigma)])]  # fmt: skip


def written(ds: xr.Dataset, tmp_path: Path) -> list[np.ndarray]:
    write_dataset(ds, tmp_path / "kept.nc")
    return session(hn.open_dataset(tmp_path / "kept.nc"), tmp_path)


def session(ds: xr.Dataset, tmp_path: Path) -> list[np.ndarray]:
    made = AnalysisSession()
    made.open(ds)
    assert made.dataset is not None
    return [by_bin(made.dataset, "c2"), made.dataset["mask"].values, np.diff(made.dataset["t"].values)]


@cache
def by_our_own_words(meaning: Callable[[xr.Dataset], xr.Dataset], verb: str) -> list[np.ndarray]:
    with TemporaryDirectory() as folder:
        return VERBS[verb](meaning(dataset()), Path(folder))


VERBS = {
    "fit": fit,
    "one-time": one_time,
    "figure": figure,
    "prepare": prepared,
    "write": written,
    "session": session,
}
#: Cells whose verb is free to use an idiom that the others refuse, or that cannot have the same numbers, and why.
MAY_DIFFER = {
    ("where phi", "session"): "the other bins stay, without data",
    ("where pixels", "one-time"): "g2 is computed anew, as in the fit of maps",
    ("coarsened", "figure"): "the model was fitted to the fine frames",
    ("coarsened", "prepare"): "frames and ages have other numbers",
    ("thinned", "prepare"): "frames and ages have other numbers",
    ("thinned", "figure"): "the model was fitted to all frames",
}
WRITTEN_AS_IT_IS = {
    *("concat runs", "DataTree", "no q", "renamed dimension", "isel one t1", "averaged over t1"),
    *("frames with gaps", "another dimension", "swapped dimension"),
}


#: Preparing many runs works run by run (test_many_runs); a DataArray is xarray's own; copies are written as what they are of.
NO_CELLS = {("concat runs", "prepare"), ("DataTree", "prepare"), ("DataArray", "prepare")}
NO_CELLS |= {(idiom, "write") for idiom in ("compute", "copy", "pickle")}
CELLS = [(idiom, verb) for idiom in IDIOMS for verb in VERBS if (idiom, verb) not in NO_CELLS]


@pytest.mark.parametrize(("idiom", "verb"), CELLS, ids=[" - ".join(cell) for cell in CELLS])
def test_the_numbers_are_the_same_or_the_error_is_ours(idiom: str, verb: str, tmp_path: Path):
    step, meaning = IDIOMS[idiom]
    arguments = (tmp_path,) if step in (saved, zarred, chunked) else ()
    changed = step(dataset(), *arguments)
    if meaning is None:
        said = None
        try:
            VERBS[verb](changed, tmp_path)
        except HeterodyneError as error:
            said = error
        assert verb == "one-time" or (verb == "write" and idiom in WRITTEN_AS_IT_IS) or said is not None, (
            "not refused"
        )
        return
    found = VERBS[verb](changed, tmp_path)
    if (idiom, verb) in MAY_DIFFER:
        return
    for one, other in zip(found, by_our_own_words(meaning, verb), strict=True):
        np.testing.assert_allclose(np.ravel(one), np.ravel(other), rtol=3e-6, atol=1e-9)


def test_maps_alone_are_written_in_every_layout(tmp_path: Path):
    ds = dataset()
    for write in (hn.data.write_apsu, hn.data.write_nxxpcs, hn.data.write_aps_legacy):
        write(ds[["c2"]], tmp_path / "alone.h5")
        np.testing.assert_allclose(hn.open_dataset(tmp_path / "alone.h5")["c2"], ds["c2"], rtol=1e-6)
