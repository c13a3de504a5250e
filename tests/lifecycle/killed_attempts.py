"""Attempts that are killed: run as a program, it makes an attempt in a child and kills it.

An order is a JSON line: the plan, the folder, and when. The child is forked from this program,
which has imported everything, and kills itself (kill -9) just before it touches a file for the
``at``-th time (opens it to write, renames or removes it), before (``record`` n) or as soon as
possible after (``recorded`` n) it replaces the attempt's record for the n-th time, or ``after`` so
many seconds; with none of these it runs to the end. The answer is a JSON line: what the attempt
said, or ``killed``, and how often files and the record were touched.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from monai_cxr.lifecycle import retraining

TOUCHING = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "shutil.copyfile"}


def end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Watch:
    """Counts how often this process touches files, and ends it at the wanted time."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.touched = self.records = 0
        sys.addaudithook(self.heard)

    def heard(self, event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            if not isinstance(given[2], int) or not given[2] & (os.O_WRONLY | os.O_RDWR):
                return
        elif event not in TOUCHING:
            return
        self.touched += 1
        if self.touched == self.order.get("at") or self.records == self.order.get("recorded"):
            end()
        if event == "os.rename" and str(given[1]).endswith("attempt.json"):
            self.records += 1
            if self.records == self.order.get("record"):
                end()


def child(order: dict[str, Any], answer: int) -> None:
    os.dup2(2, 1)  # training talks
    watch = Watch(order)
    if "after" in order:
        threading.Thread(target=lambda: (time.sleep(order["after"]), end()), daemon=True).start()
    try:
        said = retraining.retrain(Path(order["plan"]), Path(order["out"])).outcome
    except Exception as error:  # noqa: BLE001  (the test shall see it)
        said = f"{type(error).__name__}: {error}"
    content = {"said": said, "touched": watch.touched, "records": watch.records}
    os.write(answer, json.dumps(content).encode())


def main() -> None:
    import torch  # noqa: F401  (everything is imported before the fork)

    from monai_cxr.training.run import workflow  # noqa: F401

    for line in sys.stdin:
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            child(json.loads(line), write)
            os._exit(0)
        os.close(write)
        os.waitpid(pid, 0)
        with os.fdopen(read) as answer:
            sys.stdout.write((answer.read() or '{"said": "killed"}') + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
