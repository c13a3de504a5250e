"""Service: what all pages and routes share: cases, model, store, settings; one per process."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from clinical_app.admission.access import Identity
from clinical_app.admission.grants import Grants
from clinical_app.presence import Presence
from clinical_app.settings import ViewerSettings
from monai_cxr.bundle.digests import fingerprint
from monai_cxr.bundle.model import BundleModel
from monai_cxr.errors import DeliveryError
from monai_cxr.evaluation.decisions.conformal import ConformalRule
from monai_cxr.monitoring.drift import Reference
from monai_cxr.review.cases import Case, CaseSource
from monai_cxr.review.film_packing import gzipped
from monai_cxr.review.labelling.label_audit import AuditedFilm, AuditQuestions
from monai_cxr.review.payload import film_payload, heat_payload, thumbnail
from monai_cxr.review.performance_file import (
    Localized,
    PerformanceFile,
    conformal_rules,
    localized_findings,
)
from monai_cxr.review.priors import Priors
from monai_cxr.review.reviews import Review
from monai_cxr.review.stores import Access, ReviewStore
from monai_cxr.review.uploads import Owner, Uploads
from monai_cxr.review.watching.drifting import find_references
from monai_cxr.review.worklist import reviews_of
from monai_cxr.screening.ledger import Ledger

UPLOADS_ONLY = "uploads only"
"""Name of a source without cases."""

_MOST_SEEN = 20_000
_FILM_BYTES = 384 * 2**20
_HEAT_BYTES = 64 * 2**20
_THUMBNAIL_BYTES = 16 * 2**20


class _Kept:
    """The last payloads, up to a number of bytes, each by the name of its film."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._lock = threading.Lock()
        self._values: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str, make: Callable[[], bytes]) -> bytes:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            total = sum(map(len, self._values.values()))
            while total > self._most and len(self._values) > 1:
                total -= len(self._values.popitem(last=False)[1])
        return value


def _name(case: Case, image: int) -> str:
    """What a cache calls an image: by the film itself, never by its place in the study."""
    film = case.images[image]
    return film.film_id or f"{case.case_id}/{film.key.sop_uid}"


