"""Official test: whether films are of NIH's official test split, by their names.

The split is by patient (2,797 of 30,805 patients, 25,596 films), and a film's name begins with its
patient: ``00000013_004.png``. So ``official_test_patients.txt`` holds one bit a patient, as NIH's
``test_list.txt`` has them; ``tests/report/test_official_test.py`` holds it against the lists.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from monai_cxr.errors import InvalidTable
from monai_cxr.report.published import OFFICIAL_SPLIT

_NIH_NAME = re.compile(r"(?:^|/)(\d{8})_\d{3}(?:\.\w+)?$")


@cache
def official_test_patients() -> frozenset[int]:
    """Numbers of the patients of the official test split."""
    text = files("monai_cxr.report").joinpath("official_test_patients.txt").read_text("ascii")
    bits = zlib.decompress(base64.b64decode(text))
    return frozenset(8 * i + j for i, byte in enumerate(bits) for j in range(8) if byte >> j & 1)


def patients_to_text(patients: Iterable[int]) -> str:
    """What the file of the package holds for these patients."""
    numbers = set(patients)
    bits = bytearray(max(numbers) // 8 + 1)
    for number in numbers:
        bits[number >> 3] |= 1 << (number & 7)
    text = base64.b64encode(zlib.compress(bytes(bits), 9)).decode("ascii")
    return "\n".join(text[i : i + 100] for i in range(0, len(text), 100)) + "\n"


def require_official_names(names: Iterable[str], data: str, split: str) -> list[str]:
    """Hold a claim of the official test split against the names of the films.

    Args:
        names: Of the films, or their paths.
        data: Name of the data set, as stated.
        split: Name of the split, as :func:`monai_cxr.report.published.split_named` gives it.

    Returns:
        A sentence where the names are not NIH's, so that the claim cannot be checked; else none.

    Raises:
        InvalidTable: ``"not_official_test"`` if a film of NIH's is in the other list.
    """
    if split != OFFICIAL_SPLIT or not ("chestx-ray14" in data.casefold() or not data):
        return []
    given = list(names)
    found = [(name, _NIH_NAME.search(name)) for name in given]
    numbered = [(name, int(match[1])) for name, match in found if match is not None]
    others = [name for name, patient in numbered if patient not in official_test_patients()]
    if others:
        raise InvalidTable(
            f"The split is called '{OFFICIAL_SPLIT}', but {len(others):,} of {len(given):,} films "
            f"are not in NIH's test_list.txt, the first is '{others[0].rsplit('/', 1)[-1]}'. Leave "
            "them out, or give the split its own name (--split).",
            reason="not_official_test",
        )
    if len(numbered) < len(given):
        return [
            f"The split is called '{OFFICIAL_SPLIT}', but {len(given) - len(numbered):,} of "
            f"{len(given):,} films have no name of NIH's, so it could not be held against its list."
        ]
    return []
