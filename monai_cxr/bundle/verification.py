"""Verification: whether a packaged bundle is whole, and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_cxr.bundle.config import CONFIG_NAMES, check_targets, read_config
from monai_cxr.bundle.digests import added_exports, check_digests, model_digest
from monai_cxr.bundle.engines.by_name import installed
from monai_cxr.bundle.model import CALIBRATION_NAME, BundleModel
from monai_cxr.errors import InvalidBundle


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verified bundle says of itself.

    Attributes:
        name: Folder name.
        version: Of its metadata.
        digest: SHA-256 of weights, calibration and inference configs.
        n_files: Files compared with their digests.
        findings: Outputs in order.
        methods: Calibration method by finding.
        not_packaged: Exported networks that were added since; they decide nothing.
    """

    name: str
    version: str
    digest: str
    n_files: int
    findings: tuple[str, ...]
    methods: Mapping[str, str]
    not_packaged: tuple[str, ...] = ()


def verify(bundle: Path) -> Verified:
    """Check a packaged bundle: digests, configs, classes, weights, calibration, one forward pass.

    Where torch is not installed, the bundle's export gives the forward pass, and the classes of
    configs that nothing here can run are not looked up.

    Raises:
        InvalidBundle: Naming what is wrong.
        NotCalibrated: If the calibration does not fit the findings.
    """
    bundle = bundle.resolve()
    digests = check_digests(bundle)
    whole = installed("torch")
    for name in CONFIG_NAMES:
        if whole and f"configs/{name}.json" in digests:
            check_targets(read_config(bundle, name), f"configs/{name}.json")
    runtime = "torch" if whole else "auto"
    model = BundleModel.load(bundle, device="cpu", runtime=runtime, encoder=True)
    if model.calibrator is None:
        raise InvalidBundle(f"The bundle '{bundle.name}' has no {CALIBRATION_NAME}.")
    metadata = read_config(bundle, "metadata")
    try:
        shape = metadata["network_data_format"]["inputs"]["image"]["spatial_shape"]
    except (KeyError, TypeError):
        shape = None
    if shape != [model.image_size] * 2:
        raise InvalidBundle(
            f"metadata.json says an input of {shape}, inference.json of "
            f"{model.image_size} px. Package the run again."
        )
    batch = np.zeros((1, 1, model.image_size, model.image_size), dtype=np.float32)
    logits = model.logits(batch)
    if logits.shape != (1, len(model.findings)) or not np.isfinite(logits).all():
        raise InvalidBundle(
            f"The network gives {logits.shape} with findings {len(model.findings)}; expected one "
            "finite logit a finding."
        )
    return Verified(
        name=bundle.name,
        version=model.identity.version,
        digest=model_digest(digests),
        n_files=len(digests),
        findings=model.findings,
        methods={part.finding: part.method for part in model.calibrator.findings},
        not_packaged=added_exports(bundle, digests),
    )
