"""Ten thousand damaged files: what comes of each kind.

    python tests/benchmarks/fuzz_study.py [CASES] [SEED]      default: 10000, 0

See tests/fuzz.py for the kinds of file, of damage, and the verdicts. A case that kills the process is opened once more
with ``isolated=True`` (sessions and results: given to ``heterodyne-nb verify``), which must give our error.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import fuzz

from heterodyne_nb import open_dataset
from heterodyne_nb.cli import main
from heterodyne_nb.errors import HeterodyneError


def isolated(path: Path) -> str:
    """What opening a file in a process of its own gives."""
    if path.name.startswith(("result", "session")):
        return f"verify: exit code {main(['verify', str(path)])}"
    try:
        open_dataset(path, isolated=True, dt=0.1).close()
    except HeterodyneError:
        return "isolated: own error"
    return "isolated: read"


def run(cases: int, seed: int) -> int:
    """Run the cases, print the table; how many are foreign, or changed without a word."""
    counted: Counter[tuple[str, str]] = Counter()
    begun = time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM):  # the first is ignored in a shell's background
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = fuzz.Fuzzer(Path(folder), seed)
        with suppress(KeyboardInterrupt):  # the table of what is done
            for case in fuzzer.run(range(cases)):
                counted[case.kind, case.verdict] += 1
                if case.verdict in ("accepted changed", "foreign", "crash"):
                    more = isolated(fuzzer.folder / "case" / case.kind) if case.verdict == "crash" else ""
                    print(*case[:4], case.told[:200], more, sep=" | ", flush=True)
    print(f"\n{counted.total()} of {cases} cases, seed {seed}, {time.monotonic() - begun:.0f} s\n")
    print(f"| {'file':18}| " + " | ".join(fuzz.VERDICTS) + " |")
    print("|---|" + "---|" * len(fuzz.VERDICTS))
    for kind in [kind.name for kind in fuzz.KINDS] + ["all"]:
        row = [sum(n for (k, v), n in counted.items() if v == verdict and kind in (k, "all"))
               for verdict in fuzz.VERDICTS]  # fmt: skip
        print(
            f"| {kind:18}| "
            + " | ".join(f"{n:>{len(v)}}" for n, v in zip(row, fuzz.VERDICTS, strict=True))
            + " |"
        )
    return sum(n for (_, verdict), n in counted.items() if verdict in ("accepted changed", "foreign"))


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    raise SystemExit(run(*(numbers + [10000, 0][len(numbers) :])) > 0)
