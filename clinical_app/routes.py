"""Routes: films, heatmaps, the live worklist and reviews over HTTP, each behind a granted link."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import wraps
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from clinical_app import service as services
from clinical_app.access import identify, proxy_user
from clinical_app.desk import case_statements
from clinical_app.grants import Grant
from clinical_app.security import SESSION_COOKIE
from clinical_app.service import Service
from monai_cxr.dicom.results.structured_report import ReportedFilm, structured_report
from monai_cxr.errors import BundleError, DeliveryError, InputError, MissingDependency
from monai_cxr.review.cases import Case
from monai_cxr.review.reviews import Review, parse_findings, parse_note, parse_seconds
from monai_cxr.review.study_report import report_page, report_text
from monai_cxr.review.worklist import short_name, study_name, worklist

_LARGEST_REVIEW = 64 * 1024
_BYTES = "application/octet-stream"

Handler = Callable[[Service, Grant, Request], Response]


def routes() -> list[Route]:
    """All routes beside Streamlit's own."""
    return [
        Route("/cxr/health", _health, methods=["GET"]),
        Route("/cxr/worklist/{token}", _granted("worklist", "worklist", _worklist)),
        Route("/cxr/film/{token}/{image:int}", _granted("case", "read", _film)),
        Route("/cxr/heat/{token}/{image:int}", _granted("case", "read", _heat)),
        Route("/cxr/thumbnail/{token}", _granted("thumbnail", "operations", _thumbnail)),
        Route("/cxr/text/{token}", _granted("case", "read", _text)),
        Route("/cxr/report/{token}", _granted("case", "read", _report)),
        Route("/cxr/sr/{token}", _granted("case", "read", _structured_report)),
        Route("/cxr/review/{token}", _review, methods=["POST"]),
    ]


def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok" if services.is_configured() else "starting"})


def _refused(status: int, sentence: str) -> Response:
    return JSONResponse({"message": sentence}, status_code=status)


def _allowed(request: Request, kind: str, permission: str) -> Grant | None:
    service = services.current()
    session = request.cookies.get(SESSION_COOKIE, "")
    grant = service.grants.check(request.path_params["token"], session)
    if grant is None or grant.kind != kind or not grant.identity.may(permission):
        return None
    if service.settings.authentication == "proxy":
        named = proxy_user(dict(request.headers.items()), service.settings)
        if identify(named, service.settings) != grant.identity:
            return None  # the proxy names somebody else in the same browser now
    return grant


def _granted(kind: str, permission: str, handler: Handler) -> Callable[[Request], Response]:
    @wraps(handler)
    def route(request: Request) -> Response:
        grant = _allowed(request, kind, permission)
        if grant is None:
            return _denied()
        return _answered(lambda: handler(services.current(), grant, request))

    return route


def _denied() -> Response:
    return _refused(403, "This link does not belong to your session. Open the study again.")


def _answered(make: Callable[[], Response]) -> Response:
    """An answer, or a calm sentence about why there is none."""
    try:
        return make()
    except InputError as error:
        return _refused(422, str(error))
    except (BundleError, MissingDependency) as error:
        return _refused(409, str(error))
    except DeliveryError as error:
        return _refused(503, str(error))


def _worklist(service: Service, _grant: Grant, request: Request) -> Response:
    reviews = service.store.reviews()
    last = max((review.at for review in reviews), default=0.0)
    tag = f'"{service.source.version()}-{len(reviews)}-{last:.3f}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304)
    content = worklist(
        service.source.cases(),
        reviews,
        now=time.time(),
        longest_wait_seconds=service.settings.longest_wait_minutes * 60.0,
        identify=service.settings.show_patient_id,
    )
    return JSONResponse(content, headers={"ETag": tag})


def _case_of(service: Service, grant: Grant) -> Case:
    case = service.case(grant.case_id)
    if case is None:
        raise InputError("This study is no longer here.", reason="missing_file")
    return case


def _image_of(case: Case, request: Request) -> int:
    number = int(request.path_params["image"])
    if not 0 <= number < len(case.images):
        raise InputError(f"This study has {len(case.images)} film(s).", reason="missing_file")
    return number


def _film(service: Service, grant: Grant, request: Request) -> Response:
    case = _case_of(service, grant)
    return _plain(service.film(case, _image_of(case, request)))


