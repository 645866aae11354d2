"""The report of a fit as plain text."""

from __future__ import annotations

import xarray as xr

from heterodyne_nb.result import report_parts as parts
from heterodyne_nb.result.trust import trust_flags
from heterodyne_nb.text.escaping import printable


def text_report(record: xr.Dataset) -> str:
    """Write the report: headline, what deserves suspicion, parameters, curves, bins, path, provenance.

    Parameters
    ----------
    record : xarray.Dataset
        Of a :class:`heterodyne_nb.result.FitResult`.
    """
    blocks = [[parts.title(record), "  " + " · ".join(parts.facts(record))]]
    message = str(record.attrs["message"])
    if message and record.attrs["success"]:  # a failure's reason is said by a flag
        blocks[0].append(f"  {message}")
    blocks.append([f"{'!!' if flag.serious else '--'} {flag.text}" for flag in trust_flags(record)])
    robust = parts.robust_lines(record)
    blocks.append(["worst case", *(f"  {line}" for line in robust)] if robust else [])
    tables = (parts.parameter_table, parts.curve_table, parts.bin_table, parts.path_table)
    blocks += [_aligned(table) for table in (make(record) for make in tables) if table is not None]
    blocks.append(parts.provenance_lines(record))
    return "\n\n".join("\n".join(map(printable, block)) for block in blocks if block) + "\n"


def _aligned(table: parts.Table) -> list[str]:
    widths = [max(len(row[i]) for row in (table.head, *table.rows)) for i in range(len(table.head))]
    kept = [i for i in range(len(widths)) if any(row[i] for row in table.rows)]
    lines = ["  ".join(row[i].ljust(widths[i]) for i in kept).rstrip() for row in (table.head, *table.rows)]
    return [lines[0], "─" * max(map(len, lines)), *lines[1:]]
