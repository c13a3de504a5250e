"""Encoders in threads: results are written for several destinations at the same time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys, threading
sys.path[:0] = sys.argv[2:]
import numpy as np
from test_heatmap import heatmap_capture, heatmap_segmentation, reported
from monai_cxr.dicom.results.structured_report import structured_report
rng = np.random.default_rng(0)
picture = rng.integers(0, 255, (320, 288, 3), dtype=np.uint8)
film, heat = reported(), np.ones((120, 96), np.float32)
syntax = {"j2k": "1.2.840.10008.1.2.4.90", "rle": "1.2.840.10008.1.2.5"}.get(sys.argv[1])
made = []
def work():
    for _ in range(18 if syntax else 4):
        if syntax:
            made.append(heatmap_capture(film, picture, "Effusion", transfer_syntax=syntax).sop_uid)
        else:
            made.append(heatmap_segmentation(film, heat, "Effusion").sop_uid)
            made.append(structured_report(film).sop_uid)
threads = [threading.Thread(target=work) for _ in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(made), len(set(made)))
"""


def _run(kind: str) -> subprocess.CompletedProcess[str]:
    here = Path(__file__).parent
    support = here.parents[1] / "support"
    command = [sys.executable, "-c", PROGRAM, kind, here, support]
    return subprocess.run(command, capture_output=True, text=True)


def test_sc_to_two_destinations_segfault():
    """Two threads in OpenJPEG's encoder of pylibjpeg end the process within a few films."""
    done = _run("j2k")
    assert (done.returncode, done.stdout.split()) == (0, ["54", "1"]), done.stderr[-500:]


def test_the_other_encoders_work_in_threads():
    assert _run("rle").stdout.split() == ["54", "1"]
    assert _run("seg").stdout.split() == ["24", "2"]
