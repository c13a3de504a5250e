"""OpenVINO: one core a process, so that engines may end in any order."""

from __future__ import annotations

import subprocess
import sys

ENGINES_END_AS_THEY_WERE_MADE = """
import gc, signal, sys, threading
from pathlib import Path
from monai_cxr.bundle.engines.openvino_engine import OpenVinoRuntime

first, second = (OpenVinoRuntime(Path(sys.argv[1])) for _ in range(2))
del first
gc.collect()
del second
gc.collect()
heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(True))
signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)  # another thread would stand it
print("heard", len(heard))
"""


def test_a_signal_is_heard_after_engines_ended_in_the_order_they_were_made(exported_bundle):
    network = exported_bundle / "models" / "model.xml"
    script = [sys.executable, "-c", ENGINES_END_AS_THEY_WERE_MADE, str(network)]
    ended = subprocess.run(script, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, f"{ended.returncode}: {ended.stderr[-2000:]}"
    assert ended.stdout.endswith("heard 1\n")
