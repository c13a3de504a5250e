"""Published results: AUROC on ChestX-ray14 as printed, each with its split and its source.

Numbers on different splits are not comparable: the official test split is harder than the usual
random one by about 0.03. So results are only ever given for a stated split.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from monai_cxr.errors import SettingsError
from monai_cxr.findings import FINDING_NAMES

OFFICIAL_SPLIT = "official test"
RANDOM_SPLIT = "random by patient"
SPLITS = (OFFICIAL_SPLIT, RANDOM_SPLIT)
N_OFFICIAL_FILMS = 25_596
"""Films of the official test split."""


_SPELLINGS = {
    **dict.fromkeys(("official test", "official test split", "official test set"), OFFICIAL_SPLIT),
    **dict.fromkeys(("official", "test official"), OFFICIAL_SPLIT),
    **dict.fromkeys(("random by patient", "random", "random split by patient"), RANDOM_SPLIT),
}
"""Names of the splits, and no others: a text that merely holds such a word may deny it."""


@dataclass(frozen=True, slots=True)
class PublishedResult:
    """One row of a published table.

    Attributes:
        name: Authors or project, and year.
        split: :data:`OFFICIAL_SPLIT`, :data:`RANDOM_SPLIT`, or ``"other"``: its own, or not stated,
            so that nothing can be held against it.
        source: Where it is printed.
        macro: Mean AUROC as printed.
        auroc: 14 AUROCs in NIH's order, or empty where only the mean is published.
        note: What a reader must know.
    """

    name: str
    split: str
    source: str
    macro: float
    auroc: tuple[float, ...] = ()
    note: str = ""

    def by_finding(self) -> dict[str, float]:
        """AUROC by finding; empty where only the mean is published."""
        return dict(zip(FINDING_NAMES, self.auroc, strict=False))


@cache
def all_results() -> tuple[PublishedResult, ...]:
    """Every published result that the package knows, from ``published_results.csv``."""
    table = files("monai_cxr.report").joinpath("published_results.csv")
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    return tuple(
        PublishedResult(
            row["name"],
            row["split"],
            row["source"],
            float(row["macro"]),
            tuple(float(row[name]) for name in FINDING_NAMES) if row[FINDING_NAMES[0]] else (),
            row["note"],
        )
        for row in rows
    )


def split_named(text: str) -> str:
    """The name of a split in this module if the text is one of its spellings, or else the text."""
    words = " ".join(text.casefold().replace("-", " ").replace("_", " ").split())
    return _SPELLINGS.get(words, text)


def published_results(split: str) -> tuple[PublishedResult, ...]:
    """Results on one split; none are given across splits.

    Args:
        split: :data:`OFFICIAL_SPLIT` or :data:`RANDOM_SPLIT`.

    Returns:
        The rows of that split, in the order of the file.

    Raises:
        SettingsError: If the split has no published results.
    """
    if split not in SPLITS:
        raise SettingsError(
            f"Expected a split of published results, {' or '.join(SPLITS)}, but got '{split}'."
        )
    return tuple(result for result in all_results() if result.split == split)


def results_beside(data: str, split: str) -> tuple[PublishedResult, ...]:
    """Results on the split of an evaluation; none where its data or split is another."""
    known = split in SPLITS and "chestx-ray14" in data.casefold()
    return published_results(split) if known else ()
