"""A file that is not trusted is read to its end in a process of its own first: HDF5 dies of some, or never returns."""

from __future__ import annotations

import importlib
import json
import math
import operator
import os
import pickle
import signal
import subprocess
import sys
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from heterodyne_nb import errors
from heterodyne_nb.errors import ConfigurationError, DataFormatError, HeterodyneError
from heterodyne_nb.remote import Remote

#: So many times the seconds allowed, which are of the processor where the system counts these, may pass on the clock: other
#: work may keep the processor busy.
_PATIENCE = 10.0 if os.name == "posix" else 1.0
_HINT = "the file is damaged, or made to do harm; isolated={'seconds': …, 'memory': …} allows more"


def probe(
    path: Any,
    options: Mapping[str, Any],
    limits: bool | Mapping[str, float],
    reader: str = "heterodyne_nb.data.open:open_dataset",
) -> None:
    """Open a file and read all of it in a child process.

    Parameters
    ----------
    path : path
    options : mapping
        Keywords of the reader.
    limits : True, or mapping
        ``seconds`` of the processor (default 30, and 1 for each 10 MB) and ``memory`` in bytes (default 2 GB, and 4 times the file).
    reader : str
        ``module:function`` that opens it.

    Raises
    ------
    HeterodyneError
        What the child met; DataFormatError where it died, or needed more than its limits.
    ConfigurationError
        The limits are something else.
    """
    if not isinstance(path, Path | Remote) or getattr(path, "source", None) is not None:
        raise ConfigurationError(f"a {type(path).__name__} is no file", where="isolated", expected="a path")
    size = path.size if isinstance(path, Remote) else path.stat().st_size if path.is_file() else 0
    known = {"seconds": 30 + size / 1e7, "memory": 2e9 + 4.0 * size}
    said = {} if limits is True else limits
    if not isinstance(said, Mapping) or set(said) - set(known):
        raise ConfigurationError(f"{limits!r}", where="isolated", expected="True, or seconds and memory")
    seconds, memory = ({**known, **said}[name] for name in known)
    where = path.url if isinstance(path, Remote) else str(path)
    given = pickle.dumps((reader, where, dict(options), seconds, memory))
    command = [sys.executable, "-m", "heterodyne_nb.data.isolated"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        try:
            answer, _ = child.communicate(given, timeout=_PATIENCE * seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            raise _died(path, f"reading it takes more than {_PATIENCE * seconds:.0f} s") from None
        except BaseException:
            child.kill()
            raise
    if child.returncode == -getattr(signal, "SIGXCPU", 0) != 0:
        raise _died(path, f"reading it takes more than {seconds:.0f} s")
    told = json.loads(answer.rpartition(b"\n")[2] or b"null") if child.returncode == 0 else None
    if told is None:
        raise _died(path, f"the process that read it died (exit code {child.returncode})")
    if told:
        raise getattr(errors, told.pop("kind"))(told.pop("message"), **told)


def _died(path: Any, what: str) -> DataFormatError:
    return DataFormatError(what, where=str(path), expected="a file that can be read", hint=_HINT)


def _child() -> None:
    reader, path, options, seconds, memory = pickle.load(sys.stdin.buffer)
    with suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (int(memory), int(memory)))
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds) + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    told: dict[str, Any] = {}
    try:
        module, _, name = reader.partition(":")
        opened = operator.attrgetter(name)(importlib.import_module(module))(path, **options)
        for name, variable in getattr(opened, "variables", {}).items():
            lead = variable.shape[:-2] if name == "c2" else ()
            for where in np.ndindex(*lead):
                _ = variable[where].values
    except HeterodyneError as error:
        told = {"kind": type(error).__name__}
        told |= {name: getattr(error, name) for name in ("message", "where", "expected", "hint")}
    sys.stdout.write("\n" + json.dumps(told))
    sys.stdout.flush()
    os._exit(0)  # HDF5 may die while it closes what is damaged


if __name__ == "__main__":
    _child()
