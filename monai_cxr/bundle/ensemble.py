"""Ensemble: several bundles that speak as one, in one pass over the films."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_cxr.bundle.engines.runtime import FilmBatch
from monai_cxr.bundle.model import BundleModel
from monai_cxr.bundle.predictor import BatchScores, Predictor, predict_films
from monai_cxr.errors import InvalidBundle, SettingsError
from monai_cxr.prediction import ModelIdentity, OperatingPoint, Prediction
from monai_cxr.radiograph import Radiograph
from monai_cxr.reading.film_input import InputSpec


class Ensemble:
    """Bundles whose logits and whose calibrated probabilities are averaged.

    A mean of calibrated probabilities tends to be too cautious, and there are no operating points,
    since each member chose its own for itself: :func:`monai_cxr.bundle.joining.join` makes a bundle
    that has a calibration and operating points of its own. Embeddings, maps and marks are those of
    the first member.

    Args:
        members: Two or more bundles of the same findings.

    Raises:
        InvalidBundle: If their findings differ.
        SettingsError: If they are fewer than two, or one stands there twice.
    """

    def __init__(self, members: Sequence[BundleModel]) -> None:
        require_different([member.identity.digest for member in members])
        require_same_findings((member.identity.name, member.findings) for member in members)
        self.members = tuple(members)
        self.findings = members[0].findings
        self.specs: tuple[InputSpec, ...] = tuple(
            dict.fromkeys(spec for member in members for spec in member.specs)
        )
        self.familiarity = members[0].familiarity
        self.calibrated = all(member.calibrated for member in members)
        self.batch_size = max(member.batch_size for member in members)
        self.batches_at_once = min(member.batches_at_once for member in members)
        self.operating_points: Mapping[str, OperatingPoint] = {}
        self.identity = _identity([member.identity for member in members])

    def score(self, inputs: Sequence[FilmBatch]) -> BatchScores:
        """Score a batch; see :class:`monai_cxr.bundle.predictor.Predictor`."""
        by_spec = dict(zip(self.specs, inputs, strict=True))
        scores = [member.score([by_spec[spec] for spec in member.specs]) for member in self.members]
        logits = self._ordered([one.logits for one in scores])
        return BatchScores(
            logits.mean(axis=0),
            self._ordered([one.probabilities for one in scores]).mean(axis=0),
            scores[0].embeddings,
            scores[0].cam,
            logits.std(axis=0).astype(np.float32),
        )

    def _ordered(self, values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """What each member says, (M, B, F), in the order of the ensemble's findings."""
        return np.stack(
            [
                one[:, [member.findings.index(name) for name in self.findings]]
                for member, one in zip(self.members, values, strict=True)
            ]
        )

    def predict(
        self, radiographs: Sequence[Radiograph], *, batch_size: int | None = None
    ) -> list[Prediction]:
        """Predict films; see :meth:`monai_cxr.bundle.model.BundleModel.predict`."""
        return predict_films(self, radiographs, batch_size or self.batch_size)


def require_different(digests: Sequence[str]) -> None:
    """Refuse an ensemble of one bundle, or of one that stands there twice."""
    if len(digests) < 2 or len(set(digests)) < len(digests):
        raise SettingsError(
            f"Expected two or more different bundles in an ensemble, but got {len(digests)} "
            f"of which {len(set(digests))} differ."
        )


def require_same_findings(members: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Refuse an ensemble whose members, by their names, have different findings."""
    (first, wanted), *others = members
    for name, findings in others:
        if set(findings) != set(wanted):
            raise InvalidBundle(
                f"The bundles of an ensemble need the same findings, but '{name}' has "
                f"{', '.join(findings)} and '{first}' {', '.join(wanted)}."
            )


def load_predictor(
    paths: Sequence[Path | str],
    *,
    device: str = "auto",
    runtime: str = "auto",
    tta: str | None = None,
    decoding: str = "exact",
    encoder: bool = False,
) -> Predictor:
    """Load one bundle, or several as an ensemble.

    Args:
        paths: Bundles, runs, or one JSON file of an ensemble: ``{"members": ["a", "b"],
            "tta": "shift"}``, its paths relative to the file.
        device: See :meth:`monai_cxr.bundle.model.BundleModel.load`.
        runtime: The same; for every bundle.
        tta: Test-time augmentation; None for that of the file, or else none.
        decoding: How JPEG 2000 films are decoded.
        encoder: Whether one bundle without findings will do.

    Raises:
        InvalidBundle: If a bundle is.
        SettingsError: If the file is no ensemble, or an option is wrong.
    """
    if len(paths) == 1 and Path(paths[0]).suffix == ".json":
        paths, stated = _read(Path(paths[0]))
        tta = tta or stated
    members = [
        BundleModel.load(
            path,
            device=device,
            runtime=runtime,
            tta=tta or "none",
            decoding=decoding,
            encoder=encoder and len(paths) == 1,
        )
        for path in paths
    ]
    return members[0] if len(members) == 1 else Ensemble(members)


def _read(path: Path) -> tuple[list[Path | str], str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        members = [path.parent / str(member) for member in content["members"]]
        stated = str(content.get("tta", "none"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        members, stated = [], ""
    if len(members) < 2:
        raise SettingsError(
            f"'{path.name}' is not an ensemble. Expected "
            '{"members": ["bundle_a", "bundle_b"], "tta": "none"} with two or more bundles.'
        )
    return list(members), stated


def _identity(members: Sequence[ModelIdentity]) -> ModelIdentity:
    digests = sorted(member.digest for member in members)
    return ModelIdentity(
        " + ".join(member.name for member in members),
        " + ".join(member.version for member in members),
        hashlib.sha256("\n".join(["ensemble", *digests]).encode()).hexdigest(),
        runtime=" + ".join(dict.fromkeys(member.runtime for member in members)),
    )
