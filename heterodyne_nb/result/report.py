"""The report of a fit: its parts, and these as plain text and as HTML for a notebook cell or a page of its own."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.result.record import curve_names, model_of, unit_of, unit_shown
from heterodyne_nb.result.trust import trust_flags
from heterodyne_nb.text.escaping import printable
from heterodyne_nb.text.html import alert, aligned, bullets, folded, heading, page, table
from heterodyne_nb.text.numbers import number, value_with_band, value_with_error

#: With more bins than this the report gives their range only.
MANY_BINS = 16


@dataclass(frozen=True)
class Table:
    """Cells of a table, and a mark for each row: ``""``, ``"dim"`` or ``"mark"``."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marks: tuple[str, ...] = ()

    def filled(self) -> list[tuple[str, ...]]:
        """Head and rows without the columns that say nothing in any row."""
        kept = [i for i in range(len(self.head)) if any(row[i] for row in self.rows)]
        return [tuple(row[i] for i in kept) for row in (self.head, *self.rows)]


def text_report(record: xr.Dataset) -> str:
    """Headline, what deserves suspicion, parameters, curves, bins, path, provenance, as plain text.

    ``record``: Of a :class:`heterodyne_nb.result.FitResult`.
    """
    blocks = [[title(record), *(f"  {line}" for line in _lead(record))]]
    blocks.append([f"{'!!' if flag.serious else '--'} {flag.text}" for flag in trust_flags(record)])
    robust = robust_lines(record)
    blocks.append(["worst case", *(f"  {line}" for line in robust)] if robust else [])
    for make in (parameter_table, curve_table, bin_table, path_table):
        content = make(record)
        if content is not None:
            head, *lines = aligned(content.filled())
            blocks.append([head, "─" * max(map(len, (head, *lines))), *lines])
    blocks.append(provenance_lines(record))
    return "\n\n".join("\n".join(map(printable, block)) for block in blocks if block) + "\n"


def html_report(record: xr.Dataset) -> str:
    """The same as self-contained HTML; long parts are folded.

    ``record``: Of a :class:`heterodyne_nb.result.FitResult`.
    """
    body = [heading(title(record)), *(f"<p>{escape(line)}</p>" for line in _lead(record))]
    body += [alert(flag.text, serious=flag.serious) for flag in trust_flags(record)]
    robust = robust_lines(record)
    if robust:
        body.append(f"<p>Worst case</p>{bullets(robust)}")
    body += [_html_table(content) for content in (parameter_table(record), curve_table(record)) if content]
    for name, content in (("Bins", bin_table(record)), ("Path", path_table(record))):
        if content is not None:
            body.append(folded(f"{name} ({len(content.rows)})", _html_table(content)))
    lines = provenance_lines(record)
    if lines:
        config = json.loads(record.attrs["provenance"]).get("config")
        text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
        settings = folded("Settings", f"<pre>{escape(text)}</pre>") if config else ""
        body.append(folded("Provenance", bullets(lines) + settings))
    return page("".join(body))


def _html_table(content: Table) -> str:
    head, *rows = content.filled()
    return table(head, rows, [f"hnb-{mark}" if mark else "" for mark in content.marks])


def _lead(record: xr.Dataset) -> list[str]:
    """What follows the headline: facts, and why a fit that converged stopped; a failure's reason is said by a flag."""
    message = str(record.attrs["message"]) if record.attrs["success"] else ""
    return [" · ".join(facts(record)), *([message] if message else [])]


def title(record: xr.Dataset) -> str:
    """Return the headline: mode, and whether the fit converged."""
    return f"{record.attrs['mode']} fit: {'converged' if record.attrs['success'] else 'NOT CONVERGED'}"


def facts(record: xr.Dataset) -> list[str]:
    """Reduced chi-square, counts, method, time."""
    attrs = record.attrs
    found = [f"reduced χ² {number(float(attrs['chi2_reduced']), 5)}"]
    if attrs["n_data"]:
        found.append(f"{attrs['n_data']} data")
    found.append(f"{attrs['n_free']} fitted numbers")
    if attrs["method"]:
        found.append(str(attrs["method"]))
    asked = (json.loads(attrs["provenance"]).get("config") or {}).get("parameters") or {}
    for level in ("contrast", "offset"):
        one = asked.get(level) if "bin" in record.dims else None
        if isinstance(one, dict) and one:
            held = one.get("vary") is False
            value = one.get("value")
            at = f"{value:g}" if isinstance(value, int | float) else "the stated values"
            told = f"{level} held at {at}" if held else f"{level} limited as asked"
            found.append(told.replace("stated values", "calibration") if "calibration" in one else told)
    if attrs.get("uncertainty"):
        found.append(f"errors: {attrs['uncertainty']}")
    seconds = elapsed(record)
    return found if seconds is None else [*found, f"{number(seconds, 2)} s"]


