"""Transforms: what a bundle's inference config does after the network."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from ignite.engine import Engine, Events
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from monai_cxr.data.transforms import meta_key
from monai_cxr.errors import InvalidTable, NotCalibrated
from monai_cxr.evaluation.calibration.calibrator import Calibrator, read_calibrator
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.tables import logit_column, probability_column, write_table


class CalibratedProbabilitiesd(MapTransform):
    """Logits of one film to calibrated probabilities.

    A bundle that was trained and not yet packaged has no calibration: its logits stay logits, with
    a warning, and their metadata say so. The file is read here where it exists, else when the first
    film comes, so that the config can be parsed in any folder.

    Args:
        keys: Keys of the logits, each of shape (F,).
        calibration: Path of the bundle's ``calibration.json``.
        findings: Names in the order of the logits.
        allow_missing_keys: Do not raise where a key is absent.

    Raises:
        NotCalibrated: If the file is not a calibration of these findings.
    """

    def __init__(
        self,
        keys: KeysCollection,
        calibration: str,
        findings: Sequence[str] = FINDING_NAMES,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.path = Path(calibration)
        self.findings = tuple(findings)
        if self.path.exists():
            _ = self.calibrator

    @cached_property
    def calibrator(self) -> Calibrator | None:
        """The calibration; None of a bundle that has none yet.

        Raises:
            NotCalibrated: If there is no bundle where the path points, or the file does not fit.
        """
        if self.path.exists():
            return read_calibrator(self.path).for_findings(self.findings)
        if not self.path.parent.is_dir():
            raise NotCalibrated(
                f"There is no folder for '{self.path.name}' here. Give the bundle's own folder as "
                "bundle_root."
            )
        warnings.warn(
            f"The bundle has no {self.path.name}: the output are logits, not probabilities. "
            "Calibrate it with: monai-cxr package RUN --out DIR.",
            stacklevel=2,
        )
        return None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace logits by probabilities, float32 in [0, 1]; NaN stays NaN.

        Returns:
            The data with a ``MetaTensor`` below each key, as MONAI's writers expect: its ``meta``
            are the film's, and ``calibrated``.
        """
        result = dict(data)
        film = result.get(meta_key("image"), {})
        for key in self.key_iterator(result):
            values = torch.as_tensor(result[key]).detach().double().cpu()
            if self.calibrator is not None and not values.isnan().any():
                values = torch.from_numpy(self.calibrator.apply(values.numpy()[None])[0])
            meta = {**film, "calibrated": self.calibrator is not None}
            result[key] = MetaTensor(values.float(), meta=meta)
        return result


class FindingsSaver:
    """Ignite handler: collect a run's probabilities and write them with a header.

    Each row bears the name of the film that it was computed from, which MONAI carries in the item
    (``filename_or_obj``): its file name, or its path below the films' common folder where file
    names repeat. A film that was refused has no numbers, and its reason code in ``reason``.

    Args:
        path: The CSV.
        images: Not used; bundles of version 0.1.0 give the list of the films here.
        findings: Names in the order of the output.
    """

    def __init__(
        self, path: str, images: Sequence[str] = (), findings: Sequence[str] = FINDING_NAMES
    ) -> None:
        self.path = Path(path)
        self.findings = tuple(findings)
        self._rows: list[torch.Tensor] = []
        self._films: list[Mapping[str, Any]] = []
        self._calibrated = True

    def attach(self, engine: Engine) -> None:
        """Collect each iteration, write at the end."""
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _begin(self, _: Engine) -> None:
        self._rows, self._films = [], []

    def _collect(self, engine: Engine) -> None:
        for batch, output in zip(engine.state.batch, engine.state.output, strict=True):
            self._films.append(film_meta({**batch, **output}))
            pred = output["pred"]
            self._calibrated = getattr(pred, "meta", {}).get("calibrated", True)
            self._rows.append(torch.as_tensor(pred).cpu())

    def _write(self, _: Engine) -> None:
        column = probability_column if self._calibrated else logit_column
        columns = [column(finding) for finding in self.findings]
        table = pd.DataFrame(torch.stack(self._rows).numpy(), columns=columns)
        table.insert(0, "image", shown_names([film["filename_or_obj"] for film in self._films]))
        reasons = [str(film.get("reason", "")) for film in self._films]
        if any(reasons):
            table["reason"] = reasons
        write_table(table, self.path)
        if all(reasons):
            raise InvalidTable(
                f"None of the {len(table)} films could be scored; the column 'reason' of "
                f"'{self.path.name}' says why.",
                reason="nothing_scored",
            )


def film_meta(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an item of MONAI's engines says of its film: ``filename_or_obj``, perhaps ``reason``.

    Raises:
        InvalidTable: If it does not say which film it is.
    """
    metas: tuple[Mapping[str, Any] | None, ...] = (
        item.get(meta_key("image")),
        getattr(item.get("image"), "meta", None),
    )
    found = next((one for one in metas if one and one.get("filename_or_obj")), None)
    if found is None:
        raise InvalidTable(
            "The data do not say which films they are. Read them with LoadImaged and "
            "PrepareRadiographd, which keep filename_or_obj.",
            reason="missing_images",
        )
    return found


def shown_names(paths: Sequence[str]) -> list[str]:
    """Names of films: file names, or paths below their common folder where file names repeat."""
    names = [Path(path).name for path in paths]
    if len(set(names)) == len(names):
        return names
    root = os.path.commonpath([Path(path).parent for path in paths])
    return [Path(os.path.relpath(path, root or ".")).as_posix() for path in paths]
