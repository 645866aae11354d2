"""Data anywhere: only what is read travels, secrets stay out of records, a lost connection is tried again."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from layout_builders import random_maps

import heterodyne_nb as hn
from heterodyne_nb import remote
from heterodyne_nb.app import AnalysisSession
from heterodyne_nb.data import make_dataset, write_apsu, write_dataset
from heterodyne_nb.errors import DataFormatError, MissingExtraError, MissingFileError, OutputError

fsspec = pytest.importorskip("fsspec", reason="needs heterodyne_nb[remote]")
STATIC = {"D0": 10.0, "alpha": {"value": 0.0, "vary": False}, "D_offset": {"value": 0.0, "vary": False}}
#: What a test of a server needs beside fsspec.
https = pytest.mark.skipif(
    not remote.importlib.util.find_spec("aiohttp"), reason="needs heterodyne_nb[remote]"
)


class Counting(ThreadingHTTPServer):
    """An HTTP server of one folder that obeys ranges, counts what it sends, and drops connections when told to."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.sent, self.requests, self.drop, self.ranges = folder, 0, 0, 0, True

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class _Handler(BaseHTTPRequestHandler):
    server: Counting
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = self.server.folder / self.path.partition("?")[0].lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        size = path.stat().st_size
        first, last, wanted = 0, size - 1, self.headers.get("Range")
        if wanted and self.server.ranges:
            first, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(first), min(int(end or size - 1), size - 1)
        self.send_response(206 if wanted and self.server.ranges else 200)
        if self.server.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if wanted and self.server.ranges:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        if not body:
            return
        self.server.requests += 1
        with path.open("rb") as stream:
            stream.seek(first)
            data = stream.read(last - first + 1)
        if self.server.drop > 0:
            self.server.drop -= 1
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            return
        with contextlib.suppress(ConnectionError):
            self.wfile.write(data)
            self.server.sent += len(data)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Counting]:
    with Counting(tmp_path) as one:
        thread = threading.Thread(target=one.serve_forever, daemon=True)
        thread.start()
        yield one
        one.shutdown()
        thread.join()


@pytest.fixture
def memory() -> Iterator[str]:
    yield "memory://held"
    fsspec.filesystem("memory").store.clear()


def maps(n: int = 40, seed: int = 1, bins: tuple[int, int] = (1, 2)) -> np.ndarray:
    """Speckle of contrast 0.2 that decays in 10 frames, with noise."""
    lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    return (0.2 * (random_maps(bins, n=n, seed=seed) - 1) + 1 + 0.2 * np.exp(-lag / 10)).astype(np.float32)


def dataset(n: int = 40) -> xr.Dataset:
    return make_dataset(maps(n), q=0.01, phi=[0, 90], dt=1.0, attrs={"sample": "silica"})


@https
def test_a_long_run_opens_with_less_than_a_hundredth_of_it_and_a_bin_is_fetched_once(
    server: Counting, tmp_path: Path
):
    """30 bins of 10 000 frames, 12 GB: bin 7 is written, the others hold one small piece (the file has holes)."""
    n, bins, here = 10_000, 30, 7
    small = maps(600, bins=(1, 1))[0, 0]
    with h5py.File(tmp_path / "long.hdf", "w") as f:
        f["entry/instrument/detector_1/frame_time"] = 0.001
        f["xpcs/qmap/dynamic_v_list_dim0"] = 0.001 * (1 + np.arange(bins))
        f["xpcs/qmap/dynamic_v_list_dim1"] = [0.0]
        f["xpcs/qmap/dynamic_num_pts"] = [bins, 1]
        f["xpcs/qmap/dynamic_index_mapping"] = np.arange(bins)
        f["xpcs/twotime/processed_bins"] = np.arange(1, bins + 1)
        space = h5py.h5s.create_simple((n, n))
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        group = f.create_group("xpcs/twotime/correlation_map")
        for k in range(1, bins + 1):
            made = h5py.h5d.create(group.id, f"c2_{k:05d}".encode(), h5py.h5t.IEEE_F32LE, space, settings)
            h5py.Dataset(made)[:600, :600] = small
    size = (tmp_path / "long.hdf").stat().st_size
    assert size > 12e9
    with hn.open_dataset(server.url("long.hdf")) as run:
        opened = server.sent
        assert run.sizes["q"] == bins
        assert opened < size / 100
        block = run["c2"][here, 0, 100:600, 100:600].values
        np.testing.assert_array_equal(block, small[100:600, 100:600])
        assert server.sent - opened < 1.3 * 500 * n * 4  # rows of the file, no other bin


