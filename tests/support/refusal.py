"""What a verb says to input that it refuses."""

from __future__ import annotations

from monai_cxr import cli


def refused(result: tuple[int, str, str], sentence: str) -> None:
    """One line that says what is wrong, exit status 1, no traceback."""
    status, out, err = result
    assert status == cli.EXIT_INPUT, err
    lines = [line for line in err.splitlines() if line.startswith("monai-cxr: ")]
    assert len(lines) == 1
    assert sentence in lines[0]
    assert "Traceback" not in out + err
