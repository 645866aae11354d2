"""The Python that does what a session did, with the public functions alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from heterodyne_nb.app.session.entries import FitEntry, asked_of
from heterodyne_nb.app.session.tasks import robust_arguments
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.result.provenance import call_lines, literal
from heterodyne_nb.text.escaping import comment, docstring

#: How the message of a result begins that was ended before its time: the same moment never comes again.
_CUT_SHORT = ("cancelled", "time limit")


def entry_script(entry: FitEntry, history: Sequence[FitEntry], path: str | Path | None = None) -> str:
    """Write the script of one entry.

    Parameters
    ----------
    entry : FitEntry
    history : sequence of FitEntry
        Where the fit that a robust one started from is found.
    path : str or Path, optional
        The data file, where it is not at its recorded place.

    Raises
    ------
    ConfigurationError
        The data were made in memory and no file is given.
    """
    if entry.kind == "result":  # made elsewhere: its own record says how
        return entry.result.to_script(path)
    source = str(path) if path is not None else entry.source
    if not source or source.startswith("<"):
        raise ConfigurationError(
            "the data of this fit were made in memory, and a script has to open a file",
            where=entry.name,
            hint="save the session first: it then keeps the data in a file of its own",
        )
    start = next((one for one in history if one.name == entry.start), None) if entry.start else None
    fits = [*([] if start is None else _fit(start)), *(_fit(entry) if entry.kind == "fit" else [])]
    robust = _robust(entry, start is not None) if entry.kind == "robust" else []
    lines = [
        docstring(_headline(entry, source)),
        "",
        "import heterodyne_nb as hnb",
        "",
        *call_lines("data = hnb.open_dataset", [literal(source)], _plain(entry.source_options)),
        *_prepare(entry),
        *fits,
        *robust,
    ]
    return "\n".join(lines) + "\n"


def _headline(entry: FitEntry, source: str) -> str:
    what = "Fits" if entry.kind == "fit" else "Fits robustly"
    return f"{what} {Path(source).name} again; reduced chi-square was {entry.result.chi2_reduced:.10g}."


def _prepare(entry: FitEntry) -> list[str]:
    lines = []
    if entry.masked:
        lines += call_lines("data = data.xpcs.mask_frames", [literal(list(entry.masked))], {})
    if entry.crop:
        lines.append(f"data = data.xpcs.crop_frames({entry.crop[0]}, {entry.crop[1]})")
    if entry.excluded:
        lines += call_lines("data = data.xpcs.exclude_points", [literal(list(entry.excluded))], {})
    if entry.bins is not None:
        lines.append(f"data = data.xpcs.stack_bins(drop_dead=False).isel(bin={list(entry.bins)})")
    return lines


def _fit(entry: FitEntry) -> list[str]:
    settings = {k: v for k, v in entry.settings.arguments().items() if k not in ("mode", "time_limit")}
    asked: Mapping[str, Any] = asked_of(entry.parameters)
    remark = []
    result = entry.result
    if result.message.startswith(_CUT_SHORT):
        asked, settings = _held(entry, asked, settings)
        remark = [
            comment(f"The fit was ended early ({result.message}), so its best point is held here;"),
            "# take the entries vary=False out to fit on from it.",
        ]
    named = {**({"parameters": _plain(asked)} if asked else {}), **_plain(settings)}
    call = call_lines("result = hnb.fit", ["data", literal(entry.settings.mode)], named)
    return [*remark, *call, "print(result.summary())"]


def _held(
    entry: FitEntry, asked: Mapping[str, Any], settings: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every parameter fixed at the result's value, and the loss's scale as the fit had found it."""
    held = {}
    for name, value in entry.result.values.items():
        given = asked.get(name, {})
        limits = {side: given[side] for side in ("min", "max") if side in given}
        held[name] = {"tie": given["tie"]} if "tie" in given else {"value": value, **limits, "vary": False}
    scales = [step["scale"] for step in entry.result.path if step.get("scale")]
    if entry.settings.loss != "linear" and scales:
        settings = {**settings, "loss_scale": scales[-1]}
    return held, {**settings, "multistart": 0}


def _robust(entry: FitEntry, started: bool) -> list[str]:
    named = robust_arguments(entry.settings, entry.parameters, entry.robust)
    first = ["data", literal(named.pop("mode")), *(["start=result"] if started else [])]
    if not named["parameters"]:
        del named["parameters"]
    call = call_lines("robust = hnb.fit_robust", first, _plain(named))
    return [*call, "for name, result in robust.items():", "    print(name)", "    print(result.summary())"]


def _plain(value: Any) -> Any:
    """The same with numpy numbers and tuples of settings as JSON has them."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value.item() if hasattr(value, "item") else value