@https
@pytest.mark.parametrize(
    "filters", [{}, {"compression": "lzf", "chunks": (128, 128)}], ids=["plain", "chunks"]
)
def test_a_fit_of_one_bin_fetches_that_bin_once(server: Counting, tmp_path: Path, filters: dict):
    n, bins = 500, 3
    with h5py.File(tmp_path / "run.hdf", "w") as f:
        f["entry/instrument/detector_1/frame_time"] = 1.0
        f["xpcs/qmap/dynamic_v_list_dim0"] = 0.001 * (1 + np.arange(bins))
        f["xpcs/qmap/dynamic_v_list_dim1"] = [0.0]
        f["xpcs/qmap/dynamic_num_pts"] = [bins, 1]
        f["xpcs/qmap/dynamic_index_mapping"] = np.arange(bins)
        f["xpcs/twotime/processed_bins"] = np.arange(1, bins + 1)
        for k, one in enumerate(maps(n, bins=(bins, 1))[:, 0]):
            f.create_dataset(f"xpcs/twotime/correlation_map/c2_{k + 1:05d}", data=one, **filters)
        stored = f["xpcs/twotime/correlation_map/c2_00003"].id.get_storage_size()
    with hn.open_dataset(server.url("run.hdf"), q=0.003) as run:
        server.sent = 0
        far = hn.fit(run, "static_isotropic", parameters=STATIC, multistart=0)
    assert server.sent <= stored + 2 * remote.AHEAD
    near = hn.fit(
        hn.open_dataset(tmp_path / "run.hdf", q=0.003), "static_isotropic", parameters=STATIC, multistart=0
    )
    assert far.values == near.values


@https
def test_secrets_of_an_address_open_it_and_are_kept_nowhere(server: Counting, tmp_path: Path):
    write_apsu(dataset(), tmp_path / "run.hdf")
    url = server.url("run.hdf").replace("http://", "http://anna:geheim@") + "?token=secret"
    run = hn.open_dataset(url)
    result = hn.fit(run, "static_isotropic", parameters=STATIC, multistart=0)
    session = AnalysisSession()
    session.open(url)
    session.save(tmp_path / "session")
    result.save(tmp_path / "result.json")
    kept = [
        json.dumps(result.provenance), result.to_script(), str(run.attrs), str(run.encoding), repr(session),
        session.source, (tmp_path / "session" / "session.json").read_text(), (tmp_path / "result.json").read_text(),
    ]  # fmt: skip
    assert server.url("run.hdf") in result.to_script()
    for text in kept:
        assert "geheim" not in text
        assert "secret" not in text
    with pytest.raises(MissingFileError) as said:
        hn.open_dataset(url.replace("run.hdf", "none.hdf"))
    assert "secret" not in str(said.value)
    assert "geheim" not in str(said.value)


