"""The model zoo's checks of a packaged bundle, in the zoo's order, each printed.

    python benchmarks/zoo_checks.py BUNDLE [--zoo CHECKOUT]

The checks are those of ``ci/verify_bundle.py`` in github.com/Project-MONAI/model-zoo (read at
commit 17e7879, mode ``full``): the same functions of MONAI with the same arguments, on a copy of
the bundle. ``--zoo`` runs the zoo's own script instead, of a checkout of its repository, on a copy
of the bundle laid out as the zoo stores it. Where the zoo installs the versions that the metadata
name, this prints them beside those that are here. Whether a version is still free in the zoo's list
of models is only asked of a checkout. Ends with 1 at the first check that fails.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import monai
import torch
from monai.bundle import ckpt_export, verify_metadata, verify_net_in_out

WEIGHTS = ("models/model.pt",)
SCHEMAS = Path(__file__).resolve().parents[1] / "tests" / "schemas"


def check(bundle: Path) -> None:
    """Run the checks; one that fails raises, as the zoo's do."""
    meta = bundle / "configs" / "metadata.json"
    given = {"meta_file": str(meta), "bundle_root": str(bundle)}
    network = {"net_id": "network_def", "config_file": str(bundle / "configs" / "inference.json")}
    for name in ("configs/metadata.json", "LICENSE", *WEIGHTS, "configs/inference.json"):
        if not (bundle / name).is_file():
            raise ValueError(f"{name} is missing.")
    print("directory is verified correctly.")
    metadata = json.loads(meta.read_text(encoding="utf-8"))
    if metadata["version"] not in metadata["changelog"]:
        raise ValueError(f"The change log has no version {metadata['version']}.")
    print("version and changelog are verified correctly.")
    verify_metadata(meta_file=str(meta), filepath=str(put_schema(bundle)))
    print("metadata format is verified correctly.")
    if metadata.get("supported_apps"):
        raise ValueError("supported_apps: their properties are only checked with --zoo.")
    print("properties are verified correctly.")
    verify_net_in_out(**network, **given, device="cpu")
    print("data shape is verified correctly.")
    for name, here in (("monai", monai.__version__), ("pytorch", torch.__version__)):
        print(f"{name}: the metadata name {metadata[f'{name}_version']}, here is {here}.")
    weights = {"ckpt_file": str(bundle / WEIGHTS[0])}
    ckpt_export(filepath=str(bundle / "models" / "verify_model.ts"), **network, **given, **weights)
    print("export weights into TorchScript module successfully.")
    if (bundle / "models" / "model.ts").exists():
        torch.jit.load(bundle / "models" / "model.ts")
        print("Provided TorchScript module is verified correctly.")


def put_schema(bundle: Path) -> Path:
    """Put the schema where the zoo puts it, so that nothing is downloaded."""
    stated = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    schema = bundle / "eval" / "schema.json"
    schema.parent.mkdir(exist_ok=True)
    shutil.copy(SCHEMAS / stated["schema"].rpartition("/")[2], schema)
    return schema


def check_by_zoo(bundle: Path, zoo: Path, folder: Path) -> int:
    """Run the zoo's own script; its exit status."""
    models = folder / "models"
    put_schema(Path(shutil.copytree(bundle, models / bundle.name)))
    known = zoo / "models" / "model_info.json"
    (models / known.name).write_text(known.read_text(encoding="utf-8"), encoding="utf-8")
    script = zoo.resolve() / "ci" / "verify_bundle.py"
    return subprocess.run([sys.executable, script, "-b", bundle.name, "-m", "full"], cwd=folder,
                          check=False).returncode  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--zoo", type=Path, help="a checkout of the zoo's repository")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        if options.zoo is not None:
            return check_by_zoo(options.bundle.resolve(), options.zoo, Path(folder))
        copy = shutil.copytree(options.bundle, Path(folder) / options.bundle.resolve().name)
        print(f"start verifying {copy.name}:")
        check(copy)
    return 0


if __name__ == "__main__":
    sys.exit(main())
