"""Where a result comes from: file, selection, masks, settings, versions, seed; and the script that makes it again."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from keyword import iskeyword
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import heterodyne_nb
from heterodyne_nb.data.units import METADATA
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.options import FitOptions, RobustOptions
from heterodyne_nb.remote import Place, Remote, is_url
from heterodyne_nb.text.escaping import comment, docstring

_LIBRARIES = ("numpy", "scipy", "numba", "xarray", "h5py")


def collect_provenance(
    dataset: xr.Dataset,
    config: Mapping[str, Any] | None = None,
    *,
    source_path: str | Path | None = None,
    seed: int | None = None,
    date: str | None = None,
) -> dict[str, Any]:
    """Gather what is needed to do a fit again; the same input gives the same answer.

    Parameters
    ----------
    dataset : xarray.Dataset
        The data that were fitted, in either form (q, phi or bin).
    config : mapping, optional
        Keyword arguments :func:`heterodyne_nb.fit` was called with; ``FitResult.to_script`` writes them.
    source_path : str or Path, optional
        The data file. Default: what the dataset remembers of it. Only its name and hash are kept.
    seed : int, optional
    date : str, optional
        Kept as given; without it no date is kept.

    Returns
    -------
    dict
        JSON-ready: ``source``, ``source_sha256``, ``averaged`` (runs), ``layout``, ``dt``, ``opened_with`` (settings of
        ``open_dataset``), ``run`` (its metadata), ``selection``, ``masks``, ``config``,
        ``versions``, ``seed``, ``date``; what is not known is left out.
    """
    path = source_path or dataset.encoding.get("source")
    name = dataset.attrs.get("source") or (Path(path).name if path else None)
    told = {
        "source": str(path) if is_url(path) else None if name is None else Path(str(name)).name,
        "source_sha256": dataset.attrs.get("source_sha256")
        or (sha256(path) if path and Path(path).is_file() else None),
        "averaged": [run for run in str(dataset.attrs.get("runs", "")).split(", ") if run] or None,
        "layout": dataset.attrs.get("layout"),
        "dt": dataset.attrs.get("dt"),
        "opened_with": json.loads(dataset.attrs.get("opened_with", "{}")),
        "run": {name: dataset.attrs[name] for name in METADATA if name in dataset.attrs},
        "selection": _selection(dataset),
        "masks": _masks(dataset),
        "config": dict(config) if config else None,
        "versions": versions(),
        "seed": seed,
        "date": date,
    }
    return {key: _jsonable(value) for key, value in told.items() if value not in (None, {})}


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of the libraries that compute."""
    return dict(_versions())


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    """Read once: an installed library does not change under a running session."""
    found = [("python", platform.python_version()), ("heterodyne_nb", heterodyne_nb.__version__)]
    for library in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            found.append((library, metadata.version(library)))
    return tuple(found)


