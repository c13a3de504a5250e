"""Transforms: what a bundle's inference config does after the network."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from ignite.engine import Engine, Events
from monai.config import KeysCollection
from monai.transforms import MapTransform

from monai_cxr.evaluation.calibration.calibrator import read_calibrator
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.tables import probability_column, write_table


class CalibratedProbabilitiesd(MapTransform):
    """Logits of one film to calibrated probabilities.

    Args:
        keys: Keys of the logits, each of shape (F,).
        calibration: Path of the bundle's ``calibration.json``.
        findings: Names in the order of the logits.
        allow_missing_keys: Do not raise where a key is absent.

    Raises:
        NotCalibrated: If the file is absent or is not a calibration of these findings.
    """

    def __init__(
        self,
        keys: KeysCollection,
        calibration: str,
        findings: Sequence[str] = FINDING_NAMES,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.calibrator = read_calibrator(calibration).for_findings(findings)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace logits by probabilities, float32 in [0, 1]."""
        result = dict(data)
        for key in self.key_iterator(result):
            logits = torch.as_tensor(result[key]).detach().double().cpu().numpy()
            result[key] = torch.from_numpy(self.calibrator.apply(logits[None])[0]).float()
        return result


class FindingsSaver:
    """Ignite handler: collect a run's probabilities and write them with a header.

    Args:
        path: The CSV.
        images: Paths in the order of the data; their names become the image column.
        findings: Names in the order of the output.
    """

    def __init__(
        self, path: str, images: Sequence[str], findings: Sequence[str] = FINDING_NAMES
    ) -> None:
        self.path = Path(path)
        self.images = [Path(image).name for image in images]
        self.findings = tuple(findings)
        self._rows: list[torch.Tensor] = []

    def attach(self, engine: Engine) -> None:
        """Collect each iteration, write at the end."""
        engine.add_event_handler(Events.STARTED, lambda _: self._rows.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _collect(self, engine: Engine) -> None:
        self._rows.extend(item["pred"].cpu() for item in engine.state.output)

    def _write(self, engine: Engine) -> None:
        columns = [probability_column(finding) for finding in self.findings]
        table = pd.DataFrame(torch.stack(self._rows).numpy(), columns=columns)
        table.insert(0, "image", self.images[: len(table)])
        write_table(table, self.path)
