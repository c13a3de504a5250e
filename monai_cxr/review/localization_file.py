"""Localization file: for which findings ``inspection.json`` shows that a model's maps localize."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from monai_cxr.evaluation.json_values import interval_from_json
from monai_cxr.prediction import Interval
from monai_cxr.review.performance_file import PerformanceFile
from monai_cxr.review.words import percent

_NAME = "inspection.json"
_FORMAT = "monai_cxr inspection"


@dataclass(frozen=True, slots=True)
class Localized:
    """How often the hottest point of a finding's map lay in the reference.

    Attributes:
        n: Films with a reference.
        pointing: Share of hits, with a 95 % interval.
        by_chance: Share that a random point would hit.
    """

    n: int
    pointing: Interval
    by_chance: float

    @property
    def shown(self) -> bool:
        """Whether hits are more than chance, so that a box may be drawn."""
        return self.pointing.low > self.by_chance

    @property
    def sentence(self) -> str:
        """What it means for a reader."""
        low, high = percent(self.pointing.low), percent(self.pointing.high)
        seen = (
            f"on {self.n} films with reference boxes its hottest point was inside in "
            f"{percent(self.pointing.estimate)} ({low} to {high}), by chance in "
            f"{percent(self.by_chance)}"
        )
        if self.shown:
            return f"Place: {seen}. Key b draws its box."
        return f"Place: {seen}: not more than chance, so no box is drawn."


UNKNOWN = "Place: it was not measured whether its map points to the finding, so no box is drawn."


def localized_findings(performance: PerformanceFile | None) -> Mapping[str, Localized]:
    """What is known by finding; empty without the file that lies beside ``performance.json``."""
    if performance is None:
        return {}
    try:
        text = performance.path.with_name(_NAME).read_text(encoding="utf-8")
        content = json.loads(text)
        if content["format"] != _FORMAT:
            return {}
        return {
            str(item["finding"]): Localized(
                int(item["n"]), interval_from_json(item["pointing"]), float(item["by_chance"])
            )
            for item in content["localization"]
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}