def sha256(path: str | Place) -> str:
    """Hash a file piece by piece; a file that did not change is hashed once a session.

    ``path``: An existing file, of any size.
    """
    if isinstance(path, Remote):
        return hashlib.sha256(path.bytes(0, path.size)).hexdigest()
    file = Path(path)
    state = file.stat()
    return _sha256(file.resolve(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _selection(dataset: xr.Dataset) -> dict[str, Any]:
    selection: dict[str, Any] = {}
    if "bin" in dataset.dims and {"q", "phi"} <= set(dataset.coords):
        pairs = zip(dataset["q"].values.tolist(), dataset["phi"].values.tolist(), strict=True)
        selection["bins"] = [list(pair) for pair in pairs]
    else:
        axes = [name for name in ("q", "phi") if name in dataset.coords]
        selection |= {name: np.atleast_1d(dataset[name].values).tolist() for name in axes}
    if "frame" in dataset.coords:
        frames = dataset["frame"].values
        selection["frames"] = [int(frames[0]), int(frames[-1])]
    return selection


def _masks(dataset: xr.Dataset) -> dict[str, Any]:
    points = np.ravel(dataset.attrs.get("excluded_points", [])).tolist()
    found: dict[str, Any] = {"points": points} if points else {}
    if "mask" not in dataset or "frame" not in dataset.coords:
        return found
    left_out = dataset["frame"].values[~np.asarray(dataset["mask"].values, dtype=bool)]
    return {**found, "frames": ranges(left_out)} if left_out.size else found


def ranges(numbers: np.ndarray) -> list[list[int]]:
    """Write increasing whole numbers as inclusive ranges: 3, 4, 5, 9 gives [[3, 5], [9, 9]]."""
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    return [[int(run[0]), int(run[-1])] for run in np.split(numbers, breaks)]


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(_jsonable(item) for item in value)
    if hasattr(value, "tolist"):
        return _jsonable(value.tolist())
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return value.name
    return getattr(value, "__name__", None) or type(value).__name__


#: Arguments of heterodyne_nb.fit that a record can hold; progress and stop belong to a session.
FIT_ARGUMENTS = ("mode", "parameters", *(name for name in FitOptions.model_fields if name != "mode"))
#: Arguments of heterodyne_nb.fit_robust that a record can hold.
ROBUST_ARGUMENTS = ("mode", "start", "parameters", *(n for n in RobustOptions.model_fields if n != "mode"))
_LINE = 100


def fit_script(
    provenance: Mapping[str, Any], mode: str, method: str, chi2_reduced: float, path: str | Path | None = None
) -> str:
    """Write the script.

    ``provenance``: As :func:`heterodyne_nb.result.collect_provenance` returns it. ``mode``, ``method``: Used when the
    provenance holds no settings. ``chi2_reduced``: Said in the first line, to compare with. ``path``: The data file;
    default its recorded name, looked for in the folder the script runs in.

    Raises ConfigurationError: No file is recorded and none is given.
    """
    source = str(path) if path is not None else provenance.get("source") or provenance.get("averaged")
    if not source:
        raise ConfigurationError(
            "the data of this result came from no file", hint="pass path= to the file they are in"
        )
    named = Path(source).name if isinstance(source, str) else f"the average of {', '.join(source)}"
    settings = {"mode": mode, "method": method, **(provenance.get("config") or {})}
    if provenance.get("seed") is not None:
        settings.setdefault("seed", provenance["seed"])
    lines = [
        docstring(f"Fits {named} again; reduced chi-square was {chi2_reduced:.6g}."),
        "",
        *_imports(provenance),
        "",
        *_comments(provenance),
        *(_of_frames(provenance, source) if provenance.get("road") else _of_dataset(provenance, source)),
        *_fit_lines(provenance, settings),
        "print(result.summary())",
    ]
    return "\n".join(lines) + "\n"


def _fit_lines(provenance: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """The call that fits: ``fit``, or for a min-max answer ``fit_robust``."""
    asked = provenance.get("robust_call")
    if asked is None:
        call = call_lines("result = heterodyne_nb.fit", ["data"], _arguments(settings))
        return [*_not_arguments(settings), *call]
    known = {name: asked[name] for name in ROBUST_ARGUMENTS if asked.get(name) is not None}
    if "price" not in asked:
        known["price"] = None
    return [
        *call_lines("results = heterodyne_nb.fit_robust", ["data"], known),
        f"result = results[{asked['methods'][0]!r}]",
    ]


def _imports(provenance: Mapping[str, Any]) -> list[str]:
    if "bins" in provenance.get("selection", {}) and not provenance.get("road"):
        return ["import heterodyne_nb", "from heterodyne_nb.data import stack_bins"]
    return ["import heterodyne_nb"]


def _comments(provenance: Mapping[str, Any]) -> list[str]:
    lines = []
    if provenance.get("source_sha256"):
        lines.append(comment(f"sha256 of the file: {provenance['source_sha256']}"))
    versions = provenance.get("versions") or {}
    if "heterodyne_nb" in versions:
        lines.append(comment(f"fitted with heterodyne_nb {versions['heterodyne_nb']}"))
    return lines


def _opening(provenance: Mapping[str, Any]) -> dict[str, Any]:
    selection = provenance.get("selection") or {}
    chosen = dict(provenance.get("opened_with") or {})
    chosen |= {name: selection[name] for name in ("q", "phi") if name in selection}
    if "frames" in selection:
        chosen["frames"] = tuple(selection["frames"])
    left_out = (provenance.get("masks") or {}).get("frames")
    if left_out:
        chosen["mask"] = [first if first == last else (first, last) for first, last in left_out]
    if provenance.get("layout") == "plain-arrays" and "dt" in provenance:
        chosen["dt"] = provenance["dt"]
    return chosen


def _of_dataset(provenance: Mapping[str, Any], source: str | list[str]) -> list[str]:
    verb, opening = "open_dataset", _opening(provenance)
    if not isinstance(source, str):  # the runs that were kept, each of them
        verb, opening = "average_runs", {"threshold": math.inf, **opening}
    opened = call_lines(f"data = heterodyne_nb.{verb}", [literal(source)], opening)
    points = np.reshape((provenance.get("masks") or {}).get("points") or [], (-1, 3)).tolist()
    left_out = call_lines("data = data.xpcs.exclude_points", [literal(points)], {}) if points else []
    return [*opened, *left_out, *_bins(provenance)]


def _of_frames(provenance: Mapping[str, Any], source: str) -> list[str]:
    """Open detector frames with their partition, and pick frames and bins."""
    partition, chosen = provenance.get("partition"), _opening(provenance)
    if not partition:
        raise ConfigurationError(
            "the bins of these frames came from no file",
            where="partition",
            hint="write them with heterodyne_nb.frames.write_qmap, open the frames with that file and fit again",
        )
    named = {"partition": partition, "dt": provenance.get("dt")}
    named |= {"mask": chosen["mask"]} if "mask" in chosen else {}
    wanted = [tuple(round(number, 9) for number in pair) for pair in provenance["selection"]["bins"]]
    return [
        *call_lines("data = heterodyne_nb.open_frames", [literal(source)], named),
        *_assignment("wanted", wanted),
        "pairs = [(round(float(q), 9), round(float(phi), 9)) for q, phi in zip(data.q, data.phi)]",
        f"data = data.select(bins=[pairs.index(pair) for pair in wanted], frames={chosen['frames']!r})",
    ]


def _bins(provenance: Mapping[str, Any]) -> list[str]:
    """Pick single bins by their place, where q and phi form no grid."""
    pairs = (provenance.get("selection") or {}).get("bins")
    if pairs is None:
        return []
    wanted = [tuple(round(number, 9) for number in pair) for pair in pairs]
    return [
        "data = stack_bins(data, drop_dead=False)",
        *_assignment("wanted", wanted),
        "pairs = [(round(float(q), 9), round(float(phi), 9)) for q, phi in zip(data.q, data.phi)]",
        "data = data.isel(bin=[pairs.index(pair) for pair in wanted])",
    ]


def _arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in FIT_ARGUMENTS if settings.get(name) is not None}


def _not_arguments(settings: Mapping[str, Any]) -> list[str]:
    others = sorted(set(settings) - set(FIT_ARGUMENTS))
    return [comment(f"recorded, but not an argument of fit: {name} = {settings[name]!r}") for name in others]


def call_lines(function: str, positional: list[str], named: Mapping[str, Any]) -> list[str]:
    """Source lines of a call; `function` may be an assignment up to the opening parenthesis."""
    odd = next((name for name in named if not name.isidentifier() or iskeyword(name)), None)
    if odd is not None:  # read from a file, it could be any Python
        raise ConfigurationError(
            f"{odd!r} is no name of an argument", where=function, hint="the record was changed by hand"
        )
    arguments = [*positional, *(f"{name}={literal(value)}" for name, value in named.items())]
    line = f"{function}({', '.join(arguments)})"
    if len(line) <= _LINE:
        return [line]
    return [f"{function}(", *(f"    {argument}," for argument in arguments), ")"]


def _assignment(name: str, items: list[Any]) -> list[str]:
    line = f"{name} = {literal(items)}"
    return (
        [line] if len(line) <= _LINE else [f"{name} = [", *(f"    {literal(item)}," for item in items), "]"]
    )


def literal(value: Any) -> str:
    """Python source of a JSON value; NaN and infinities included."""
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(literal, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return repr(value)
