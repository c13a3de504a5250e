"""Label policy: what an uncertain label and a blank one count as, wherever labels are read.

CheXpert's labeller writes -1 for a finding that a report is uncertain of, and nothing for one that
it does not mention (Irvin et al., "CheXpert", AAAI 2019, section 3 compares the policies). Its
authors count blanks as absent; here they are unknown unless that is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from monai_cxr.errors import SettingsError

Floats = NDArray[np.float64]

UNCERTAIN_LABELS: Mapping[str, float] = {
    "refuse": -1.0,
    "unknown": math.nan,
    "absent": 0.0,
    "present": 1.0,
}
"""What an uncertain label (-1) may count as."""

BLANK_LABELS: Mapping[str, float] = {"unknown": math.nan, "absent": 0.0}
"""What a blank label may count as."""

_OTHER_NAMES = {"zeros": "absent", "ones": "present", "ignore": "unknown"}
"""Names of the same policies in the literature on CheXpert."""


@dataclass(frozen=True, slots=True)
class LabelPolicy:
    """What labels that are neither 0 nor 1 count as.

    Attributes:
        uncertain: One of :data:`UNCERTAIN_LABELS`, for -1; or CheXpert's name for it.
        blank: One of :data:`BLANK_LABELS`, for an empty cell.

    Raises:
        SettingsError: If a policy is unknown.
    """

    uncertain: str = "refuse"
    blank: str = "unknown"

    def __post_init__(self) -> None:
        """Check the names and bring them to ours."""
        for what, known in (("uncertain", UNCERTAIN_LABELS), ("blank", BLANK_LABELS)):
            given = getattr(self, what)
            name = _OTHER_NAMES.get(given, given)
            if name not in known:
                raise SettingsError(
                    f"Expected {what} labels as one of {', '.join(known)} (or CheXpert's "
                    f"zeros, ones, ignore), but got '{given}'."
                )
            object.__setattr__(self, what, name)

    def apply(self, values: Floats) -> Floats:
        """Labels as they count: a copy in which -1 and NaN are what the policy says."""
        result = np.where(np.isnan(values), BLANK_LABELS[self.blank], values)
        return np.where(values == -1.0, UNCERTAIN_LABELS[self.uncertain], result)

    def to_json(self) -> dict[str, str]:
        """The policy by name."""
        return asdict(self)
