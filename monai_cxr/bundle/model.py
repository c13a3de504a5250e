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
from monai_cxr.bundle.digests import (
    DIGESTS_NAME,
    WEIGHTS_NAME,
    check_digests,
    file_digest,
    model_digest,
    variant,
)
from monai_cxr.bundle.engines.choice import Opened, open_runtime
from monai_cxr.bundle.engines.runtime import NetworkOutput, Runtime
from monai_cxr.bundle.exports import Parity
from monai_cxr.bundle.predictor import BatchScores, predict_films, predictions
from monai_cxr.bundle.tta import views_named
from monai_cxr.errors import InvalidBundle, SettingsError
from monai_cxr.evaluation.calibration.calibrator import Calibrator, read_calibrator
from monai_cxr.evaluation.decisions.decision_rules import DecisionRules, read_rules
from monai_cxr.evaluation.statistics.logits import sigmoid
from monai_cxr.monitoring.familiarity import NOTHING_KNOWN, Familiarity, read_familiarity
from monai_cxr.prediction import ModelIdentity, OperatingPoint, Prediction
from monai_cxr.radiograph import InstanceKey, Radiograph
from monai_cxr.reading.files import Source
from monai_cxr.reading.film_input import DECODINGS, SCOPES, InputSpec, network_input, read_in_scope

CALIBRATION_NAME = "models/calibration.json"
OPERATING_POINTS_NAME = "models/operating_points.json"
RUN_NAME = "run.json"
REFERENCE_NAME = "docs/reference.json"
"""How the films of the val split were, for drift and for marks; it decides no score."""


