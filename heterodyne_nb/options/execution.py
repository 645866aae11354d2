"""Settings of where work is done, and in how much memory; no number depends on them."""

from __future__ import annotations

import re
from concurrent.futures import Executor
from typing import Annotated, Any

from pydantic import BeforeValidator

from heterodyne_nb.options.fields import OptionalInteger, Options, a_number, refuse, setting
from heterodyne_nb.options.problems import nearest, shown

#: Executors by name; anything with a colon is the address of a dask scheduler.
EXECUTORS = ("serial", "threads", "processes")
_SIZES = {"MB": 1e6, "GB": 1e9, "TB": 1e12, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40}
_SIZE = re.compile(r"([\d.]+(?:e\d+)?)\s*(%|" + "|".join(_SIZES) + ")")


def is_client(value: Any) -> bool:
    """Whether this is a client of dask.distributed, told without importing it."""
    return any(
        kind.__module__.partition(".")[0] == "distributed" for kind in type(value).__mro__
    ) and hasattr(value, "get_executor")


def an_executor(value: Any) -> Any:
    """Pass what can do work: a name, an address, an executor of concurrent.futures, or a dask client."""
    if value is None or isinstance(value, Executor) or is_client(value) or hasattr(value, "slots"):
        return value
    if isinstance(value, str) and (value in EXECUTORS or re.fullmatch(r"(\w+://)?\S+:\d+", value)):
        return value
    likely = nearest(value, EXECUTORS) if isinstance(value, str) else None
    raise refuse(
        f"{shown(value)} is no executor",
        f"{', '.join(EXECUTORS)}, the address of a dask scheduler (tcp://host:8786), an executor of "
        "concurrent.futures, or a dask.distributed.Client",
        f"did you mean {likely!r}?" if likely else "",
    )


def a_size(value: Any) -> Any:
    """Pass a size of memory: a number of bytes, ``"3 GB"``, or a share of what is free, ``"50 %"``."""
    if value is None:
        return None
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if isinstance(value, str) and found is None:
        raise refuse(
            f"{shown(value)} is no size of memory", "bytes, a text such as '3 GB', or '50 %' of what is free"
        )
    number = a_number(float(found[1]) if found else value)
    if number <= 0 or (found and found[2] == "%" and number > 100):
        raise refuse(f"{shown(value)} is out of range", "more than 0, and at most 100 %")
    return value


def bytes_of(size: Any, free: float) -> float:
    """The bytes of a size that :func:`a_size` has passed, so many being free."""
    if isinstance(size, str):
        number, unit = _SIZE.fullmatch(size.strip()).groups()  # type: ignore[union-attr]
        return float(number) * (free / 100 if unit == "%" else _SIZES[unit])
    return float(size)


class ExecutionOptions(Options):
    """Where work is done, and in how much memory; no number depends on them."""

    executor: Annotated[Any, BeforeValidator(an_executor)] = setting(
        None,
        description="Who does the work: serial, threads, processes, or the address of a dask scheduler. Null: this "
        "process, or processes where workers are more than 1.",
    )
    workers: OptionalInteger = setting(
        None, description="Threads or processes. Null: one, or as many as there are cores.", ge=1
    )
    memory: Annotated[Any, BeforeValidator(a_size)] = setting(
        "50 %",
        description="What the maps of a fit may take: bytes, a text such as 3 GB, or a share of what is free. Larger "
        "ones are kept in a temporary file and pass through memory bin by bin.",
    )
