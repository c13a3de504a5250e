"""One verb, run as the shell would run it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from monai_cxr import cli

Verb = Callable[..., tuple[int, str, str]]


@pytest.fixture
def verb(monkeypatch, capsys) -> Verb:
    """Run one verb as the shell would; gives (exit status, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["monai-cxr", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return run
