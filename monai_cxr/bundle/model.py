"""Model: a bundle in memory; the one object with a life, because it holds a device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr.bundle.config import find_bundle, read_config
from monai_cxr.bundle.digests import DIGESTS_NAME, check_digests, file_digest, model_digest
from monai_cxr.bundle.runtime import (
    Runtime,
    TorchRuntime,
    build_network,
    choose_device,
    load_weights,
)
from monai_cxr.errors import InvalidBundle
from monai_cxr.evaluation.calibration import Calibrator, read_calibrator
from monai_cxr.evaluation.operating_points import read_operating_points
from monai_cxr.files import Source, read_for_model, read_radiograph
from monai_cxr.prediction import FindingScore, ModelIdentity, OperatingPoint, Prediction
from monai_cxr.preprocessing import normalise, prepare
from monai_cxr.radiograph import InstanceKey, Radiograph

CALIBRATION_NAME = "models/calibration.json"
OPERATING_POINTS_NAME = "models/operating_points.json"
WEIGHTS_NAME = "models/model.pt"
RUN_NAME = "run.json"

SCOPES = ("frontal_chest", "any")
"""What a bundle says it may read: frontal chest radiographs alone, or any gray picture."""


class BundleModel:
    """A loaded bundle: films in, predictions out.

    Example:
        model = BundleModel.load("demo/bundle")
        model.predict([read_radiograph("film.dcm")])[0]["Effusion"].probability

    Args:
        runtime: Holds the network.
        identity: Which model this is.
        findings: Names in the order of the logits.
        image_size: Side of the network input in pixels.
        resize: Resize policy.
        calibrator: Logits to probabilities; None where the model is not calibrated.
        operating_points: Thresholds by finding.
        scope: One of :data:`SCOPES`; ``any`` is for models of other pictures than adult frontal
            films, such as 28-px pictures of children's.
    """

    def __init__(
        self,
        runtime: Runtime,
        identity: ModelIdentity,
        *,
        findings: Sequence[str],
        image_size: int,
        resize: str,
        calibrator: Calibrator | None,
        operating_points: Sequence[OperatingPoint] = (),
        scope: str = "frontal_chest",
    ) -> None:
        self.runtime = runtime
        self.identity = identity
        self.findings = tuple(findings)
        self.image_size = image_size
        self.resize = resize
        self.calibrator = calibrator
        self.operating_points = {point.finding: point for point in operating_points}
        if scope not in SCOPES:
            raise InvalidBundle(f"Expected scope as one of {', '.join(SCOPES)}, but got '{scope}'.")
        self.scope = scope

    @classmethod
    def load(cls, path: Path | str, *, device: str = "auto") -> BundleModel:
        """Load a packaged bundle, or the best epoch of a training run.

        Args:
            path: A folder made by ``monai-cxr package`` or ``monai-cxr train``. The files of a
                packaged bundle are compared with their digests before any of them is parsed.
            device: ``"auto"``, ``"cpu"``, ``"cuda:0"`` ...

        Raises:
            InvalidBundle: If a file is absent or changed, or a config names a forbidden class.
        """
        bundle = find_bundle(path)
        digest = bundle_digest(bundle)
        config, metadata = read_config(bundle, "inference"), read_config(bundle, "metadata")
        network = build_network(config)
        load_weights(network, bundle / WEIGHTS_NAME)
        runtime = TorchRuntime(network.eval(), choose_device(device))
        findings = _field(config, "findings", list)
        calibration, points = bundle / CALIBRATION_NAME, bundle / OPERATING_POINTS_NAME
        return cls(
            runtime,
            ModelIdentity(
                bundle.name, str(metadata.get("version", "")), digest, runtime=runtime.name
            ),
            findings=findings,
            image_size=_field(config, "image_size", int),
            resize=_field(config, "resize", str),
            calibrator=(
                read_calibrator(calibration).for_findings(findings)
                if calibration.is_file()
                else None
            ),
            operating_points=read_operating_points(points) if points.is_file() else (),
            scope=str(config.get("scope", "frontal_chest")),
        )

    def read(self, source: Source) -> Radiograph:
        """Read a film that this model may read, by the scope that its bundle declares.

        Raises:
            UnreadableImage: If it is no readable image.
            UnsupportedImage: If it is out of scope, with a reason code.
        """
        return read_for_model(source) if self.scope == "frontal_chest" else read_radiograph(source)

    def prepare(self, radiograph: Radiograph | NDArray[np.float32]) -> NDArray[np.float32]:
        """One film as network input, float32, shape (1, size, size)."""
        film = prepare(radiograph, self.image_size, resize=self.resize)  # type: ignore[arg-type]
        return normalise(film)[None]

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float64]:
        """Raw outputs, shape (B, F), of prepared films, shape (B, 1, size, size).

        Raises:
            InvalidBundle: If the network has not one output a finding.
        """
        logits = self.runtime.logits(batch)
        if logits.shape != (len(batch), len(self.findings)):
            raise InvalidBundle(
                f"The network gives {logits.shape} for {len(batch)} films and "
                f"{len(self.findings)} findings. Expected one logit a finding."
            )
        return logits

    def predict(
        self, radiographs: Sequence[Radiograph], *, batch_size: int = 8
    ) -> list[Prediction]:
        """Predict films.

        Args:
            radiographs: Frontal chest radiographs; see ``monai_cxr.files.read_for_model`` for the
                check that they are.
            batch_size: Films at a time.

        Returns:
            One prediction a film, in order. Probabilities are NaN without a calibration.
        """
        result: list[Prediction] = []
        for start in range(0, len(radiographs), batch_size):
            films = radiographs[start : start + batch_size]
            inputs = np.stack([self.prepare(film) for film in films])
            scored = self.predict_prepared([(film.key, film.flags) for film in films], inputs)
            result += [replace(p, quality=f.quality) for p, f in zip(scored, films, strict=True)]
        return result

    def predict_prepared(
        self,
        films: Sequence[tuple[InstanceKey, tuple[str, ...]]],
        inputs: NDArray[np.float32],
    ) -> list[Prediction]:
        """Predict films that :meth:`prepare` has made ready elsewhere.

        Args:
            films: Identity and flags of each.
            inputs: float32, shape (B, 1, size, size).

        Returns:
            One prediction a film, in order.
        """
        logits = self.logits(inputs)
        return [
            self._prediction(key, flags, row)
            for (key, flags), row in zip(films, logits, strict=True)
        ]

    def probabilities(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated probabilities, shape (B, F); NaN without a calibration."""
        if self.calibrator is None:
            return np.full(logits.shape, math.nan)
        return self.calibrator.apply(logits)

    def _prediction(
        self, key: InstanceKey, flags: tuple[str, ...], logits: NDArray[np.float64]
    ) -> Prediction:
        scores = []
        for name, logit, probability in zip(
            self.findings, logits, self.probabilities(logits[None])[0], strict=True
        ):
            point = self.operating_points.get(name)
            decided = point is not None and not math.isnan(probability - point.threshold)
            positive = bool(probability >= point.threshold) if point and decided else None
            scores.append(FindingScore(name, float(logit), float(probability), positive))
        return Prediction(key, self.identity, tuple(scores), flags)

    def __repr__(self) -> str:
        """Name, version, digest and engine."""
        identity = self.identity
        return (
            f"BundleModel({identity.name} {identity.version}, {identity.digest[:12]}, "
            f"{identity.runtime}, {self.image_size} px)"
        )


def bundle_digest(bundle: Path) -> str:
    """Digest that names the model of a bundle's or run's folder; see :meth:`BundleModel.load`.

    Raises:
        InvalidBundle: If a file of a packaged bundle is absent or changed.
    """
    if (bundle / RUN_NAME).is_file() and not (bundle / DIGESTS_NAME).exists():
        weights = bundle / WEIGHTS_NAME
        return file_digest(weights) if weights.is_file() else ""
    return model_digest(check_digests(bundle))


def _field(config: dict[str, Any], name: str, kind: type) -> Any:
    value = config.get(name)
    if not isinstance(value, kind):
        raise InvalidBundle(
            f"inference.json needs '{name}' as {kind.__name__}, but it is {value!r}."
        )
    return value
