"""Type two how-to pages as they are written, and print the log.

    python benchmarks/typed_how_to.py --bundle BUNDLE --film FILM.dcm

From docs/how-to/run-the-screening-service.md: the block that makes a user and installs the service.
It needs root, makes the user ``monai-cxr`` with /etc/monai-cxr and /var/lib/monai-cxr, refuses to
start where one of them is there already, and takes all three away again. Where systemd is not
running, ``systemctl`` is replaced by what the unit says: its ExecStartPre and ExecStart, under its
user and umask. Then a film comes by DCMTK's storescu, its report is looked for, and SIGTERM drains.

From docs/how-to/connect-a-pacs.md: the Python block and the storescu beside it, with the loopback
address in place of the page's. Exit status 1 if a command failed, or a film or a report is missing.
"""

from __future__ import annotations

import argparse
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "how-to"
STATE, CONFIGURATION, USER = Path("/var/lib/monai-cxr"), Path("/etc/monai-cxr"), "monai-cxr"
UNIT = Path("/etc/systemd/system/monai-cxr-screening.service")
WAIT_SECONDS = 180


def say(text: str) -> None:
    print(text, flush=True)


def typed(command: str, folder: Path, environment: dict[str, str]) -> None:
    say(f"$ {command}")
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment, text=True, capture_output=True
    )
    for line in (done.stdout + done.stderr).splitlines():
        say(f"  {line}")
    if done.returncode:
        raise SystemExit(f"ended with {done.returncode}: {command}")


def wait_for(what: str, pattern: str, folder: Path) -> list[Path]:
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := sorted(folder.glob(pattern))):
        if time.monotonic() > deadline:
            raise SystemExit(f"there is no {what}")
        time.sleep(0.2)
    return found


def block_after(page: str, words: str) -> list[str]:
    """Lines of the indented block that follows some words."""
    text = (PAGES / page).read_text(encoding="utf-8").partition(words)[2]
    block = re.search(r"\n\n((?: {4}.+\n)+)", text)
    assert block is not None
    return [line.strip() for line in block[1].splitlines()]


def of_unit(key: str, environment: dict[str, str]) -> str:
    line = re.search(rf"^{key}=(.+)$", UNIT.read_text(), re.MULTILINE)
    assert line is not None
    command = line[1].replace("/opt/monai-cxr/bin/monai-cxr", "monai-cxr")
    mask = re.search(r"^UMask=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert mask is not None
    kept = " ".join(f"{n}={environment[n]}" for n in ("PATH", "PYTHONPATH") if n in environment)
    return f"runuser -u {USER} -- env {kept} HOME={STATE} sh -c 'umask {mask[1]}; exec {command}'"


def service(folder: Path, film: Path, environment: dict[str, str]) -> None:
    lines = block_after("run-the-screening-service.md", "so that it owns the files:")
    for line in lines:
        if not line.startswith("systemctl"):
            typed(line, folder, environment)
    say(f"# no systemd here; in place of '{lines[-1]}':")
    typed(of_unit("ExecStartPre", environment), STATE, environment)
    say(f"$ {of_unit('ExecStart', environment)} &")
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(
            of_unit("ExecStart", environment), shell=True, cwd=STATE, env=environment,
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while '"started"' not in (folder / "service.log").read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((folder / "service.log").read_text()[-2000:])
            time.sleep(0.2)
        typed(f"/usr/bin/storescu -aet PACS1 -aec MONAI_CXR 127.0.0.1 11112 {film}", folder,
              environment)  # fmt: skip
        (report,) = wait_for("report", "*.dcm", STATE / "reports")
        say(f"# {report.name}: mode {report.stat().st_mode & 0o777:o}, owner {report.owner()}")
        typed("curl -s http://127.0.0.1:9180/readyz", folder, environment)
        say("# SIGTERM")
        subprocess.run(["pkill", "-TERM", "-g", str(process.pid), "-u", USER], check=True)
        if process.wait(120):
            raise SystemExit(f"drained with {process.returncode}")
    finally:
        subprocess.run(["pkill", "-KILL", "-g", str(process.pid)], check=False)


def listener(folder: Path, film: Path, environment: dict[str, str]) -> None:
    page = (PAGES / "connect-a-pacs.md").read_text(encoding="utf-8")
    block = re.search(r"```python\n(.+?)```", page, re.DOTALL)
    command = re.search(r"`storescu (-aet .+?) film.dcm`", page)
    assert block is not None
    assert command is not None
    here = re.compile(r"10\.0\.0\.\d+")
    say("$ python  # the block of connect-a-pacs.md")
    process = subprocess.Popen(
        [sys.executable, "-c", here.sub("127.0.0.1", block[1])], cwd=folder, env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_for("ledger", "ledger.sqlite", folder)
        time.sleep(3)
        options = here.sub("127.0.0.1", command[1])
        typed(f"/usr/bin/storescu {options} {film}", folder, environment)
        (kept,) = wait_for("film", "spool/**/*.dcm", folder)
        say(f"# one film in the spool, mode {kept.stat().st_mode & 0o777:o}")
    finally:
        process.communicate("\n", timeout=60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--film", type=Path, required=True)
    options = parser.parse_args()
    with_user = [entry.pw_name for entry in pwd.getpwall()]
    if os.geteuid() or USER in with_user or STATE.exists() or CONFIGURATION.exists():
        raise SystemExit(f"Expected root, no user {USER}, no {STATE} and no {CONFIGURATION}.")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    made_units = not UNIT.parent.exists()
    with tempfile.TemporaryDirectory(prefix="cxr-typed-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        UNIT.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(ROOT / "deploy", folder / "deploy")
        shutil.copytree(options.bundle, folder / "demo" / "bundle")
        try:
            service(folder, options.film.absolute(), environment)
            listener(folder, options.film.absolute(), environment)
        finally:
            subprocess.run(["userdel", USER], check=False)
            for path in (STATE, CONFIGURATION):
                shutil.rmtree(path, ignore_errors=True)
            UNIT.unlink(missing_ok=True)
            if made_units:
                UNIT.parent.rmdir()
    say("# all as written")


if __name__ == "__main__":
    main()
