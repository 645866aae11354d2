"""The Python that does a fit again, written from its provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from keyword import iskeyword
from pathlib import Path
from typing import Any

import numpy as np

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.options import FitOptions, RobustOptions
from heterodyne_nb.text.escaping import comment, docstring

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
