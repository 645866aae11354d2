"""The report of a fit as HTML for a notebook cell or a page of its own."""

from __future__ import annotations

import json
from html import escape

import xarray as xr

from heterodyne_nb.result import report_parts as parts
from heterodyne_nb.result.trust import trust_flags
from heterodyne_nb.text.html import alert, bullets, folded, heading, page, table


def html_report(record: xr.Dataset) -> str:
    """Write the report as self-contained HTML; long parts are folded.

    Parameters
    ----------
    record : xarray.Dataset
        Of a :class:`heterodyne_nb.result.FitResult`.
    """
    body = [heading(parts.title(record)), f"<p>{escape(' · '.join(parts.facts(record)))}</p>"]
    if record.attrs["message"] and record.attrs["success"]:  # a failure's reason is said by a flag
        body.append(f"<p>{escape(str(record.attrs['message']))}</p>")
    body += [alert(flag.text, serious=flag.serious) for flag in trust_flags(record)]
    robust = parts.robust_lines(record)
    if robust:
        body.append(f"<p>Worst case</p>{bullets(robust)}")
    body.append(_table(parts.parameter_table(record)))
    curves = parts.curve_table(record)
    if curves is not None:
        body.append(_table(curves))
    body += [_folded("Bins", parts.bin_table(record)), _folded("Path", parts.path_table(record))]
    lines = parts.provenance_lines(record)
    if lines:
        body.append(folded("Provenance", bullets(lines) + _settings(record)))
    return page("".join(body))


def _table(content: parts.Table) -> str:
    kept = [i for i in range(len(content.head)) if any(row[i] for row in content.rows)]
    rows = [[row[i] for i in kept] for row in content.rows]
    classes = [f"hnb-{mark}" if mark else "" for mark in content.marks]
    return table([content.head[i] for i in kept], rows, classes)


def _folded(title: str, content: parts.Table | None) -> str:
    return "" if content is None else folded(f"{title} ({len(content.rows)})", _table(content))


def _settings(record: xr.Dataset) -> str:
    config = json.loads(record.attrs["provenance"]).get("config")
    if not config:
        return ""
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
    return folded("Settings", f"<pre>{escape(text)}</pre>")
