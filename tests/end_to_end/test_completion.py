"""Shell completion, asked as bash asks it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = "import sys; sys.argv = ['monai-cxr']; from monai_cxr.cli import main; main()"


@pytest.mark.parametrize(
    ("typed", "wanted"), [("monai-cxr pre", "predict"), ("monai-cxr predict --emb", "--embeddings")]
)
def test_verbs_and_options_are_completed(typed, wanted):
    at = str(len(typed.split()) - 1)
    asked = {"_MONAI_CXR_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": at}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **asked}, capture_output=True, text=True
    )
    assert wanted in done.stdout.split()
