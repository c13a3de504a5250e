"""Stores: what keeps reviews, answers and the audit, whether a ledger or a file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from monai_cxr.review.reviews import Change, Review
from monai_cxr.screening.ledger.people.label_answers import LabelAnswer
from monai_cxr.screening.ledger.people.reviews import ReviewRow


@dataclass(frozen=True, slots=True)
class Access:
    """One line of the audit: who did what with which study.

    Attributes:
        at: POSIX seconds.
        user: Login name or address.
        role: Their role then.
        action: ``"opened"``, ``"finished"``, ``"exported"``, ``"uploaded"``, ``"denied"`` ...
        study_uid: Which study, or ``""``.
    """

    at: float
    user: str
    role: str
    action: str
    study_uid: str = ""

    def __repr__(self) -> str:
        """What was done: no user, no study."""
        return f"Access(action={self.action!r})"


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """Which lines of the audit.

    Attributes:
        user: Only of this person; ``""``: of all.
        study_uid: Only of this study; ``""``: of all.
        since: Only from this time on, in POSIX seconds.
        until: Only before this time.
        only_people: Without what the service did by itself.
        offset: How many of the newest to leave out.
    """

    user: str = ""
    study_uid: str = ""
    since: float = -math.inf
    until: float = math.inf
    only_people: bool = False
    offset: int = 0


class ReviewStore(Protocol):
    """Where reviews and the audit are kept: the screening ledger, or a file of the same schema."""

    def save(self, review: Review) -> None:
        """Keep a review; the last one of a study, reader and model counts.

        Raises:
            DeliveryError: If the store is locked or gone; nothing was kept, try again.
        """
        ...

    def merge(self, change: Change) -> Review:
        """Add a change to the stored review, and return the result.

        Raises:
            DeliveryError: If the store is locked, full or gone; nothing was kept, try again.
        """
        ...

    def reviews(self) -> Sequence[Review]:
        """The last review of each study, reader and model, oldest first."""
        ...

    def of_study(self, study_uid: str) -> Sequence[Review]:
        """The same, of one study."""
        ...

    def words(self) -> Sequence[ReviewRow]:
        """Every word of every reader as it was said, oldest first."""
        ...

    def record(self, access: Access) -> None:
        """Add a line to the audit."""
        ...

    def accesses(self, limit: int, asked: Asked | None = None) -> Sequence[Access]:
        """The last lines of the audit, the newest first.

        Args:
            limit: How many at most.
            asked: Which lines; None: all.
        """
        ...

    def answer(self, said: LabelAnswer) -> bool:
        """Keep a reader's answer of a label audit.

        Returns:
            False where another tab or a second press came first, and nothing was kept.

        Raises:
            DeliveryError: If the store is locked, full or gone; nothing was kept, try again.
        """
        ...

    def answers(self, audit: str) -> Sequence[LabelAnswer]:
        """Every answer of a label audit, oldest first, those that were taken back among them."""
        ...
