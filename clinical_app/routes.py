"""Routes: films, heatmaps, the live worklist and reviews over HTTP, each behind a granted link."""

from __future__ import annotations

import hashlib
import json
import time
from datetime import datetime, timezone
from typing import Any

from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route

from clinical_app import service as services
from clinical_app.admission.granted import (
    allowed,
    answered,
    csv_file,
    denied,
    granted,
    pixels,
    posted,
    refused,
)
from clinical_app.admission.grants import Grant
from clinical_app.admission.security import SESSION_COOKIE
from clinical_app.desk import case_statements, others_in_words, review_data
from clinical_app.label_routes import label_routes
from clinical_app.service import Service
from monai_cxr.dicom.results.structured_report import ReportedFilm, structured_report
from monai_cxr.errors import InputError
from monai_cxr.review.cases import Case
from monai_cxr.review.parsing import parse_findings, parse_marks, parse_note, parse_seconds
from monai_cxr.review.reviews import Change, Review, last_review, reviews_csv
from monai_cxr.review.study_report import report_page, report_text
from monai_cxr.review.worklist import (
    by_study,
    reviews_of,
    short_name,
    study_name,
    worklist,
)


def routes(base_path: str = "") -> list[Route]:
    """All routes beside Streamlit's own.

    Args:
        base_path: What they begin with, such as ``"/xray"``.
    """
    own = [
        Route("/cxr/health", _health, methods=["GET"]),
        Route("/cxr/leave", _leave, methods=["GET"]),
        Route("/cxr/worklist/{token}", granted("worklist", "worklist", _worklist)),
        Route("/cxr/film/{token}/{film}", granted("case", "read", _film)),
        Route("/cxr/heat/{token}/{film}", granted("case", "read", _heat)),
        Route("/cxr/thumbnail/{token}", granted("thumbnail", "operations", _thumbnail)),
        Route("/cxr/text/{token}", granted("case", "read", _text)),
        Route("/cxr/report/{token}", granted("case", "read", _report)),
        Route("/cxr/sr/{token}", granted("case", "read", _structured_report)),
        Route("/cxr/reviews/{token}", granted("reviews", "review", _reviews)),
        Route("/cxr/review/{token}", posted("case", _saved), methods=["POST"]),
        Route("/cxr/touch/{token}", _touch, methods=["GET", "POST"]),
        *label_routes(),
    ]
    return [
        Route(f"{base_path}{one.path}", one.endpoint, methods=sorted(one.methods or ()))
        for one in own
    ]


def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok" if services.is_configured() else "starting"})


def _leave(request: Request) -> Response:
    """End a session here, and then at the proxy, which asks who comes back to sign in."""
    service = services.current()
    if not service.settings.sign_out_url:
        return refused(404, "No sign_out_url is set in [viewer].")
    session = request.cookies.get(SESSION_COOKIE, "")
    who = service.grants.person(session)
    if who is not None:
        service.audit(who, "signed out")
    service.end(session)
    answer = RedirectResponse(service.settings.sign_out_url, status_code=303)
    answer.delete_cookie(SESSION_COOKIE, path=service.settings.base_path or "/")
    return answer


def _worklist(service: Service, grant: Grant, request: Request) -> Response:
    reviews = service.store.reviews()
    reading = service.presence.readers()
    state = json.dumps([service.source.version(), len(reviews), reading])
    last = max((review.at for review in reviews), default=0.0)
    tag = f'"{hashlib.sha256(state.encode()).hexdigest()[:16]}-{last:.3f}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304)
    known = by_study(reviews)
    content = worklist(
        service.source.cases(),
        reviews,
        now=time.time(),
        longest_wait_seconds=service.settings.longest_wait_minutes * 60.0,
        identify=service.settings.show_patient_id,
        hidden=lambda case: service.is_hidden(grant.identity, case, reviews_of(case, known)),
        reading=reading,
        rules=service.rules,
    )
    return JSONResponse(content, headers={"ETag": tag})


def _case_of(service: Service, grant: Grant) -> Case:
    case = service.case(grant.case_id, grant.owner)
    if case is None:
        raise InputError("This study is no longer here.", reason="missing_file")
    return case


