"""The script of ``docs/how-to/serve-fast.md``: an export without this package says the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cxr import BundleModel, read_radiograph
from monai_cxr.bundle.exporting.network import export

pytestmark = pytest.mark.unproven

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "serve-fast.md"
PRINT = "import sys; print('monai_cxr' in sys.modules, *logits.values())"


def test_the_script_of_the_page_gives_the_bundle_s_numbers(
    packaged_bundle, phantom_index, tmp_path, monkeypatch
):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    shutil.copytree(packaged_bundle, tmp_path / "bundle")
    export(tmp_path / "bundle", "onnx", "fp32")
    pixels = read_radiograph(Path(phantom_index.table["path"].iloc[0])).pixels
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(tmp_path / "film.png")
    alone, calibrated = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[:2]
    assert len([line for line in alone.splitlines() if line]) <= 15
    done = subprocess.run(
        [sys.executable, "-c", f"{alone}\n{PRINT}"],
        **{"cwd": tmp_path, "capture_output": True, "text": True, "check": True},
    )
    imported, *logits = done.stdout.split()
    assert imported == "False"

    model = BundleModel.load(packaged_bundle, device="cpu", runtime="torch")
    said = model.predict([read_radiograph(tmp_path / "film.png")])[0].scores
    # Pillow rounds the resized picture to 8 bits; the package does not.
    assert [float(one) for one in logits] == pytest.approx([s.logit for s in said], abs=0.02)
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {}
    exec(compile(alone + calibrated, str(PAGE), "exec"), space)
    probabilities = [s.probability for s in said]
    assert list(space["probabilities"]) == pytest.approx(probabilities, abs=0.01)
