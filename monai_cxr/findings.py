"""Findings: the 14 labels of ChestX-ray14, and the sourced codes that reports state them with."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from monai_cxr.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Code:
    """A concept of a terminology.

    Attributes:
        value: Code value, for example ``"60046008"``.
        scheme: Coding scheme designator of DICOM PS3.16: ``"SCT"``, ``"RADLEX"``, ``"DCM"`` or
            a private ``"99..."``.
        meaning: Code meaning.
        source: Where the row was verified.
    """

    value: str
    scheme: str
    meaning: str
    source: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One label.

    Attributes:
        name: NIH's spelling, also the name of its columns.
        code: SNOMED CT code where one is verified, else a private code.
        radlex: RadLex code, or None where RadLex 4.3 has none.
        site: SNOMED CT body structure.
        chexpert: Name in CheXpert's label set, or None.
        torchxrayvision: Name in torchxrayvision's pathologies.
        urgency: 1 (act now) to 3 (routine); after the ACR Actionable Findings categories.
        aliases: Other spellings met in tables, compared case- and punctuation-insensitively.

    Example:
        >>> FINDINGS["Effusion"].code.value
        '60046008'
        >>> FINDINGS["Pleural_Thickening"].title
        'Pleural thickening'
    """

    name: str
    code: Code
    radlex: Code | None
    site: Code
    chexpert: str | None
    torchxrayvision: str
    urgency: int
    aliases: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name for people: no underscore, sentence case."""
        return self.name.replace("_", " ").capitalize()


_REVIEWED = "terminology review of November 2026, check digit verified"
_LUNG = Code("39607008", "SCT", "Lung", _REVIEWED)
_HEART = Code("80891009", "SCT", "Heart", _REVIEWED)
_PLEURA = Code("3120008", "SCT", "Pleura", _REVIEWED)
_DIAPHRAGM = Code("5798000", "SCT", "Diaphragm", _REVIEWED)


def _sct(value: str, meaning: str, source: str) -> Code:
    return Code(value, "SCT", meaning, source)


def _radlex(value: str, meaning: str, source: str) -> Code:
    return Code(value, "RADLEX", meaning, source)


_EXACT = "RadLex 4.3, exact match"

# fmt: off
ATELECTASIS = Finding(
    "Atelectasis", _sct("46621007", "Atelectasis", "MedDRA 10003598 to SNOMED CT FHIR concept map"),
    _radlex("RID28493", "atelectasis", _EXACT), _LUNG, "Atelectasis", "Atelectasis", 3)
CARDIOMEGALY = Finding(
    "Cardiomegaly", _sct("8186001", "Cardiomegaly", "six public maps agree"),
    None, _HEART, "Cardiomegaly", "Cardiomegaly", 3, ("enlarged heart",))
EFFUSION = Finding(
    "Effusion", _sct("60046008", "Pleural effusion", "DICOM PS3.16 CID 645 and 8134"),
    _radlex("RID34539", "pleural effusion", _EXACT), _PLEURA, "Pleural Effusion", "Effusion", 2,
    ("Pleural Effusion",))
INFILTRATION = Finding(
    "Infiltration", _sct("409609008", "Radiologic infiltrate of lung", "UMLS 2016AA"),
    None, _LUNG, None, "Infiltration", 3, ("Infiltrate",))
MASS = Finding(
    "Mass", _sct("309529002", "Lung mass", "HL7 FHIR genomics examples; OHDSI 4203096"),
    _radlex("RID39056", "lung mass", _EXACT), _LUNG, "Lung Lesion", "Mass", 2)
NODULE = Finding(
    "Nodule", _sct("786838002", "Nodule of lung", "SNOMED CT AU edition 2023-07-31"),
    _radlex("RID50149", "pulmonary nodule", _EXACT), _LUNG, "Lung Lesion", "Nodule", 2)
PNEUMONIA = Finding(
    "Pneumonia", _sct("233604007", "Pneumonia", "more than four public maps agree"),
    _radlex("RID5350", "pneumonia", _EXACT), _LUNG, "Pneumonia", "Pneumonia", 2)
PNEUMOTHORAX = Finding(
    "Pneumothorax", _sct("36118008", "Pneumothorax", "DICOM PS3.16 CID 6102 and 6105"),
    _radlex("RID5352", "pneumothorax", _EXACT), _PLEURA, "Pneumothorax", "Pneumothorax", 1)
CONSOLIDATION = Finding(
    "Consolidation", _sct("95436008", "Lung consolidation", "OHDSI 4318404"),
    _radlex("RID43255", "consolidation", _EXACT), _LUNG, "Consolidation", "Consolidation", 2)
EDEMA = Finding(
    "Edema", _sct("19242006", "Pulmonary edema", "DICOM PS3.16 CID 3700"),
    _radlex("RID4866", "pulmonary edema", _EXACT), _LUNG, "Edema", "Edema", 2,
    ("Pulmonary Edema",))
EMPHYSEMA = Finding(
    "Emphysema", _sct("87433001", "Pulmonary emphysema", "several public maps (ICD-10 J43.9)"),
    _radlex("RID4799", "emphysema", "RadLex 4.3"), _LUNG, None, "Emphysema", 3)
FIBROSIS = Finding(
    "Fibrosis", _sct("51615001", "Fibrosis of lung", "several public maps"),
    _radlex("RID3820", "fibrosis", "UMIE map (one source, generic concept)"), _LUNG, None,
    "Fibrosis", 3)
PLEURAL_THICKENING = Finding(
    "Pleural_Thickening",
    Code("PLTHICK", "99MONAICXR", "Pleural thickening", "private: no SNOMED CT code verified"),
    None, _PLEURA, "Pleural Other", "Pleural_Thickening", 3, ("Pleural Thickening",))
HERNIA = Finding(
    "Hernia", _sct("84089009", "Hiatal hernia", "four public maps (ICD-10 K44.9)"),
    _radlex("RID4895", "hernia", "UMIE map (one source, generic concept)"), _DIAPHRAGM, None,
    "Hernia", 3, ("Hiatal Hernia",))
# fmt: on


class FindingSet:
    """An ordered set of findings; the order is the order of a model's outputs.

    Args:
        findings: The findings, without repeats.

    Raises:
        SettingsError: If a finding is repeated or none is given.

    Example:
        >>> len(FINDINGS)
        14
        >>> "pleural effusion" in FINDINGS
        True
    """

    __slots__ = ("_by_alias", "_findings")

    def __init__(self, findings: Iterable[Finding]) -> None:
        """Keep the order and index every spelling."""
        self._findings = tuple(findings)
        names = [finding.name for finding in self._findings]
        if not names or len(set(names)) != len(names):
            raise SettingsError(f"Expected one or more distinct findings, but got {names}.")
        self._by_alias = {
            _folded(alias): finding
            for finding in self._findings
            for alias in (finding.name, finding.torchxrayvision, *finding.aliases)
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The names in order."""
        return tuple(finding.name for finding in self._findings)

    def __iter__(self) -> Iterator[Finding]:
        """The findings in order."""
        return iter(self._findings)

    def __len__(self) -> int:
        """How many findings there are."""
        return len(self._findings)

    def __contains__(self, name: object) -> bool:
        """Whether a name or a known alias belongs to this set."""
        return isinstance(name, str) and _folded(name) in self._by_alias

    def __getitem__(self, name: str) -> Finding:
        """The finding of a name or alias.

        Raises:
            SettingsError: If the name is unknown.
        """
        try:
            return self._by_alias[_folded(name)]
        except KeyError:
            raise SettingsError(
                f"Unknown finding '{name}'. Expected one of: {', '.join(self.names)}."
            ) from None

    def index(self, name: str) -> int:
        """Position of a finding in the model's output."""
        return self._findings.index(self[name])

    def __repr__(self) -> str:
        """Show the names."""
        return f"FindingSet({list(self.names)})"