@https
def test_a_lost_connection_is_tried_again_and_then_said(server: Counting, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(remote, "WAITS", (0.0, 0.0, 0.0))
    write_apsu(dataset(), tmp_path / "run.hdf")
    server.drop = 2
    run = hn.open_dataset(server.url("run.hdf"))
    again = pickle.loads(pickle.dumps(run))
    server.drop = 3
    np.testing.assert_array_equal(again["c2"], dataset()["c2"])
    server.drop = 10**6
    with pytest.raises(DataFormatError, match=r"run\.hdf: the connection is lost") as said:
        hn.open_dataset(server.url("run.hdf"))
    assert "tried 4 times" in str(said.value)
    big = make_dataset(maps(600), q=0.01, phi=[0, 90], dt=1.0)
    server.drop = 0
    write_apsu(big, tmp_path / "big.hdf")
    late = hn.open_dataset(server.url("big.hdf"))
    server.drop = 10**6
    with pytest.raises(DataFormatError, match="the connection is lost"):
        late["c2"].load()


@https
def test_a_server_without_ranges_serves_all_the_same(server: Counting, tmp_path: Path):
    write_apsu(dataset(), tmp_path / "run.hdf")
    server.ranges = False
    np.testing.assert_array_equal(hn.open_dataset(server.url("run.hdf"))["c2"], dataset()["c2"])


def test_every_kind_of_file_goes_out_and_comes_back(memory: str, tmp_path: Path):
    ds = dataset()
    write_apsu(ds, f"{memory}/run.hdf")
    for ending in ("run.hdf", "own.nc", "own.zarr"):
        if ending != "run.hdf":
            write_dataset(ds, f"{memory}/{ending}")
            write_dataset(ds, f"{memory}/{ending}")  # replaced
        found = hn.open_dataset(f"{memory}/{ending}")
        np.testing.assert_array_equal(found["c2"], ds["c2"])
        assert found.encoding["source"] == f"{memory}/{ending}"
    np.savez(tmp_path / "plain.npz", c2=ds["c2"].values, q=0.01, phi=[0, 90])
    (tmp_path / "plain.json").write_text('{"dt": 0.5}')
    for name in ("plain.npz", "plain.json"):
        fsspec.filesystem("memory").put_file(str(tmp_path / name), f"/held/{name}")
    assert hn.open_dataset(f"{memory}/plain.npz").attrs["dt"] == 0.5


def test_file_objects_file_addresses_and_zarr_groups_open(tmp_path: Path):
    zarr = pytest.importorskip("zarr", reason="needs heterodyne_nb[dask]")
    ds = dataset()
    write_apsu(ds, tmp_path / "run.hdf")
    write_dataset(ds, tmp_path / "own.zarr")
    with open(tmp_path / "run.hdf", "rb") as stream:
        found = hn.open_dataset(stream)
        np.testing.assert_array_equal(found["c2"], ds["c2"])
    assert found.attrs["source"] == "run.hdf"
    group = zarr.open_group(tmp_path / "own.zarr", mode="r")
    for given in ((tmp_path / "run.hdf").as_uri(), group, group.store):
        np.testing.assert_array_equal(hn.open_dataset(given)["c2"], ds["c2"])


def test_file_objects_without_a_name_and_those_of_fsspec_open(memory: str, tmp_path: Path):
    ds = dataset()
    write_apsu(ds, tmp_path / "run.hdf")
    held = (tmp_path / "run.hdf").read_bytes()
    fsspec.filesystem("memory").pipe_file("/held/run.hdf", held)
    for given in (
        io.BytesIO(held),
        fsspec.open(f"{memory}/run.hdf"),
        fsspec.filesystem("memory").open("/held/run.hdf"),
    ):
        np.testing.assert_array_equal(hn.open_dataset(given)["c2"], ds["c2"])


def test_results_and_sessions_go_out_and_come_back(memory: str):
    result = hn.fit(dataset(), "static_isotropic", parameters=STATIC, multistart=0)
    for ending in (".nc", ".zarr"):
        result.save(f"{memory}/fit{ending}")
        assert hn.FitResult.load(f"{memory}/fit{ending}") == result
    result.save(f"{memory}/fit.csv")
    assert fsspec.filesystem("memory").cat("/held/fit.csv").startswith(b"name,value")
    session = AnalysisSession()
    session.open(dataset())
    session.masked = ((3, 4),)
    session.save(f"{memory}/session")
    session.save(f"{memory}/session")
    again = AnalysisSession.load(f"{memory}/session")
    assert again.masked == ((3, 4),)
    np.testing.assert_array_equal(again.original["c2"], dataset()["c2"])


def test_what_cannot_be_written_or_opened_is_our_error(memory: str, monkeypatch):
    with pytest.raises(DataFormatError, match="Protocol not known"):
        hn.open_dataset("nowhere://x/run.hdf")
    with pytest.raises(MissingFileError, match="no such file"):
        hn.open_dataset(f"{memory}/none.hdf")
    if remote.importlib.util.find_spec("aiohttp"):
        with pytest.raises(OutputError, match="cannot be written"):
            write_dataset(dataset(), "http://127.0.0.1:9/own.nc")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setattr(remote.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"heterodyne_nb\[remote\]"):
        hn.open_dataset("s3://bucket/run.hdf")


def test_an_s3_server_holds_data_results_and_stores(tmp_path: Path, monkeypatch):
    pytest.importorskip("s3fs", reason="needs heterodyne_nb[remote]")
    server = pytest.importorskip("moto.server", reason="needs an S3 server: pip install 'moto[server]'")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    one = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    one.start()
    try:
        host, port = one.get_host_and_port()
        monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": f"http://{host}:{port}"})
        fsspec.filesystem("s3").mkdir("beamline")
        ds = dataset()
        write_apsu(ds, "s3://beamline/2024/run.hdf")
        write_dataset(ds, "s3://beamline/2024/own.zarr")
        for name in ("run.hdf", "own.zarr"):
            np.testing.assert_array_equal(hn.open_dataset(f"s3://beamline/2024/{name}")["c2"], ds["c2"])
        result = hn.fit(
            hn.open_dataset("s3://beamline/2024/run.hdf"), "static_isotropic", parameters=STATIC, multistart=0
        )
        assert result.provenance["source"] == "s3://beamline/2024/run.hdf"
        result.save("s3://beamline/2024/fit.nc")
        assert hn.FitResult.load("s3://beamline/2024/fit.nc") == result
        with pytest.raises(MissingFileError):
            hn.open_dataset("s3://beamline/none.hdf")
    finally:
        one.stop()
