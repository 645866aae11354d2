"""What ``xpcs-correlator`` makes of the frames of a file; run by a Python that has it, see ``frames_study.py peer``."""

import json
import sys
import time
from pathlib import Path

import numpy as np


def main(path: Path) -> None:
    """Correlate and write g2 and c2 beside the frames; times go to the output as JSON."""
    import xpcscorr

    held = np.load(path)
    frames, labels = held["frames"], held["labels"].astype(int)
    times: dict[str, float | str] = {}
    for name in ("correlator_dense_reference", "correlator_dense_chunked"):
        begun = time.perf_counter()
        try:
            found = getattr(xpcscorr, name)(frames, labels, ttcf_format="t1,t2")
        except ValueError as error:  # it asks for more threads than a small machine has
            times[name] = str(error)
            continue
        times[name] = round(time.perf_counter() - begun, 2)
        np.savez(path.with_name(f"{name}.npz"), c2=found.ttcf, g2=found.g2)
    print(json.dumps(times))


if __name__ == "__main__":  # it starts processes, which import this file
    main(Path(sys.argv[1]))
