"""The model zoo's checks of a packaged bundle, in the zoo's order, each printed.

    python benchmarks/zoo_checks.py BUNDLE

The checks are those of ``ci/verify_bundle.py`` in github.com/Project-MONAI/model-zoo (read at
commit 018b313): the same functions of MONAI with the same arguments, on a copy of the bundle. Where
the zoo's script installs the versions that the metadata name, this one prints them beside those
that are here. Whether a version is still free in the zoo's list of models is not asked. Ends with 1
at the first check that fails.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import monai
import torch
from monai.bundle import ckpt_export, verify_metadata, verify_net_in_out

SCHEMAS = Path(__file__).resolve().parents[1] / "tests" / "schemas"


def check(bundle: Path) -> None:
    """Run the checks; one that fails raises, as the zoo's do."""
    meta = bundle / "configs" / "metadata.json"
    given = {"meta_file": str(meta), "bundle_root": str(bundle)}
    network = {"net_id": "network_def", "config_file": str(bundle / "configs" / "inference.json")}
    if not meta.is_file():
        raise ValueError("configs/metadata.json is missing.")
    print("directory is verified correctly.")
    metadata = json.loads(meta.read_text(encoding="utf-8"))
    if metadata["version"] not in metadata["changelog"]:
        raise ValueError(f"The change log has no version {metadata['version']}.")
    print("version and changelog are verified correctly.")
    schema = bundle / "eval" / "schema.json"  # the zoo puts it there, so nothing is downloaded
    schema.parent.mkdir(exist_ok=True)
    shutil.copy(SCHEMAS / metadata["schema"].rpartition("/")[2], schema)
    verify_metadata(meta_file=str(meta), filepath=str(schema))
    print("metadata format is verified correctly.")
    verify_net_in_out(**network, **given, device="cpu")
    print("data shape is verified correctly.")
    for name, here in (("monai", monai.__version__), ("pytorch", torch.__version__)):
        print(f"{name}: the metadata name {metadata[f'{name}_version']}, here is {here}.")
    weights = {"ckpt_file": str(bundle / "models" / "model.pt")}
    ckpt_export(filepath=str(bundle / "models" / "verify_model.ts"), **network, **given, **weights)
    print("export weights into TorchScript module successfully.")
    if (bundle / "models" / "model.ts").exists():
        torch.jit.load(bundle / "models" / "model.ts")
        print("Provided TorchScript module is verified correctly.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(options.bundle, Path(folder) / options.bundle.resolve().name)
        print(f"start verifying {copy.name}:")
        check(copy)
    return 0


if __name__ == "__main__":
    sys.exit(main())
