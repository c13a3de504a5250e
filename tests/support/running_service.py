"""A running service: ``monai-cxr screen run`` as a process, with a folder at each end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from monai_cxr.screening.ledger import open_ledger
from monai_cxr.screening.ledger.watching import counts

DEADLINE_SECONDS = 900.0
WATCHING = """
[ledger]
url = "{ledger}"
[spool]
folder = "spool"
reserve_gib = 0
[model]
bundle = "{bundle}"
device = "cpu"
batch_size = 2
[watch]
folder = "in"
settle_seconds = 0.1
delete = true
[rollup]
quiet_seconds = 0
[health]
port = 0
[[destinations]]
name = "folder"
kind = "folder"
path = "out"
"""
"""Settings of a service that watches a folder and writes into another."""


class Running:
    """``monai-cxr screen run`` in a process of its own, which ends with the block.

    Args:
        folder: Of the settings; films come by its folder ``in``.
        settings: TOML.
        ledger: Its address, as the settings have it.
        environment: Further variables.
    """

    def __init__(self, folder: Path, settings: str, ledger: str, **environment: str) -> None:
        self.ledger, self.log = ledger, folder / "log.jsonl"
        (folder / "in").mkdir(exist_ok=True)
        self.settings = folder / "screening.toml"
        self.settings.write_text(settings)
        self.environment = environment
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def watching(cls, folder: Path, bundle: Path, ledger: str) -> Running:
        """One with the settings :data:`WATCHING`, which says all that it does."""
        text = WATCHING.format(ledger=ledger, bundle=bundle)
        return cls(folder, f'log_level = "DEBUG"\n{text}', ledger)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def start(self, *options: str) -> None:
        command = [sys.executable, "-c", "from monai_cxr.cli import main; main()", "screen", "run"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--settings", str(self.settings), *options],
                stdout=log, stderr=log, env=os.environ | self.environment,
            )  # fmt: skip

    def stop(self, number: int) -> int:
        """Send a signal, wait for the end, and give the exit status."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_SECONDS)

    def get(self, path: str) -> tuple[int, str]:
        started = [line for line in self.log.read_text().splitlines() if '"started"' in line]
        address = f"http://127.0.0.1:{json.loads(started[-1])['port']}{path}"
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def wait_for(self, condition) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            with open_ledger(self.ledger) as ledger:
                if condition(counts.count(ledger)):
                    return
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())
