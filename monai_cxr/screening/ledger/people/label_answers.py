"""Label answers: what readers of a label audit said; append-only, the newest counts."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import func, select

from monai_cxr.errors import SettingsError
from monai_cxr.screening.ledger import audit
from monai_cxr.screening.ledger.database import Ledger, insert_new
from monai_cxr.screening.ledger.schema import label_answers, values_of

READER, ADJUDICATION = "reader", "adjudication"
ROLES = (READER, ADJUDICATION)
"""Whether somebody judged a film by themselves, or decided where others differ."""

_KEYS = ("audit", "sop_uid", "finding", "reader", "turn")


@dataclass(frozen=True, slots=True)
class LabelAnswer:
    """One word on one film and finding.

    Attributes:
        audit: Name of the audit: of its films and findings.
        sop_uid: The film.
        finding: What was asked.
        reader: Who.
        turn: 1 for the reader's first word on this film, 2 for the next, ...
        role: One of :data:`ROLES`.
        answer: One of :data:`monai_cxr.labels.answers.ANSWERS`; ``""`` takes the last one back.
        film_sha256: Digest of the file that was shown, or ``""`` where none could be.
        seconds: From the film on the screen to this word.
        answered_at: POSIX seconds; 0 for the ledger's own clock.
    """

    audit: str
    sop_uid: str = field(repr=False)
    finding: str
    reader: str = field(repr=False)
    turn: int
    role: str
    answer: str
    film_sha256: str = ""
    seconds: float = 0.0
    answered_at: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a nameless reader, an unknown role and a turn below 1."""
        if not self.reader:
            raise SettingsError("Expected the name of the reader, but got an empty one.")
        if self.role not in ROLES or self.turn < 1:
            raise SettingsError(
                f"Expected a role of {', '.join(ROLES)} and a turn from 1, but got '{self.role}' "
                f"and {self.turn}."
            )


def add(ledger: Ledger, said: LabelAnswer) -> bool:
    """Keep an answer, unless another tab or a second press came first.

    Returns:
        Whether it was kept: one answer per reader, film, finding and turn.
    """
    now = said.answered_at or ledger.clock()
    row = values_of(said, said.__dataclass_fields__) | {"answered_at": now}
    detail = {"finding": said.finding, "answer": said.answer, "role": said.role}
    with ledger.write() as connection:
        last = connection.execute(
            select(func.max(label_answers.c.turn)).where(
                *(label_answers.c[name] == getattr(said, name) for name in _KEYS[:-1])
            )
        ).scalar()
        if said.turn != (last or 0) + 1:
            return False
        if not insert_new(connection, label_answers, [row], _KEYS):
            return False
        action = "label answered" if said.answer else "label answer taken back"
        audit.record(connection, said.reader, action, said.sop_uid, detail, now=now)
    return True


def of_audit(ledger: Ledger, name: str) -> list[LabelAnswer]:
    """Every answer of an audit, oldest first, those that were taken back among them."""
    query = select(label_answers).where(label_answers.c.audit == name).order_by(label_answers.c.id)
    with ledger.read() as connection:
        return [_answer(row._asdict()) for row in connection.execute(query)]


def _answer(row: dict[str, object]) -> LabelAnswer:
    return LabelAnswer(**{name: value for name, value in row.items() if name != "id"})  # type: ignore[arg-type]
