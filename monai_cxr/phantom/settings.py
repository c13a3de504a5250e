"""Phantom settings: how many patients, what they have, how large the films are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from types import MappingProxyType

from monai_cxr.errors import SettingsError
from monai_cxr.findings import FINDING_NAMES

MINIMUM_SIZE = 64

DEFAULT_PREVALENCE: Mapping[str, float] = MappingProxyType(
    {
        "Atelectasis": 0.14,
        "Cardiomegaly": 0.10,
        "Effusion": 0.15,
        "Infiltration": 0.17,
        "Mass": 0.11,
        "Nodule": 0.13,
        "Pneumonia": 0.08,
        "Pneumothorax": 0.11,
        "Consolidation": 0.10,
        "Edema": 0.09,
        "Emphysema": 0.09,
        "Fibrosis": 0.08,
        "Pleural_Thickening": 0.12,
        "Hernia": 0.09,
    }
)
"""Share of films with each finding: nearly NIH's order, the rare ones raised."""


@dataclass(frozen=True, slots=True)
class PhantomSettings:
    """What to render; the same settings give the same films.

    Attributes:
        n_patients: Number of patients in an archive, at least 1.
        seed: Seed of everything that is drawn by chance, at least 0.
        size: Longer side of a film in pixels, at least 64; some films are not square.
        prevalence: Share of films with each finding, in [0, 1]; findings left out keep the
            default of ``DEFAULT_PREVALENCE``.
        label_noise: Share of positive labels that are missed, in [0, 1]. As many negative ones
            are made positive, so that the prevalence stays.
        mean_films_per_patient: Mean number of films of a patient, in [1, 20]; follow-ups are
            geometrically distributed.
        severity: Smallest and largest severity of a finding, within (0, 1].
        ap_share: Share of films taken antero-posteriorly, in [0, 1], whatever the findings.

    Raises:
        SettingsError: If a value is outside its range or a finding is unknown.

    Example:
        >>> PhantomSettings(n_patients=10, prevalence={"Mass": 0.5}).prevalence["Mass"]
        0.5
    """

    n_patients: int = 400
    seed: int = 0
    size: int = 512
    prevalence: Mapping[str, float] = field(default_factory=lambda: DEFAULT_PREVALENCE)
    label_noise: float = 0.0
    mean_films_per_patient: float = 1.6
    severity: tuple[float, float] = (0.35, 1.0)
    ap_share: float = 0.35

    def __post_init__(self) -> None:
        """Check every value and complete the prevalences."""
        _require_at_least("n_patients", self.n_patients, 1)
        _require_at_least("seed", self.seed, 0)
        _require_at_least("size", self.size, MINIMUM_SIZE)
        _require_within("label_noise", self.label_noise, 0.0, 1.0)
        _require_within("ap_share", self.ap_share, 0.0, 1.0)
        _require_within("mean_films_per_patient", self.mean_films_per_patient, 1.0, 20.0)
        low, high = self.severity
        if not 0.0 < low <= high <= 1.0:
            raise SettingsError(
                f"Expected severity as 0 < smallest <= largest <= 1, but got {self.severity}. "
                "Give for example (0.35, 1.0)."
            )
        for name, share in self.prevalence.items():
            if name not in FINDING_NAMES:
                raise SettingsError(
                    f"Unknown finding '{name}' in prevalence. "
                    f"Expected one of: {', '.join(FINDING_NAMES)}."
                )
            _require_within(f"prevalence of {name}", share, 0.0, 1.0)
        complete = {name: float({**DEFAULT_PREVALENCE, **self.prevalence}[name])
                    for name in FINDING_NAMES}  # fmt: skip
        object.__setattr__(self, "prevalence", complete)


def _require_at_least(name: str, value: int, smallest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
        raise SettingsError(
            f"Expected {name} as a whole number of at least {smallest}, but got {value!r}. "
            f"Set {name} to {smallest} or more."
        )


def _require_within(name: str, value: float, smallest: float, largest: float) -> None:
    if not isfinite(value) or not smallest <= value <= largest:
        raise SettingsError(
            f"Expected {name} between {smallest:g} and {largest:g}, but got {value!r}. "
            "Give a value within that range."
        )
