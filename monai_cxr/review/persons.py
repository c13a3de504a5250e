"""Persons: whom and when a film shows, by its header; two people are never taken for one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pydicom import Dataset

from monai_cxr.dicom.header import elements
from monai_cxr.dicom.header.parsing import is_dicom
from monai_cxr.dicom.reader import DicomFile, open_dicom
from monai_cxr.radiograph import InstanceKey

_YEARS_APART = 1.6
"""An age is rounded, by some makers twice: birth years of one person differ by less than this."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Person:
    """Who is on a film, as far as its header says; it stays on the server.

    Attributes:
        patient_id: PatientID (0010,0020).
        name: PatientName (0010,0010), compared and never shown.
        birth_date: PatientBirthDate (0010,0030), ``YYYYMMDD``.
        sex: ``"M"``, ``"F"``, ``"O"`` or ``""``.
        birth_year: Year of the birth date, or of the study less the age; None without both.
    """

    patient_id: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    birth_date: str = field(default="", repr=False)
    sex: str = ""
    birth_year: float | None = field(default=None, repr=False)

    @property
    def stated(self) -> int:
        """How many of the five are stated."""
        named = (self.patient_id, self.name, self.birth_date, self.sex)
        return sum(map(bool, named)) + (self.birth_year is not None)


@dataclass(frozen=True, slots=True)
class FilmHeader:
    """The header's facts that order a film and identify its person.

    Attributes:
        key: Identity.
        person: Who.
        date: StudyDate (0008,0020), ``YYYYMMDD`` or ``""``.
        time: AcquisitionTime (0008,0032), else ContentTime (0008,0033), else StudyTime
            (0008,0030), of the same day; ``HHMMSS`` or ``""``.
        accession: AccessionNumber (0008,0050).
        patient_age_years: At the study, or None.
    """

    key: InstanceKey
    person: Person = field(default_factory=Person)
    date: str = ""
    time: str = ""
    accession: str = field(default="", repr=False)
    patient_age_years: float | None = None


def film_header(data: bytes, name: str = "") -> FilmHeader:
    """Read who and when from a file; only the header is parsed.

    Args:
        data: The whole file.
        name: Name of the film, used if it has no SOP Instance UID.

    Raises:
        UnreadableImage: If it is DICOM and its header is damaged.
    """
    if not is_dicom(data):
        return FilmHeader(InstanceKey("", "", "", name))
    return header_of(open_dicom(data))


def header_of(dicom: DicomFile) -> FilmHeader:
    """The same, of an opened file."""
    dataset, facts = dicom.parsed.dataset, dicom.facts
    born = re.fullmatch(
        r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})", elements.text(dataset, "PatientBirthDate")
    )
    birth_date = "".join(born.groups()) if born else ""
    year = birth_year(birth_date, facts.acquired, facts.patient_age_years)
    name = elements.without_accents(elements.text(dataset, "PatientName")).casefold()
    return FilmHeader(
        facts.key,
        Person(facts.key.patient_id, _bare(name), birth_date, facts.patient_sex, year),
        facts.acquired,
        next((time for keyword in _times(dataset) if (time := _clock(dataset, keyword))), ""),
        elements.text(dataset, "AccessionNumber"),
        facts.patient_age_years,
    )


def _times(dataset: Dataset) -> tuple[str, ...]:
    """Keywords of times that belong to the study's day, the most exact one first."""
    day = elements.text(dataset, "StudyDate")
    exact = [
        f"{name}Time"
        for name in ("Acquisition", "Content")
        if elements.text(dataset, f"{name}Date") in ("", day)
    ]
    return (*exact, "StudyTime")


def _clock(dataset: Dataset, keyword: str) -> str:
    said = elements.text(dataset, keyword).replace(":", "")
    match = re.match(r"([01]\d|2[0-3])([0-5]\d)?([0-5]\d)?", said)
    return "".join(part or "00" for part in match.groups()) if match else ""


def _bare(name: str) -> str:
    return " ".join(re.split(r"[\^=\s,.]+", name)).strip()


def birth_year(birth_date: str, study_date: str, age_years: float | None) -> float | None:
    """Year of birth with its fraction, from the birth date or else from the age at the study."""
    if birth_date:
        return int(birth_date[:4]) + (int(birth_date[4:6]) - 1) / 12
    if age_years is None or not study_date:
        return None
    return int(study_date[:4]) + (int(study_date[4:6]) - 1) / 12 - age_years


def differences(one: Person, other: Person) -> tuple[str, ...]:
    """The differences between two people; empty if they may be one.

    A name alone tells nobody apart where sex and date of birth agree: people marry. What one of
    them does not state tells nothing.

    Returns:
        Of ``"patient ID"``, ``"sex"``, ``"date of birth"``, ``"age"`` and ``"name"``.
    """
    found = [
        word
        for word, mine, theirs in (
            ("patient ID", one.patient_id, other.patient_id),
            ("sex", one.sex, other.sex),
            ("date of birth", one.birth_date, other.birth_date),
        )
        if mine and theirs and mine != theirs
    ]
    dated = bool(one.birth_date and other.birth_date)
    years = [year for year in (one.birth_year, other.birth_year) if year is not None]
    if not dated and len(years) == 2 and abs(years[0] - years[1]) > _YEARS_APART:
        found.append("age")
    same = dated and one.birth_date == other.birth_date and one.sex == other.sex
    if one.name and other.name and one.name != other.name and not same:
        found.append("name")
    return tuple(found)


def by_person(items: Sequence[Item], person_of: Callable[[Item], Person]) -> list[list[Item]]:
    """Part films by whom they show, whatever the order in which they came.

    Args:
        items: Films.
        person_of: Whom a film shows.

    Returns:
        A group a person, the films of each in their order. A film that fits no person, or more
        than one, is a group of its own.
    """
    ordered = sorted(items, key=lambda item: _ranked(person_of(item)))
    groups: list[list[Item]] = []
    for item in ordered:
        person = person_of(item)
        fitting = [
            group
            for group in groups
            if not any(differences(person, person_of(member)) for member in group)
        ]
        if len(fitting) == 1:
            fitting[0].append(item)
        else:
            groups.append([item])
    place = {id(item): number for number, item in enumerate(items)}
    return [sorted(group, key=lambda item: place[id(item)]) for group in groups]


def _ranked(person: Person) -> tuple[int, str, str, str, str]:
    return -person.stated, person.patient_id, person.birth_date, person.sex, person.name


def named(person: Person) -> str:
    """What sets a person's films apart in an opaque name."""
    year = "" if person.birth_year is None else f"{person.birth_year:.0f}"
    return "\n".join((person.patient_id, person.sex, person.birth_date or year, person.name))
