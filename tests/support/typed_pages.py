"""What pages say to type, and a shell in which a test types it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monai_cxr import cli

PATIENTS, SIZE = 24, 96
"""What takes minutes at a page's sizes."""

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def lines_of(page: Path) -> list[str]:
    """The indented lines of a page, in order; one that a backslash ends goes on."""
    text = FENCED.sub("", page.read_text("utf-8")).replace("\\\n", " ")
    return [re.sub(" {2,}", " ", line) for line in re.findall(r"^    (\S.*)$", text, re.MULTILINE)]


def smaller(words: list[str], run_settings: dict[str, object]) -> list[str]:
    """A command with the sizes of a test in place of the page's."""
    if words[1] == "phantom":
        at = words.index("--patients") + 1
        words[at] = str(min(int(words[at]), PATIENTS))
        return [*words, "--size", str(SIZE)]
    if words[1] == "cache":
        return [*words, "--size", str(run_settings["image_size"])]
    if words[1] in ("evaluate", "compare"):
        return [*words, "--bootstrap", "100"]
    if words[1] == "train":
        keys = ("batch_size", "num_workers") if "--from" in words else tuple(run_settings)
        small = {**{key: run_settings[key] for key in keys}, "max_epochs": 1}
        ours = ("--set", *(f"{key}=" for key in small))
        given = [word for word in words if not word.startswith(ours)]
        return [
            *given,
            *(f"{k}={v if k != 'network_def' else json.dumps(v)}" for k, v in small.items()),
        ]
    return words


def shell(
    monkeypatch: pytest.MonkeyPatch, run_settings: dict[str, object]
) -> Callable[[str], None]:
    """A shell that types our own verbs in this process, and others in bash."""

    def run(line: str) -> None:
        words = shlex.split(line, comments=True)
        if words[0] != "monai-cxr":
            subprocess.run(["bash", "-euc", line], check=True, timeout=60)
            return
        monkeypatch.setattr(sys, "argv", smaller(words, run_settings))
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code in (0, None), line

    return run
