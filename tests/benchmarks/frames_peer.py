"""What ``xpcs-correlator`` makes of the frames of a file; run by a Python that has it, see ``frames_study.py peer``."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import xpcscorr

path = Path(sys.argv[1])
held = np.load(path)
frames, labels = held["frames"], held["labels"].astype(int)
times = {}
for name in ("correlator_dense_reference", "correlator_dense_chunked"):
    begun = time.perf_counter()
    found = getattr(xpcscorr, name)(frames, labels, ttcf_format="t1,t2")
    times[name] = round(time.perf_counter() - begun, 2)
    if name.endswith("reference"):
        np.savez(path.with_name("out.npz"), c2=found.ttcf, g2=found.g2)
print(json.dumps(times))