def _folded(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


FINDINGS = FindingSet(
    (
        ATELECTASIS,
        CARDIOMEGALY,
        EFFUSION,
        INFILTRATION,
        MASS,
        NODULE,
        PNEUMONIA,
        PNEUMOTHORAX,
        CONSOLIDATION,
        EDEMA,
        EMPHYSEMA,
        FIBROSIS,
        PLEURAL_THICKENING,
        HERNIA,
    )
)
"""The 14 findings of ChestX-ray14 in NIH's order."""

FINDING_NAMES: tuple[str, ...] = FINDINGS.names
"""Their names, for column headers."""


_CHEST = Code("51185008", "SCT", "Chest", "DICOM PS3.16 CID 4")
_ROUTINE = 3


def finding_of(name: str) -> Finding:
    """What reports and messages say about a finding, including a bundle's own findings.

    Args:
        name: One of :data:`FINDING_NAMES` or an alias; or a name that a site has given.

    Returns:
        A finding of a site has a private code that is a function of its name, its name as the
        meaning, and the chest as its site. Both are in ASCII, because a result has the film's
        character set.

    Example:
        >>> finding_of("pleural effusion").code.value
        '60046008'
        >>> finding_of("Rib_fracture").code
        Code(value='OWNA05044BDE6557', scheme='99MONAICXR', meaning='Rib fracture', source='local')
    """
    if name in FINDINGS:
        return FINDINGS[name]
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    meaning = " ".join("".join(c if c.isprintable() else " " for c in plain).split())
    value = f"OWN{hashlib.sha256(name.encode()).hexdigest()[:13].upper()}"
    title = meaning.replace("_", " ").replace("\\", "/")[:64].strip().capitalize()
    code = Code(value, "99MONAICXR", title or "Finding of this site", "local")
    return Finding(meaning[:50].replace("\\", "/") or value, code, None, _CHEST, None, "", _ROUTINE)


def number_of(name: str, names: Sequence[str]) -> int:
    """Number of a finding among a model's, from 1; those beyond the 14 come after them.

    Args:
        name: The finding.
        names: All findings of the model.

    Raises:
        SettingsError: If the model has no such finding.
    """
    if name in FINDINGS:
        return FINDINGS.index(name) + 1
    own = [other for other in names if other not in FINDINGS]
    if name not in own:
        raise SettingsError(f"No finding '{name}'. Expected one of: {', '.join(names)}.")
    return len(FINDINGS) + own.index(name) + 1


def title_of(finding: str) -> str:
    """A finding's name for people: no underscore, sentence case."""
    return (
        FINDINGS[finding].title if finding in FINDINGS else finding.replace("_", " ").capitalize()
    )


def _dcm(value: str, meaning: str, source: str) -> Code:
    return Code(value, "DCM", meaning, source)


_CONCEPTS = "DICOM PS3.16 Annex D"

PROBABILITY = _dcm("122157", "Probability", _CONCEPTS)
COMMENT = _dcm("121106", "Comment", _CONCEPTS)
FINDING = _dcm("121071", "Finding", _CONCEPTS)
STUDY = _dcm("113014", "Study", _CONCEPTS)
SOURCE = _dcm("121112", "Source of Measurement", _CONCEPTS)
NO_UNITS = Code("1", "UCUM", "no units", "DICOM PS3.16 CID 7181")
PRESENCE = _sct("705057003", "Presence", "DICOM PS3.16 TID 1501")
PRESENT = _sct("52101004", "Present", "DICOM PS3.16 CID 240")
ABSENT = _sct("272519000", "Absent", "DICOM PS3.16 CID 240")
CLINICAL_FINDING = _sct("404684003", "Clinical finding", "DICOM PS3.16 TID 1501")
CHEST_RADIOGRAPHY = _sct("399208008", "Plain chest X-ray", "DICOM PS3.16 CID 100")
ARTIFICIAL_INTELLIGENCE = _dcm("123110", "Artificial Intelligence", _CONCEPTS)
DEVICE = _dcm("121007", "Device", _CONCEPTS)
REPORT_TITLE = _dcm("126000", "Imaging Measurement Report", _CONCEPTS)
IMAGING_MEASUREMENTS = _dcm("126010", "Imaging Measurements", _CONCEPTS)
MAP_METHODS = {
    "cam": _dcm("130402", "Class activation", "DICOM PS3.16 CID 217"),
    "grad_cam": _dcm("130403", "Gradient-weighted class activation", "DICOM PS3.16 CID 217"),
    "occlusion": _dcm("130404", "Saliency", "DICOM PS3.16 CID 217"),
}
"""What reports and messages say besides the findings; maps by the method that made them."""
