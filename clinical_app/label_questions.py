"""Label questions: one film of a label audit as the data that the page of questions draws.

Nothing here holds a given label or a score, and nothing depends on one: see
:mod:`monai_cxr.review.labelling.label_audit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from clinical_app.admission.access import Identity
from clinical_app.admission.grants import Grant
from clinical_app.service import Service
from monai_cxr.errors import InputError
from monai_cxr.findings import title_of
from monai_cxr.labels.audit_folder import question_of
from monai_cxr.review.labelling.label_audit import AuditItem, AuditQuestions, Standing
from monai_cxr.review.labelling.label_progress import progress_of
from monai_cxr.screening.ledger.people.label_answers import ADJUDICATION, READER

_LONGEST_SECONDS = 3600.0


def audit_of(service: Service) -> AuditQuestions:
    """The audit that this viewer was started with.

    Raises:
        InputError: If there is none.
    """
    if service.label_audit is None:
        raise InputError("This viewer has no label audit.", reason="no_label_audit")
    return service.label_audit


def may_decide(service: Service, identity: Identity) -> bool:
    """Whether somebody may decide where others differ."""
    role = service.settings.adjudicator_role
    return identity.may("review") and role in ("", identity.role)


def standing_of(service: Service) -> Standing:
    """What all readers have said."""
    return Standing.of(service.store.answers(audit_of(service).name))


def question(service: Service, grant: Grant, role: str) -> dict[str, Any]:
    """The next question of a reader, with how far they are.

    Args:
        service: Holds the audit.
        grant: Of the page.
        role: To judge by themselves, or to decide where others differ.
    """
    audit, reader = audit_of(service), grant.identity.user
    standing = standing_of(service)
    deciding = role == ADJUDICATION and may_decide(service, grant.identity)
    role = ADJUDICATION if deciding else READER
    left = audit.asked(reader, role, standing)
    to_decide = audit.asked(reader, ADJUDICATION, standing)
    mine = [one for one in standing.order if one.reader == reader]
    done = sum(one.role == role for one in mine)
    last = standing.last_of(reader, role)
    before = audit.item_of(last) if last is not None else None
    return {
        "role": role,
        "done": done,
        "total": done + len(left),
        "to_decide": len(to_decide) if may_decide(service, grant.identity) else 0,
        "undo": before.name if before is not None else "",
        "question": _asked(service, grant, audit, standing, left[0]) if left else None,
        "coming": [_image(service, grant, audit, item)[0] for item in left[1:2]],
        "of_finding": _of_finding(audit, left, mine, role),
    }


def _asked(
    service: Service, grant: Grant, audit: AuditQuestions, standing: Standing, item: AuditItem
) -> dict[str, Any]:
    image, sentence = _image(service, grant, audit, item)
    said = standing.said.get(item.key, {}).values()
    return {
        "item": item.name,
        "turn": standing.next_turn(item, grant.identity.user),
        "words": question_of(item.finding),
        "finding": title_of(item.finding),
        "image": image,
        "sentence": sentence,
        "said": sorted(one.answer for one in said),
    }


def _image(
    service: Service, grant: Grant, audit: AuditQuestions, item: AuditItem
) -> tuple[dict[str, Any] | None, str]:
    """Where a browser finds a film, or why it does not."""
    try:
        film = audit.film(item)
    except InputError as error:
        return None, str(error)
    token = service.grants.give("label_audit", "", grant.session, grant.identity)
    url = service.url("label-film", token, item.name, film.film_id)
    return {"id": film.film_id, "film": url, "heat": None}, ""


def _of_finding(
    audit: AuditQuestions, left: Sequence[AuditItem], mine: Sequence[Any], role: str
) -> list[int]:
    """How many questions of the finding at hand are answered, and how many there are."""
    if not left:
        return [0, 0]
    finding = left[0].finding
    done = sum(one.finding == finding and one.role == role for one in mine)
    return [done, done + sum(item.finding == finding for item in left)]


def store_answer(service: Service, grant: Grant, content: dict[str, Any]) -> dict[str, Any]:
    """Keep what a browser says, or take the last word back, and ask what comes next.

    Raises:
        InputError: If it is no answer to this question, or another one came first.
        DeliveryError: If the store does not answer.
    """
    audit, reader = audit_of(service), grant.identity.user
    role = str(content.get("role", READER))
    if role not in (READER, ADJUDICATION):
        raise InputError(f"Expected a role, but got '{role[:20]}'.", reason="invalid_review")
    if role == ADJUDICATION and not may_decide(service, grant.identity):
        raise InputError("Your role does not decide where readers differ.", reason="not_allowed")
    item = audit.item(str(content.get("item", "")))
    standing = standing_of(service)
    turn, seconds = content.get("turn"), content.get("seconds", 0)
    if content.get("undo") is True:
        _take_back(service, standing, item, reader, role)
    elif not isinstance(turn, int) or not isinstance(seconds, int | float):
        raise InputError("Expected a turn and seconds as numbers.", reason="invalid_review")
    else:
        _require_asked(standing, item, reader, role, turn)
        made = audit.answer(
            item, reader=reader, role=role, answer=str(content.get("answer", "")),
            film_id=str(content.get("film", "")), turn=turn,
        )  # fmt: skip
        kept = replace(made, seconds=min(max(float(seconds), 0.0), _LONGEST_SECONDS))
        if not service.store.answer(kept):
            raise _came_first()
    service.grants.use(grant.session)
    return question(service, grant, role)


def _require_asked(standing: Standing, item: AuditItem, reader: str, role: str, turn: int) -> None:
    if standing.by(item, reader) is not None or turn != standing.next_turn(item, reader):
        raise _came_first()
    if role == ADJUDICATION and not standing.differs(item):
        raise InputError(
            "Readers do not differ on this film any more; nothing was stored.",
            reason="already_answered",
        )


def _take_back(
    service: Service, standing: Standing, item: AuditItem, reader: str, role: str
) -> None:
    """Take back a reader's last word; the browser names its film, so that two presses take one."""
    last = standing.last_of(reader, role)
    if last is None or (last.sop_uid, last.finding) != item.key:
        raise InputError("There is no such last answer to take back.", reason="already_answered")
    turn = standing.next_turn(item, reader)
    if not service.store.answer(replace(last, turn=turn, answer="", seconds=0.0, answered_at=0.0)):
        raise _came_first()


def _came_first() -> InputError:
    return InputError(
        "This question was answered already, perhaps in another tab; nothing was changed.",
        reason="already_answered",
    )


def progress(service: Service, grant: Grant) -> dict[str, Any]:
    """How far all readers are, and how they agree."""
    audit = audit_of(service)
    made = progress_of(audit, standing_of(service))
    token = service.grants.give("label_audit", "", grant.session, grant.identity)
    return {
        "total": made.total,
        "readers": [list(one) for one in made.readers],
        "decided": made.decided,
        "differing": made.differing,
        "agreements": [list(one) for one in made.agreements],
        "answers_url": service.url("label-answers", token),
        "overlay_url": service.url("label-overlay", token) if audit.folder.index_digest else "",
    }


def told_of(service: Service, identity: Identity) -> str:
    """Whose answers bound what an overlay tells a person; ``""``: they may see all of it.

    An overlay holds given labels. Who still has questions gets those of the films that they have
    answered; who keeps the audit and has answered none may have the whole.
    """
    audit, standing = audit_of(service), standing_of(service)
    begun = any(one.reader == identity.user for one in standing.order)
    left = audit.asked(identity.user, READER, standing)
    return "" if not left or (not begun and identity.may("audit")) else identity.user
