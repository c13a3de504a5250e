"""A tutorial typed as it is written: the first one in a fresh clone, environment and shell.

    python benchmarks/tutorials.py [--log first-film.log] [--keep DIR]
    python benchmarks/tutorials.py --page own-hospital --there DIR

Clones the last commit into an empty folder and types every command of
docs/tutorials/first-film.md there, pip without its cache; or types those of another page into the
folder of a clone that was kept. Prints each command with its seconds and what it wrote, and at the
end the sum. The viewer is stopped once its page is served. Ends with 1 at the first command that
fails. Needs a package index.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "tutorials"
_PARTS = re.compile(r"^```python\n(.*?)^```$|^    (\S[^\n]*)$", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[str]:
    """What a page asks for, in its order; a Python block as the command that runs it."""
    for block, line in _PARTS.findall(page.read_text(encoding="utf-8")):
        yield line or f"python - <<'END'\n{block}END"


class Shell:
    """One bash that is typed into, as a reader's terminal.

    Args:
        folder: Where it starts.
        log: Everything that is typed and answered goes there, too.
    """

    def __init__(self, folder: Path, log: TextIO) -> None:
        environment = {**os.environ, "PIP_NO_CACHE_DIR": "1", "PYTHONUNBUFFERED": "1"}
        environment.pop("PYTHONPATH", None)
        self.bash = subprocess.Popen(
            ["bash"], cwd=folder, env=environment, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.log = log

    def say(self, text: str) -> None:
        """Show a line and keep it."""
        print(text, flush=True)
        print(text, file=self.log, flush=True)

    def type(self, command: str) -> float:
        """Seconds of a command.

        Raises:
            SystemExit: If it fails.
        """
        assert self.bash.stdin is not None
        assert self.bash.stdout is not None
        self.say(f"$ {command}")
        start = time.perf_counter()
        print(f"{command}\necho; echo END-OF-COMMAND $?", file=self.bash.stdin, flush=True)
        for line in self.bash.stdout:
            if line.startswith("END-OF-COMMAND"):
                break
            if line.strip() and not line.startswith("WARNING: "):
                self.say(f"  {line.rstrip()}")
        seconds = time.perf_counter() - start
        self.say(f"  [{seconds:.1f} s]")
        if line.split()[-1] != "0":
            raise SystemExit(f"This failed: {command}")
        return seconds


def viewed(shell: Shell, command: str, folder: Path) -> float:
    """Seconds until the viewer serves its page; then it is stopped."""
    shell.say(f"$ {command}")
    start = time.perf_counter()
    words = [folder / ".venv" / "bin" / shlex.split(command)[0], *shlex.split(command)[1:]]
    viewer = subprocess.Popen([*words, "--headless"], cwd=folder, stdout=subprocess.DEVNULL)
    try:
        while viewer.poll() is None:
            try:
                urllib.request.urlopen("http://127.0.0.1:8501/", timeout=5).close()
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.2)
        else:
            raise SystemExit("The viewer ended.")
    finally:
        viewer.terminate()
        viewer.wait()
    shell.say(f"  [{time.perf_counter() - start:.1f} s until its page was served]")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, default=Path(os.devnull))
    parser.add_argument("--page", default="first-film", help="A tutorial, without its .md")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--keep", type=Path, help="An empty folder for the clone, to be kept.")
    place.add_argument("--there", type=Path, help="A clone with its environment, as --keep left.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="monai-cxr-typed-") as name:
        folder = (options.there or options.keep or Path(name) / "monai_cxr").resolve()
        if not options.there:
            clone = ["git", "clone", "--quiet", "--no-hardlinks", ROOT, folder]
            subprocess.run(clone, check=True)
        with options.log.open("w", encoding="utf-8") as log:
            typed(options.page, folder, Shell(folder, log), there=bool(options.there))


def typed(page: str, folder: Path, shell: Shell, *, there: bool) -> None:
    """Type a page, and say what it took."""
    version = ["git", "log", "-1", "--format=%h"]
    commit = subprocess.check_output(version, cwd=folder, text=True).strip()
    shell.say(f"{page}, commit {commit}, Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    shell.say(f"Load of the machine at the start: {load}")
    seconds = shell.type(". .venv/bin/activate") if there else 0.0
    for command in commands(PAGES / f"{page}.md"):
        view = command.startswith("monai-cxr view")
        seconds += viewed(shell, command, folder) if view else shell.type(command)
    shell.say(f"In all {seconds / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
