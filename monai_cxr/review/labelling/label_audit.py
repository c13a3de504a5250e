"""Label audit: one question per film for several readers, who see neither its label nor a score.

What a reader is asked, and in which order, follows from the films and the reader alone: labels,
scores and places in the queue never come into it, so that no answer of the server tells them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monai_cxr.dicom.header.parsing import is_dicom
from monai_cxr.dicom.reader import open_dicom
from monai_cxr.errors import InputError, UnreadableImage
from monai_cxr.labels.answers import ANSWERS
from monai_cxr.labels.audit_folder import AuditFolder
from monai_cxr.reading.files import read_bytes
from monai_cxr.review.cases import opaque
from monai_cxr.screening.ledger.people.label_answers import ADJUDICATION, READER, LabelAnswer

UNREADABLE = "unreadable"
"""The one answer to a film that cannot be shown."""

_DIFFERING = 2


@dataclass(frozen=True, slots=True)
class AuditItem:
    """One film and what is asked of it.

    Attributes:
        name: Opaque; what browsers call it.
        sop_uid: The film.
        finding: What is asked.
        path: Its file.
        sha256: Digest of the file when it was audited; ``""`` where that is not known.
    """

    name: str
    sop_uid: str = field(repr=False)
    finding: str
    path: str = field(repr=False)
    sha256: str = field(repr=False)

    @property
    def key(self) -> tuple[str, str]:
        """Film and finding."""
        return self.sop_uid, self.finding


@dataclass(frozen=True, slots=True, repr=False)
class AuditedFilm:
    """The file of an item, read now.

    Attributes:
        film_id: Opaque name, of the SOP Instance UID and the content.
        data: The file.
        sha256: Of it.
        study_uid: Study Instance UID, or ``""``.
    """

    film_id: str
    data: bytes
    sha256: str
    study_uid: str


@dataclass(frozen=True, slots=True, repr=False)
class Standing:
    """What has been said so far.

    Attributes:
        said: By film and finding, the answers that stand, by reader.
        turns: By film, finding and reader, how many words there were, those taken back too.
        order: Answers that stand, oldest first.
    """

    said: dict[tuple[str, str], dict[str, LabelAnswer]]
    turns: dict[tuple[str, str, str], int]
    order: tuple[LabelAnswer, ...]

    @classmethod
    def of(cls, answers: Sequence[LabelAnswer]) -> Standing:
        """What stands after some answers, oldest first."""
        last: dict[tuple[str, str, str], LabelAnswer] = {}
        for one in answers:
            key = (one.sop_uid, one.finding, one.reader)
            last.pop(key, None)
            last[key] = one
        said: dict[tuple[str, str], dict[str, LabelAnswer]] = {}
        order = tuple(one for one in last.values() if one.answer)
        for one in order:
            said.setdefault((one.sop_uid, one.finding), {})[one.reader] = one
        return cls(said, {key: one.turn for key, one in last.items()}, order)

    def by(self, item: AuditItem, reader: str) -> LabelAnswer | None:
        """What a reader said of an item, or None."""
        return self.said.get(item.key, {}).get(reader)

    def next_turn(self, item: AuditItem, reader: str) -> int:
        """Number of a reader's next word on an item."""
        return self.turns.get((*item.key, reader), 0) + 1

    def differs(self, item: AuditItem) -> bool:
        """Whether readers differ on an item and nobody has decided."""
        there = self.said.get(item.key, {}).values()
        if any(one.role == ADJUDICATION for one in there):
            return False
        return len({one.answer for one in there}) >= _DIFFERING

    def last_of(self, reader: str, role: str) -> LabelAnswer | None:
        """The last answer of a reader that stands."""
        mine = (one for one in reversed(self.order) if (one.reader, one.role) == (reader, role))
        return next(mine, None)