def _heat(service: Service, grant: Grant, request: Request) -> Response:
    case = _case_of(service, grant)
    return _plain(service.heat(case, _image_of(case, request)))


def _plain(content: bytes) -> Response:
    # 'identity': compressing pixels costs more than sending them on a hospital's own network.
    return Response(content, media_type=_BYTES, headers={"Content-Encoding": "identity"})


def _thumbnail(service: Service, grant: Grant, _request: Request) -> Response:
    case = _case_of(service, grant)
    return Response(service.thumbnail(case, 0), media_type="image/png")


def _said(service: Service, grant: Grant, case: Case) -> Review | None:
    reviews = service.store.of_study(study_name(case))
    return next((r for r in reversed(reviews) if r.reader == grant.identity.user), None)


def _text(service: Service, grant: Grant, _request: Request) -> Response:
    case = _case_of(service, grant)
    said = _said(service, grant, case)
    text = report_text(
        case,
        case_statements(service, case),
        said.findings if said else {},
        note=said.note if said else "",
        model=case.prediction.model if case.prediction else None,
    )
    service.audit(grant.identity, "copied", study_name(case))
    return PlainTextResponse(text)


def _report(service: Service, grant: Grant, _request: Request) -> Response:
    case = _case_of(service, grant)
    said = _said(service, grant, case)
    page = report_page(
        case,
        case_statements(service, case),
        said.findings if said else {},
        service.data(case, 0),
        note=said.note if said else "",
        model=case.prediction.model if case.prediction else None,
    )
    service.audit(grant.identity, "reported", study_name(case))
    return HTMLResponse(page)


def _structured_report(service: Service, grant: Grant, _request: Request) -> Response:
    case, model = _case_of(service, grant), service.model
    if model is None:
        raise InputError("No model is loaded.", reason="no_model")
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
    instance = structured_report(
        reported, operating_points=model.operating_points, created=_predicted(case)
    )
    service.audit(grant.identity, "reported", study_name(case))
    name = f'attachment; filename="{short_name(case)}-sr.dcm"'
    headers = {"Content-Disposition": name, "Content-Encoding": "identity"}
    return Response(instance.data, media_type="application/dicom", headers=headers)


def _predicted(case: Case) -> datetime:
    """When a study was read: the same for each report of it, so that a report is the same too."""
    last = max(image.predicted_at for image in case.images)
    return datetime.fromtimestamp(last, timezone.utc)


async def _review(request: Request) -> Response:
    grant = _allowed(request, "case", "review")
    if grant is None:
        return _denied()
    if not request.headers.get("content-type", "").startswith("application/json"):
        return _refused(415, "Expected JSON.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_REVIEW:
            return _refused(413, "The review is too long.")
    try:
        content = json.loads(body)
    except ValueError:
        return _refused(422, "Expected JSON.")
    service = services.current()
    return await run_in_threadpool(_answered, lambda: _saved(service, grant, content))


def _saved(service: Service, grant: Grant, content: Any) -> Response:
    if not isinstance(content, dict):
        raise InputError("Expected an object.", reason="invalid_review")
    case = _case_of(service, grant)
    if service.uploads.case(case.case_id) is not None:
        raise InputError("An upload is not kept, nor a review of it.", reason="upload")
    prediction = case.prediction
    image = content.get("image", 0)
    known = isinstance(image, int) and not isinstance(image, bool) and 0 <= image < len(case.images)
    scores = prediction.scores if prediction else ()
    now = time.time()
    review = Review(
        study_uid=study_name(case),
        sop_uid=case.images[image if known else 0].key.sop_uid,
        reader=grant.identity.user,
        model_digest=prediction.model.digest if prediction else "",
        findings=parse_findings(
            content.get("findings", {}), {score.finding: score.probability for score in scores}
        ),
        note=parse_note(content.get("note", "")),
        seconds=parse_seconds(content.get("seconds", 0)),
        finished=content.get("finished") is True,
        at=now,
    )
    service.store.save(review)
    service.grants.use(grant.session)
    if review.finished:
        service.audit(grant.identity, "finished", review.study_uid)
    return JSONResponse({"saved": time.strftime("%H:%M:%S", time.localtime(now))})