def _image_of(case: Case, request: Request) -> int:
    """Place of a film that a link names by itself, in the study as it is now."""
    name = str(request.path_params["film"])
    for number, image in enumerate(case.images):
        if image.film_id == name:
            return number
    raise InputError(
        f"This study has {len(case.images)} film(s), and not this one. Open the study again.",
        reason="missing_file",
    )


def _require_own_word(service: Service, grant: Grant, case: Case) -> None:
    """Refuse what a model said to a reader who has not yet said what they see."""
    if service.is_hidden(grant.identity, case, service.reviews_of(case)):
        raise InputError(
            "Your own reading comes first: say what you see, then the model's word is shown.",
            reason="read_first",
        )


def _film(service: Service, grant: Grant, request: Request) -> Response:
    """A film; that of a prior, or of the study that comes next, is in the audit as well."""
    case = _case_of(service, grant)
    film = service.film(case, _image_of(case, request))
    service.opened(grant.identity, grant.session, study_name(case))
    return pixels(film, request)


def _heat(service: Service, grant: Grant, request: Request) -> Response:
    case = _case_of(service, grant)
    _require_own_word(service, grant, case)
    return pixels(service.heat(case, _image_of(case, request)), request)


def _thumbnail(service: Service, grant: Grant, _request: Request) -> Response:
    case = _case_of(service, grant)
    picture = service.thumbnail(case, 0)
    service.opened(grant.identity, grant.session, study_name(case), action="thumbnail")
    return Response(picture, media_type="image/png")


def _reviews(service: Service, grant: Grant, _request: Request) -> Response:
    table = reviews_csv(service.store.reviews())
    service.audit(grant.identity, "exported")
    return csv_file(table, "reviews.csv")


def _said(service: Service, grant: Grant, case: Case) -> Review | None:
    digest = case.prediction.model.digest if case.prediction else ""
    return last_review(service.reviews_of(case), grant.identity.user, digest)


def _text(service: Service, grant: Grant, _request: Request) -> Response:
    case = _case_of(service, grant)
    _require_own_word(service, grant, case)
    said = _said(service, grant, case)
    text = report_text(
        case,
        case_statements(service, case),
        said.findings if said else {},
        note=said.note if said else "",
        marks=tuple(said.marks.values()) if said else (),
        model=case.prediction.model if case.prediction else None,
    )
    service.audit(grant.identity, "copied", study_name(case))
    return PlainTextResponse(text)


def _report(service: Service, grant: Grant, _request: Request) -> Response:
    case = _case_of(service, grant)
    _require_own_word(service, grant, case)
    said = _said(service, grant, case)
    page = report_page(
        case,
        case_statements(service, case),
        said.findings if said else {},
        service.data(case, 0),
        note=said.note if said else "",
        marks=tuple(said.marks.values()) if said else (),
        model=case.prediction.model if case.prediction else None,
    )
    service.audit(grant.identity, "reported", study_name(case))
    return HTMLResponse(page)


def _structured_report(service: Service, grant: Grant, _request: Request) -> Response:
    case, model = _case_of(service, grant), service.model
    if model is None:
        raise InputError("No model is loaded.", reason="no_model")
    _require_own_word(service, grant, case)
    reported = [
        ReportedFilm(service.data(case, number), image.prediction)
        for number, image in enumerate(case.images)
        if image.prediction is not None
    ]
    if not reported:
        raise InputError("The model did not read this study.", reason="not_analysed")
    if not service.spoke(case):
        raise InputError(
            "Another model than the one loaded here read this study, so its thresholds are not "
            "known here.",
            reason="another_model",
        )
    instance = structured_report(reported, created=_predicted(case), **model.stated)
    service.audit(grant.identity, "reported", study_name(case))
    name = f'attachment; filename="{short_name(case)}-sr.dcm"'
    headers = {"Content-Disposition": name, "Content-Encoding": "identity"}
    return Response(instance.data, media_type="application/dicom", headers=headers)