def rules_of(bundle: Path) -> DecisionRules:
    """What a bundle decides by; no rules where it has no file of them.

    Raises:
        SettingsError: If the file holds none.
    """
    path = bundle / OPERATING_POINTS_NAME
    return read_rules(path) if path.is_file() else DecisionRules()


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
        scope: One of :data:`monai_cxr.reading.film_input.SCOPES`; ``any`` is for models of other
            pictures than adult frontal films, such as 28-px pictures of children's.
        tta: Test-time augmentation.
        decoding: One of :data:`monai_cxr.reading.film_input.DECODINGS`.
        change: How far the engine's numbers are from those in fp32, where that is known.
        familiarity: What marks films and ages that are unlike those it was made with.

    Example:
        >>> from monai_cxr import read_for_model
        >>> model = BundleModel.load("demo/bundle")
        >>> prediction = model.predict([read_for_model("film.dcm")])[0]
        >>> 0.0 <= prediction["Effusion"].probability <= 1.0
        True
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
        tta: str = "none",
        decoding: str = "exact",
        change: Parity | None = None,
        familiarity: Familiarity = NOTHING_KNOWN,
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
        self.specs = (InputSpec(image_size, resize, scope, decoding),)  # type: ignore[arg-type]
        self.change = change
        self.familiarity = familiarity
        self._views = views_named(tta)

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        device: str = "auto",
        runtime: str = "auto",
        tta: str = "none",
        decoding: str = "exact",
        encoder: bool = False,
    ) -> BundleModel:
        """Load a packaged bundle, or the best epoch of a training run.

        Args:
            path: A folder made by ``monai-cxr package`` or ``monai-cxr train``. The files of a
                packaged bundle are compared with their digests before any of them is parsed.
            device: ``"auto"``, ``"cpu"``, ``"cuda:0"`` ...
            runtime: ``"auto"``: torch on a GPU, else the fastest engine here among the exports the
                bundle holds and torch, in fp32, or in bf16 where that is much faster and within
                the limits of :mod:`monai_cxr.bundle.engines.choice`; or an engine by name, such as
                ``"torch"``, ``"onnx"``, ``"openvino-int8"``. An exported bundle is served without
                importing torch.
            tta: Test-time augmentation: ``"none"``, ``"flip"`` or ``"shift"``; see
                :mod:`monai_cxr.bundle.tta`.
            decoding: ``"exact"``, or ``"reduced"``: JPEG 2000 at reduced resolution where the
                network's input has less than half of it, within the tolerance that the docs state.
            encoder: Whether a bundle without findings will do, which gives embeddings alone.

        Raises:
            InvalidBundle: If a file is absent or changed, a config names a forbidden class,
                there is no export for the runtime, or the bundle has no finding.
            MissingDependency: If the runtime is not installed.
            SettingsError: If an option is unknown.
        """
        bundle = find_bundle(path)
        served = _served(tta, decoding)
        digest, config = bundle_digest(bundle), read_config(bundle, "inference")
        findings = _field(config, "findings", list)
        if not encoder:
            require_findings(bundle.name, findings)
        image_size, resize = _field(config, "image_size", int), _field(config, "resize", str)
        calibrator = _calibrator(bundle, findings)
        probabilities = sigmoid if calibrator is None else calibrator.apply
        opened = open_runtime(
            bundle, config, digest, runtime=runtime, device=device, probabilities=probabilities
        )
        return cls(
            opened.runtime,
            _identity(bundle, opened, served),
            findings=findings,
            image_size=image_size,
            resize=resize,
            scope=str(config.get("scope", "frontal_chest")),
            calibrator=calibrator,
            operating_points=rules_of(bundle).points,
            tta=tta,
            decoding=decoding,
            change=opened.change,
            familiarity=read_familiarity(bundle / REFERENCE_NAME),
        )

    def read(self, source: Source) -> Radiograph:
        """Read a film that this model may read, by the scope that its bundle declares.

        Raises:
            UnreadableImage: If it is no readable image.
            UnsupportedImage: If it is out of scope, with a reason code.
        """
        return read_in_scope(source, self.scope, min_side=self.specs[0].min_side)

    @property
    def calibrated(self) -> bool:
        """Whether there are probabilities."""
        return self.calibrator is not None

    @property
    def stated(self) -> dict[str, Any]:
        """What a report states beside the scores, as the writers of reports take it."""
        methods = self.calibrator.methods if self.calibrator is not None else {}
        return {"operating_points": self.operating_points, "calibration": methods}

    @property
    def batch_size(self) -> int:
        """How many films at a time keep the engine busy."""
        return self.runtime.batch_size

    @property
    def batches_at_once(self) -> int:
        """How many batches the engine takes at once."""
        return self.runtime.batches_at_once

    def prepare(self, radiograph: Radiograph | NDArray[np.float32]) -> NDArray[np.float32]:
        """One film as network input, float32, shape (1, size, size)."""
        return network_input(radiograph, self.specs[0])

    def run(self, batch: NDArray[np.float32]) -> NetworkOutput:
        """What the network gives for prepared films, shape (B, 1, size, size).

        With test-time augmentation the logits are means over the views; embeddings and maps are
        those of the untouched film.

        Raises:
            InvalidBundle: If the network has not one output a finding.
        """
        outputs = [self.runtime.run(view) for view in self._views(batch)]
        logits = np.asarray(np.mean([output.logits for output in outputs], axis=0))
        if logits.shape != (len(batch), len(self.findings)):
            raise InvalidBundle(
                f"The network gives {logits.shape} for {len(batch)} films and "
                f"{len(self.findings)} findings. Expected one logit a finding."
            )
        return replace(outputs[0], logits=logits)

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float64]:
        """Raw outputs, shape (B, F), of prepared films; see :meth:`run`."""
        return self.run(batch).logits

    def score(self, inputs: Sequence[NDArray[np.float32]]) -> BatchScores:
        """Score a batch; see :class:`monai_cxr.bundle.predictor.Predictor`."""
        output = self.run(inputs[0])
        return BatchScores(
            output.logits,
            self.probabilities(output.logits),
            output.embeddings,
            output.cam,
            output.disagreement,
        )

    def predict(
        self, radiographs: Sequence[Radiograph], *, batch_size: int | None = None
    ) -> list[Prediction]:
        """Predict films.

        Args:
            radiographs: Frontal chest radiographs; see
                ``monai_cxr.reading.files.read_for_model`` for the check that they are.
            batch_size: Films at a time; None for what suits the engine.

        Returns:
            One prediction per film, in order. Probabilities are NaN without a calibration.
        """
        return predict_films(self, radiographs, batch_size or self.batch_size)

    def predict_prepared(
        self,
        films: Sequence[tuple[InstanceKey, tuple[str, ...]]],
        inputs: NDArray[np.float32],
        ages: Sequence[float | None] = (),
    ) -> list[Prediction]:
        """Predict films that :meth:`prepare` has made ready elsewhere.

        Args:
            films: Identity and flags of each.
            inputs: float32, shape (B, 1, size, size).
            ages: Of the patient of each film, in years or None; empty where no age is known.

        Returns:
            One prediction per film, in order.
        """
        return predictions(self, films, [inputs], ages)

    def probabilities(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated probabilities, shape (B, F); NaN without a calibration."""
        if self.calibrator is None:
            return np.full(logits.shape, math.nan)
        return self.calibrator.apply(logits)

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


def require_findings(name: str, findings: Sequence[str]) -> None:
    """Refuse an encoder where scores are wanted.

    Raises:
        InvalidBundle: If the bundle of that name has no finding.
    """
    if not findings:
        raise InvalidBundle(
            f"The bundle '{name}' is an encoder and has no finding. Add one with: monai-cxr "
            f"few-shot {name} --finding NAME --index INDEX --out BUNDLE."
        )


def reporting(bundle: Path) -> tuple[dict[str, OperatingPoint], dict[str, str]]:
    """What reports state of a calibrated bundle, read without loading its network.

    Returns:
        Operating points and calibration methods, by finding.
    """
    return rules_of(bundle).by_finding, read_calibrator(bundle / CALIBRATION_NAME).methods


def _served(tta: str, decoding: str) -> str:
    """What the way of serving adds to the name of a runtime.

    Raises:
        SettingsError: If it is unknown.
    """
    views_named(tta)
    if decoding not in DECODINGS:
        raise SettingsError(
            f"Expected decoding as one of {', '.join(DECODINGS)}, but got '{decoding}'."
        )
    views = "" if tta == "none" else f"+tta-{tta}"
    return views + ("" if decoding == "exact" else f"+{decoding}-decoding")


def _calibrator(bundle: Path, findings: Sequence[str]) -> Calibrator | None:
    path = bundle / CALIBRATION_NAME
    return read_calibrator(path).for_findings(findings) if path.is_file() else None


def _identity(bundle: Path, opened: Opened, served: str) -> ModelIdentity:
    metadata = read_config(bundle, "metadata")
    return ModelIdentity(
        str(metadata.get("name") or bundle.name),
        str(metadata.get("version", "")),
        variant(opened.digest, served) if served else opened.digest,
        runtime=opened.runtime.name + served,
    )


def _field(config: dict[str, Any], name: str, kind: type) -> Any:
    value = config.get(name)
    if not isinstance(value, kind):
        raise InvalidBundle(
            f"inference.json needs '{name}' as {kind.__name__}, but it is {value!r}."
        )
    return value
