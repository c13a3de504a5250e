"""Prediction: what a model says of one image, and how images of a study are put together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from monai_cxr.errors import SettingsError
from monai_cxr.findings import FINDINGS
from monai_cxr.radiograph import InstanceKey


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        estimate: The point estimate; NaN when it cannot be computed.
        low: Lower bound.
        high: Upper bound.

    Example:
        >>> print(Interval(0.887, 0.871, 0.901))
        0.887 (0.871-0.901)
    """

    estimate: float
    low: float = math.nan
    high: float = math.nan

    def __str__(self) -> str:
        """Three decimals, in the way papers print it."""
        if math.isnan(self.estimate):
            return "not estimable"
        if math.isnan(self.low):
            return f"{self.estimate:.3f}"
        dash = " to " if self.low < 0.0 else "-"
        return f"{self.estimate:.3f} ({self.low:.3f}{dash}{self.high:.3f})"


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold on a calibrated probability, with its performance on the data that chose it.

    Attributes:
        finding: Name of the finding.
        threshold: ``positive`` means probability >= threshold; in [0, 1].
        criterion: The rule that chose it, for example ``"sensitivity >= 0.90"`` or ``"youden"``.
        sensitivity: Sensitivity, with a 95 % interval.
        specificity: Specificity, with a 95 % interval.
        n: Labelled images that chose it.
        n_positive: Of these, the positive ones.

    Example:
        >>> sensitivity, specificity = Interval(0.91, 0.85, 0.95), Interval(0.80, 0.77, 0.83)
        >>> point = OperatingPoint(
        ...     "Effusion", 0.12, "sensitivity >= 0.90", sensitivity, specificity, 900, 120
        ... )
        >>> 0.2 >= point.threshold
        True
    """

    finding: str
    threshold: float
    criterion: str
    sensitivity: Interval
    specificity: Interval
    n: int
    n_positive: int


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model spoke.

    Attributes:
        name: Name in the bundle's metadata, whatever its folder is called.
        version: Bundle version.
        digest: SHA-256 over weights and calibration, hexadecimal.
        runtime: Engine and precision, for example ``"torch-cpu-fp32"``.

    Example:
        >>> ModelIdentity("demo", "0.1.0", digest="9f2c").runtime
        'torch'
    """

    name: str
    version: str
    digest: str
    runtime: str = "torch"


@dataclass(frozen=True, slots=True)
class FindingScore:
    """One finding of one image.

    Attributes:
        finding: Name of the finding.
        logit: The network's raw output.
        probability: Calibrated probability in [0, 1]; NaN if the bundle is not calibrated.
        positive: Whether probability >= the operating point's threshold; None without one.

    Example:
        >>> FindingScore("Effusion", logit=-1.4, probability=0.2, positive=True).positive
        True
    """

    finding: str
    logit: float
    probability: float
    positive: bool | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one image, or of a study.

    Attributes:
        key: Identity of the image.
        model: Identity of the model.
        scores: One score per finding, in the model's order.
        flags: Cautions that came with the image, as stable codes.
        quality: Measures of the picture by name; empty for a study.

    Example:
        >>> key = InstanceKey("", "", "", "film_1")
        >>> score = FindingScore("Effusion", logit=-1.4, probability=0.2)
        >>> prediction = Prediction(key, ModelIdentity("demo", "0.1.0", "9f2c"), (score,))
        >>> prediction["Pleural Effusion"].probability
        0.2
    """

    key: InstanceKey
    model: ModelIdentity
    scores: tuple[FindingScore, ...]
    flags: tuple[str, ...] = ()
    quality: Mapping[str, float] = field(default_factory=dict, compare=False)

    def __getitem__(self, finding: str) -> FindingScore:
        """The score of a finding by its name or a known alias.

        Raises:
            SettingsError: If this prediction has no such finding.
        """
        name = FINDINGS[finding].name if finding in FINDINGS else finding
        for score in self.scores:
            if score.finding == name:
                return score
        known = ", ".join(score.finding for score in self.scores)
        raise SettingsError(f"No score for '{finding}'. Expected one of: {known}.")


def study_prediction(predictions: Sequence[Prediction]) -> Prediction:
    """Put the images of one study together: per finding, the score of the most positive image.

    Raw images (flag ``"for_processing"``) count only where the study has no other.

    Args:
        predictions: Predictions of one study by one model.

    Returns:
        One prediction with the key of the first image and an empty SOP Instance UID.

    Raises:
        SettingsError: If there are none, or they mix studies or models.
    """
    if not predictions:
        raise SettingsError("Expected at least one prediction of a study, but got none.")
    first = predictions[0]
    if any(other.key.study_uid != first.key.study_uid for other in predictions):
        raise SettingsError("Expected predictions of one study, but got several studies.")
    if any(other.model.digest != first.model.digest for other in predictions):
        raise SettingsError("Expected predictions of one model, but got several digests.")
    predictions = [p for p in predictions if "for_processing" not in p.flags] or predictions
    scores = tuple(
        max((other.scores[i] for other in predictions), key=lambda score: score.logit)
        for i in range(len(first.scores))
    )
    flags = tuple(dict.fromkeys(flag for other in predictions for flag in other.flags))
    key = InstanceKey(first.key.patient_id, first.key.study_uid, "", "")
    return Prediction(key, first.model, scores, flags)