def elapsed(record: xr.Dataset) -> float | None:
    """Seconds spent in all runs, where the path tells."""
    return _total(json.loads(record.attrs["path"]), "seconds")


def parameter_table(record: xr.Dataset) -> Table:
    """Published parameters with errors, units, bounds and status; undetermined ones without digits."""
    rows: list[tuple[str, ...]] = []
    marks: list[str] = []
    conventions, parts = _conventions(record), model_of(record).parts()
    for i, name in enumerate(record["parameter"].values.tolist()):
        one = record.isel(parameter=i)
        status = str(one["status"].values)
        if parts[name].part == "coefficient":  # of a spline: its curve is told below
            if name.endswith("_1"):
                count = sum(other.curve == parts[name].curve for other in parts.values())
                rows.append(
                    (
                        f"{name} …",
                        f"{count} coefficients",
                        unit_shown(one["unit"].values),
                        "",
                        "see the curve",
                    )
                )
                marks.append("dim")
            continue
        words = conventions.get(name) or _words(one, status)
        rows.append((name, _value(one, status), unit_shown(one["unit"].values), _bounds(one), words))
        marks.append(
            {"fixed": "dim", "tied": "dim", "not determined": "dim", "at bound": "mark"}.get(status, "")
        )
    return Table(("parameter", "value", "unit", "bounds", "status"), tuple(rows), tuple(marks))