class AuditQuestions:
    """The questions of an audit.

    Args:
        folder: What ``labels audit`` wrote.
        secret: Key of the opaque names.
    """

    def __init__(self, folder: AuditFolder, *, secret: bytes) -> None:
        self.folder = folder
        self._secret = secret
        unique = folder.queue.drop_duplicates(["finding", "sop_uid"])
        digests = unique["sha256"].fillna("") if "sha256" in unique else [""] * len(unique)
        rows = zip(unique["sop_uid"], unique["finding"], unique["path"], digests, strict=True)
        self.items = tuple(
            AuditItem(
                opaque(secret, f"label audit\n{uid}\n{name}"),
                str(uid),
                str(name),
                str(path),
                str(d),
            )
            for uid, name, path, d in rows
        )
        self._by_name = {item.name: item for item in self.items}
        self._by_key = {item.key: item for item in self.items}

    @property
    def name(self) -> str:
        """Under which its answers are kept."""
        return self.folder.name

    def item(self, name: str) -> AuditItem:
        """An item by its opaque name.

        Raises:
            InputError: If there is none.
        """
        found = self._by_name.get(name)
        if found is None:
            raise InputError("This audit has no such question.", reason="missing_file")
        return found

    def item_of(self, answer: LabelAnswer) -> AuditItem | None:
        """The item that somebody answered."""
        return self._by_key.get((answer.sop_uid, answer.finding))

    def in_order(self, reader: str) -> list[AuditItem]:
        """All items, finding by finding, in an order of the reader's own that says nothing."""

        def place(item: AuditItem) -> tuple[str, str]:
            text = f"{self.name}\n{reader}\n{item.sop_uid}\n{item.finding}"
            return item.finding, hashlib.sha256(text.encode()).hexdigest()

        return sorted(self.items, key=place)

    def asked(self, reader: str, role: str, standing: Standing) -> list[AuditItem]:
        """What a reader has left to say, in their order.

        Args:
            reader: Who.
            role: To judge by themselves, or to decide where others differ; nobody decides on a
                film that they judged.
            standing: What has been said.
        """
        items = (one for one in self.in_order(reader) if standing.by(one, reader) is None)
        return [one for one in items if role == READER or standing.differs(one)]

    def film(self, item: AuditItem) -> AuditedFilm:
        """The film of an item; the one that was audited, or none.

        Raises:
            UnreadableImage: If the file is gone, was changed, or is another film's.
        """
        data = read_bytes(Path(item.path))[0]
        digest, study_uid = hashlib.sha256(data).hexdigest(), ""
        if item.sha256 and digest != item.sha256:
            raise UnreadableImage(
                "The file is another than the one that was audited, so it is not shown.",
                reason="changed_file",
            )
        if is_dicom(data):
            key = open_dicom(data).facts.key
            study_uid = key.study_uid
            if key.sop_uid and key.sop_uid != item.sop_uid:
                raise UnreadableImage(
                    "The file holds another film than the one that was audited, so it is not "
                    "shown.",
                    reason="another_film",
                )
        film_id = opaque(self._secret, f"{item.sop_uid}\n{digest}")
        return AuditedFilm(film_id, data, digest, study_uid)

    def answer(
        self, item: AuditItem, *, reader: str, role: str, answer: str, film_id: str, turn: int
    ) -> LabelAnswer:
        """A reader's word, checked against the film that was on their screen.

        Args:
            item: What was asked.
            reader: Who.
            role: See :meth:`asked`.
            answer: One of :data:`monai_cxr.labels.answers.ANSWERS`.
            film_id: Of the film on the screen; ``""`` where it could not be shown.
            turn: Of the word, as the question stated it.

        Raises:
            InputError: If the answer is unknown, the film is another one now, or nothing but
                "unreadable" can be said.
        """
        if answer not in ANSWERS:
            raise InputError(
                f"Expected an answer of {', '.join(ANSWERS)}, but got '{answer[:20]}'.",
                reason="bad_label",
            )
        digest = ""
        if film_id:
            film = self.film(item)
            digest = film.sha256
            if film.film_id != film_id:
                raise InputError(
                    "The film on your screen is not the one that was asked about; nothing was "
                    "stored.",
                    reason="another_film",
                )
        elif answer != UNREADABLE:
            raise InputError(
                "This film was not shown, so nothing can be said of it but that.",
                reason="another_film",
            )
        return LabelAnswer(
            self.name, item.sop_uid, item.finding, reader, turn, role, answer, digest
        )
