"""Cases, predictions and operating points for the tests of the review package."""

from __future__ import annotations

from monai_cxr.prediction import FindingScore, Interval, ModelIdentity, OperatingPoint, Prediction
from monai_cxr.radiograph import InstanceKey, ViewPosition
from monai_cxr.review.cases import Case, CaseImage, CaseStatus

MODEL = ModelIdentity("test", "1.0", "d" * 64)


def key_of(number: int, patient: str = "P1") -> InstanceKey:
    return InstanceKey(patient, f"1.2.{number}", f"1.2.{number}.1", f"1.2.{number}.1.1")


def prediction(number: int, probabilities: dict[str, float], threshold: float = 0.5) -> Prediction:
    scores = tuple(FindingScore(name, 0.0, p, p >= threshold) for name, p in probabilities.items())
    return Prediction(key_of(number), MODEL, scores)


def point(finding: str, *, sensitivity=0.9, specificity=0.8, n=200, n_positive=20):
    return OperatingPoint(
        finding,
        0.5,
        "sensitivity >= 0.90",
        Interval(sensitivity, 0.85, 0.95),
        Interval(specificity, 0.75, 0.85),
        n,
        n_positive,
    )


def case(
    number: int,
    probabilities: dict[str, float] | None = None,
    *,
    received: float = 0.0,
    patient: str = "p",
    acquired: str = "",
    reason: str = "",
    failed: bool = False,
) -> Case:
    made = prediction(number, probabilities) if probabilities is not None else None
    image = CaseImage(
        key_of(number), ViewPosition.PA, made, reason, "Because." if reason else "", failed
    )
    status = CaseStatus.WAITING
    if made is not None:
        status = CaseStatus.ANALYSED
    elif reason:
        status = CaseStatus.FAILED if failed else CaseStatus.NOT_ANALYSED
    return Case(f"{number:020x}", patient, (image,), status, received, acquired, "F", 61.0, made)