def curve_table(record: xr.Dataset) -> Table | None:
    """Curves with 95 % bands at the first, middle and last time; None when there are none."""
    names = curve_names(record)
    if not names:
        return None
    last = record.sizes["t"] - 1
    places = sorted({0, last // 2, last})
    times = [f"t = {number(float(record['t'].values[i]))} s" for i in places]
    rows: list[tuple[str, ...]] = []
    for name in names:
        columns = (record[name].values, record[f"{name}_lower"].values, record[f"{name}_upper"].values)
        cells = (value_with_band(*(float(column[i]) for column in columns)) for i in places)
        rows.append((name, *cells, unit_shown(unit_of(record, name))))
    banded = any(np.isfinite(record[f"{name}_lower"].values).any() for name in names)
    return Table(("curve [95 % band]" if banded else "curve", *times, "unit"), tuple(rows))


def robust_lines(record: xr.Dataset) -> list[str]:
    """What a min-max fit certifies, in sentences; empty for other fits."""
    text = record.attrs.get("robust")
    if text is None:
        return []
    robust = json.loads(text)
    pairs = [(robust[key], robust[f"{key}_before"]) for key in ("nominal", "worst_case")]
    (nominal, nominal_before), (worst, worst_before) = ([number(float(x), 6) for x in pair] for pair in pairs)
    lines = [
        f"radius {number(float(robust['radius']))} ({robust['radius_rule']})",
        f"worst-case reduced χ² {worst}; that of the nominal fit {worst_before}",
        f"reduced χ² of the data as they are {nominal}; of the nominal fit {nominal_before}",
        f"{robust['words']}",
    ]
    if robust.get("active_scenarios") is not None:
        share = 100.0 * float(robust["violation_bound"])
        lines.append(
            f"{len(robust['active_scenarios'])} of {robust['n_scenarios']} samples hold the answer: of further samples at "
            f"most {number(share, 3)} % would be worse"
        )
    gap = robust["relative_gap"]
    lines.append(
        f"certificate: the cone program ({robust['solver']}) gives {number(float(robust['program_value']), 9)}, the inner "
        f"maximum found without it {number(float(robust['inner_maximum']), 9)} (relative gap {number(float(gap), 2)})"
    )
    return lines


def bin_table(record: xr.Dataset) -> Table | None:
    """Contrast, offset and chi-square of the bins, or their ranges when they are many."""
    columns = [name for name in ("contrast", "offset", "chi2_reduced_bin") if name in record]
    if "bin" not in record.dims or not columns:
        return None
    heads = {"contrast": "contrast", "offset": "offset", "chi2_reduced_bin": "reduced χ²"}
    if record.sizes["bin"] > MANY_BINS:
        ranges = tuple((heads[name], *_spread(record[name].values)) for name in columns)
        return Table((f"{record.sizes['bin']} bins", "lowest", "median", "highest"), ranges)
    places = [name for name in ("q", "phi") if name in record]
    labels = {"q": "q (1/Å)", "phi": "phi (°)"}
    rows = tuple(
        tuple(number(float(record[name].values[i]), 5) for name in (*places, *columns))
        for i in range(record.sizes["bin"])
    )
    return Table((*(labels[p] for p in places), *(heads[c] for c in columns)), rows)


def path_table(record: xr.Dataset) -> Table | None:
    """Runs that led to the result, those of one kind in one line; None when they were not recorded."""
    steps = json.loads(record.attrs["path"])
    if not steps:
        return None
    kinds = itertools.groupby(steps, key=lambda step: (step.get("strategy"), step.get("start")))
    rows = tuple(_path_row(list(runs)) for _, runs in kinds)
    return Table(("strategy", "start", "iterations", "reduced χ²", "seconds", "why it stopped"), rows)


def _path_row(runs: list[dict[str, Any]]) -> tuple[str, ...]:
    """One line for runs alike: iterations and seconds of all, chi-square and end of the best."""

    def chi2(run: dict[str, Any]) -> float:
        known = run.get("chi2_reduced")
        return math.inf if known is None or math.isnan(known) else known

    best = min(runs, key=chi2)
    several = f" ({len(runs)} runs)" if len(runs) > 1 else ""
    return (
        str(best.get("strategy", "")),
        f"{best.get('start', '')}{several}".strip(),
        _count(_total(runs, "iterations")),
        _count(best.get("chi2_reduced"), 5),
        _count(_total(runs, "seconds"), 2),
        str(best.get("message", "")),
    )


def _total(runs: list[dict[str, Any]], key: str) -> float | None:
    values = [run[key] for run in runs if run.get(key) is not None]
    return sum(values) if values else None


def provenance_lines(record: xr.Dataset) -> list[str]:
    """Source, road, selection, masks, seed, versions and date, one line each, as far as recorded."""
    told: dict[str, Any] = json.loads(record.attrs["provenance"])
    lines = []
    if told.get("source"):
        sha = str(told.get("source_sha256") or "")
        lines.append(f"source: {told['source']}" + (f" (sha256 {sha[:12]}…)" if sha else ""))
    for key in ("averaged", "layout", "run", "road", "selection", "masks", "seed", "date"):
        if told.get(key) not in (None, "", {}, []):
            lines.append(f"{key}: {_inline(told[key])}")
    versions = told.get("versions") or {}
    if versions:
        lines.append(f"versions: {', '.join(f'{name} {one}' for name, one in sorted(versions.items()))}")
    return lines


def _value(one: xr.Dataset, status: str) -> str:
    if status == "not determined":
        return "not determined"
    value, error = float(one["parameters"]), float(one["stderr"])
    return number(value, 6) if status == "fixed" else value_with_error(value, error)


def _bounds(one: xr.Dataset) -> str:
    low, high = float(one["bound_lower"]), float(one["bound_upper"])
    return "" if math.isnan(low) and math.isnan(high) else f"{number(low)} to {number(high)}"


def _words(one: xr.Dataset, status: str) -> str:
    if status == "free":
        return "" if np.isfinite(float(one["stderr"])) else "error not known"
    if status != "at bound":
        return "" if status == "not determined" else status
    low, value, high = (float(one[key]) for key in ("bound_lower", "parameters", "bound_upper"))
    if min(value - low, high - value) > 1e-6 * (high - low):
        return "held where its curve meets 0 or 1"
    return f"at its {'lower' if abs(value - low) <= abs(high - value) else 'upper'} bound"


def _conventions(record: xr.Dataset) -> dict[str, str]:
    """Parameters that a fit left where they were, because another takes up all they could do."""
    errors, status = record["stderr"].values, record["status"].values
    names = record["parameter"].values.tolist()
    if not np.isfinite(errors).any():
        return {}
    found = {}
    for curve in model_of(record).curve_specs:
        i = curve.shift
        if i is not None and status[i] == "free" and np.isnan(errors[i]):
            f0, f1 = (names[k] for k in curve.parameters[:2])
            found[names[i]] = f"a convention: only {f0}·exp(−{f1}·{names[i]}) counts"
    return found


def _spread(values: np.ndarray) -> tuple[str, str, str]:
    kept = values[np.isfinite(values)]
    if not kept.size:
        return "–", "–", "–"
    low, middle, high = (number(float(x), 5) for x in (kept.min(), np.median(kept), kept.max()))
    return low, middle, high


def _count(value: Any, digits: int = 6) -> str:
    return "" if value is None else number(float(value), digits)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        known = {key: item for key, item in value.items() if item not in (None, [], {})}
        return ", ".join(f"{key} {_inline(item)}" for key, item in known.items())
    if isinstance(value, list):
        return f"{' '.join(_inline(item) for item in value[:8])}{' …' if len(value) > 8 else ''}"
    return number(value, 6) if isinstance(value, float) else str(value)
