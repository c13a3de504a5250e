"""MONAI's plain commands, typed as the documents have them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from dicom_peers import free_port

QUIET = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def typed(
    *words: object, cwd: Path, processes: int = 1, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Type ``python -m monai.bundle ...`` or, for several processes, ``torchrun``."""
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", f"--nproc_per_node={processes}"]
        launcher += ["--master_addr=127.0.0.1", f"--master_port={free_port()}"]
    command = [*launcher, "-m", "monai.bundle", *map(str, words)]
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | QUIET, capture_output=True, text=True, timeout=600
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def configs(root: Path | str, *names: str) -> list[str]:
    """The options that name a bundle's configs and its folder."""
    files = [f"{root}/configs/{name}.json" for name in names]
    return [
        *("run", "--config_file", str(files) if len(files) > 1 else files[0]),
        *("--meta_file", f"{root}/configs/metadata.json", "--bundle_root", str(root)),
    ]