def _predicted(case: Case) -> datetime:
    """When a study was read: the same for each report of it, so that a report is the same too."""
    last = max(image.predicted_at for image in case.images)
    return datetime.fromtimestamp(last, timezone.utc)


def _saved(service: Service, grant: Grant, content: Any) -> Response:
    if not isinstance(content, dict):
        raise InputError("Expected an object.", reason="invalid_review")
    case = _case_of(service, grant)
    if service.is_upload(case):
        raise InputError("An upload is not kept, nor a review of it.", reason="upload")
    reviews = service.reviews_of(case)
    hidden = service.is_hidden(grant.identity, case, reviews)
    if hidden and content.get("reveal") is not True:
        raise InputError(
            "Your own reading comes first: Enter stores it, and shows the model's word.",
            reason="read_first",
        )
    change = _change(service, grant, case, content, hidden=hidden)
    with service.saving:  # two tabs that close a study at once close it once
        before = last_review(service.reviews_of(case), grant.identity.user, _digest(case))
        review = service.store.merge(change)
    service.grants.use(grant.session)
    if review.finished and not (before and before.finished):
        service.audit(grant.identity, "finished", review.study_uid)
    if before and before.finished and not review.finished:
        service.audit(grant.identity, "opened again", review.study_uid)
    now = time.localtime(review.at)
    said = review_data(case, review, [review])
    return JSONResponse({"saved": time.strftime("%H:%M:%S", now), "review": said})


def _digest(case: Case) -> str:
    return case.prediction.model.digest if case.prediction else ""


def _change(
    service: Service, grant: Grant, case: Case, content: dict[str, Any], *, hidden: bool
) -> Change:
    """What a browser says, checked; a film that it names must be one of this study."""
    film = content.get("film")
    image = case.images[0] if film is None else case.image(film) if isinstance(film, str) else None
    if image is None:
        raise InputError(
            "This study has another film now. Open it again; nothing was stored.",
            reason="another_film",
        )
    scores = case.prediction.scores if case.prediction else ()
    note, before = content.get("note"), content.get("note_before")
    films = {one.film_id: one.key.sop_uid for one in case.images}
    seen = content.get("films")
    names = seen if isinstance(seen, list) else list(films)
    finished = True if content.get("finished") is True and not hidden else None
    return Change(
        study_uid=study_name(case),
        sop_uid=image.key.sop_uid,
        reader=grant.identity.user,
        model_digest=_digest(case),
        findings=parse_findings(
            content.get("findings", {}), {score.finding: score.probability for score in scores}
        ),
        marks=parse_marks(content.get("marks", {}), films),
        note=None if note is None else parse_note(note),
        note_before=None if before is None else parse_note(before),
        finished=False if content.get("reopen") is True else finished,
        films=tuple(films[name] for name in names if isinstance(name, str) and name in films),
        flagged=case.flagged,
        seconds=parse_seconds(content.get("seconds", 0)),
        score_seen=bool(scores) and not hidden,
        at=time.time(),
    )


def _touch(request: Request) -> Response:
    """Use of a session by a hand on the desk (POST), or how long it has left (GET)."""
    service = services.current()
    kinds = (("case", "read"), ("worklist", "worklist"), ("label_audit", "review"))
    grant = next((one for kind in kinds if (one := allowed(request, *kind))), None)
    if grant is None:
        return denied()
    return answered(lambda: _touched(service, grant, request))


def _touched(service: Service, grant: Grant, request: Request) -> Response:
    case = service.case(grant.case_id, grant.owner) if grant.kind == "case" else None
    study = study_name(case) if case is not None else ""
    if request.method == "POST":
        if not request.headers.get("content-type", "").startswith("application/json"):
            return refused(415, "Expected JSON.")
        service.grants.use(grant.session)
        service.presence.reads(grant.identity.user, grant.session, study)
    readers = service.presence.of(study) if study else ()
    left = service.grants.idle_seconds_left(grant.session)
    others = [name for name in readers if name != grant.identity.user]
    said = others_in_words(service.reviews_of(case), grant.identity) if case is not None else ""
    return JSONResponse({"idle_seconds_left": left, "reading": others, "others": said})