@dataclass(slots=True)
class Service:
    """What a running viewer holds.

    Attributes:
        source: Where cases come from.
        store: Where reviews and the audit are kept.
        settings: Of the viewer.
        model: Or None: films can then be looked at only.
        bundle: Folder of the model's bundle, or None.
        performance: What is known of the model, or None.
        local_user: Name of whoever sits at this machine.
        label_audit: Films and questions of a label audit, or None.
        ledger: Of a screening service, with its charts, alarms and reports, or None.
        registry: Folder of the versions of the model, or None.
        grants: Links to films.
        presence: Who has which study open.
        priors: Other studies of a person.
        uploads: Films that were dropped into the browser, in memory only.
        saving: Held while a change of a review is merged.
        audit_gaps: Lines that the audit lacks because the store did not answer.
        rules: Conformal rules by finding.
        localized: Whether the model's maps point to a finding, by finding.
        references: How scores and pictures were distributed when the model was calibrated.
    """

    source: CaseSource
    store: ReviewStore
    settings: ViewerSettings
    model: BundleModel | None = None
    bundle: Path | None = None
    performance: PerformanceFile | None = None
    local_user: str = "local reader"
    label_audit: AuditQuestions | None = None
    ledger: Ledger | None = None
    registry: Path | None = None
    grants: Grants = field(init=False)
    presence: Presence = field(default_factory=Presence)
    priors: Priors = field(init=False)
    uploads: Uploads = field(default_factory=Uploads)
    saving: threading.Lock = field(default_factory=threading.Lock)
    audit_gaps: int = 0
    rules: dict[str, ConformalRule] = field(init=False)
    localized: Mapping[str, Localized] = field(init=False)
    references: tuple[Reference, ...] = field(init=False)
    _films: _Kept = field(default_factory=lambda: _Kept(_FILM_BYTES))
    _heats: _Kept = field(default_factory=lambda: _Kept(_HEAT_BYTES))
    _thumbnails: _Kept = field(default_factory=lambda: _Kept(_THUMBNAIL_BYTES))
    _loaded: tuple[str, ...] = field(init=False)
    _network: threading.Lock = field(default_factory=threading.Lock)
    _seen: OrderedDict[tuple[str, str, str, str], None] = field(default_factory=OrderedDict)
    _seeing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Make the links, and read what lies beside the model."""
        self.grants = Grants(self.settings.idle_minutes * 60.0)
        self.priors = Priors(self.source)
        self.rules = conformal_rules(self.performance)
        self.localized = localized_findings(self.performance)
        self.references = find_references(self.bundle) if self.bundle else ()
        self._loaded = fingerprint(self.bundle) if self.bundle else ()

    @property
    def bundle_changed(self) -> bool:
        """Whether the bundle on disk is another than the one that was loaded."""
        return self.bundle is not None and fingerprint(self.bundle) != self._loaded

    def spoke(self, case: Case) -> bool:
        """Whether the loaded model, and no other, made the prediction of a case."""
        made = case.prediction
        return (
            made is not None
            and self.model is not None
            and made.model.digest == self.model.identity.digest
        )

    def case(self, case_id: str, owner: Owner) -> Case | None:
        """A case of the source, or an upload of its owner."""
        return self.uploads.case(case_id, owner) or self.source.case(case_id)

    def is_upload(self, case: Case) -> bool:
        """Whether somebody dropped it into a browser."""
        return self.uploads.keeps(case.case_id)

    def url(self, kind: str, *parts: str) -> str:
        """A link of ours, such as that of a film, as browsers see it."""
        return "/".join((f"{self.settings.base_path}/cxr/{kind}", *parts))

    def end(self, session: str) -> None:
        """Take back the links of a session, and forget what was dropped into it."""
        self.grants.end(session)
        self.uploads.forget_session(session)

    def data(self, case: Case, image: int) -> bytes:
        """The file of an image of a case."""
        if self.is_upload(case):
            return self.uploads.data(case.case_id)
        return self.source.data(case.images[image])

    def film(self, case: Case, image: int) -> bytes:
        """An image as the viewer draws it, in gzip.

        Raises:
            InputError: If it is gone or no film.
        """
        make = partial(self.data, case, image)
        if self.is_upload(case):
            return gzipped(film_payload(make()))  # what is forgotten is in no cache either
        return self._films.get(_name(case, image), lambda: gzipped(film_payload(make())))

    def audited_film(self, film: AuditedFilm) -> bytes:
        """A film of a label audit as the viewer draws it, in gzip.

        Raises:
            InputError: If it is not a film.
        """
        return self._films.get(film.film_id, lambda: gzipped(film_payload(film.data)))

    def thumbnail(self, case: Case, image: int) -> bytes:
        """An image as a small PNG.

        Raises:
            InputError: If it is gone or no film.
        """
        make = partial(self.data, case, image)
        return self._thumbnails.get(_name(case, image), lambda: thumbnail(make()))

    def heat(self, case: Case, image: int) -> bytes:
        """Heatmaps of all findings of an image, in gzip; ``b""`` without a model.

        Raises:
            InputError: If it is gone or no film.
            InvalidBundle: If the network has no such maps.
        """
        model = self.model
        if model is None:
            return b""

        def make() -> bytes:
            data = self.data(case, image)
            with self._network:
                return gzipped(heat_payload(data, model, model.findings))

        if self.is_upload(case):
            return make()
        return self._heats.get(_name(case, image), make)

    def reviews_of(self, case: Case) -> list[Review]:
        """All reviews of a case, oldest first.

        Raises:
            DeliveryError: If the store does not answer.
        """
        names = {case.name, case.key.study_uid} - {""}
        return reviews_of(case, {name: self.store.of_study(name) for name in names})

    def is_hidden(self, identity: Identity, case: Case, reviews: Sequence[Review]) -> bool:
        """Whether a reader gives their own word on a case before the model's reaches them.

        Args:
            identity: The reader.
            case: The study; the same reader meets the same study in the same way.
            reviews: Of the case.
        """
        share = self.settings.read_first.get(identity.role, 0.0)
        if share <= 0 or not identity.may("review") or self.is_upload(case):
            return False
        drawn = hashlib.sha256(f"{identity.user}\n{case.name}".encode()).digest()
        if int.from_bytes(drawn[:6], "big") >= share * 2**48:
            return False
        return all(review.reader != identity.user for review in reviews)

    def opened(
        self,
        identity: Identity,
        session: str,
        study_uid: str,
        *,
        action: str = "opened",
        again: bool = False,
    ) -> None:
        """Note a study whose film was sent; once a session and person, unless it is opened again.

        Args:
            identity: Who has it now.
            session: Of their browser.
            study_uid: Which study.
            action: What the audit calls it.
            again: Whether a page opens it now.
        """
        key = (session, identity.user, action, study_uid)
        with self._seeing:
            known = key in self._seen
            self._seen[key] = None
            self._seen.move_to_end(key)
            while len(self._seen) > _MOST_SEEN:
                self._seen.popitem(last=False)
        if again or not known:
            self.audit(identity, action, study_uid)

    def audit(self, identity: Identity, action: str, study_uid: str = "") -> None:
        """Add a line to the audit; a store that does not answer must not stop a reader."""
        try:
            self.store.record(Access(time.time(), identity.user, identity.role, action, study_uid))
        except DeliveryError:
            self.audit_gaps += 1


_current: list[Service] = []


def configure(service: Service) -> Service:
    """Make a service the one that pages see."""
    _current[:] = [service]
    return service


def current() -> Service:
    """The service of this process."""
    return _current[0]


def is_configured() -> bool:
    """Whether there is one."""
    return bool(_current)
