"""Label routes: questions, films and answers of a label audit over HTTP."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from clinical_app import label_questions
from clinical_app.admission.granted import csv_file, granted, pixels, posted
from clinical_app.admission.grants import Grant
from clinical_app.service import Service
from monai_cxr.errors import InputError
from monai_cxr.review.labelling.label_progress import answers_csv, overlay_csv

_KIND = "label_audit"


def label_routes() -> list[Route]:
    """The routes of a label audit."""
    return [
        Route("/cxr/label-question/{token}", granted(_KIND, "review", _question)),
        Route("/cxr/label-answer/{token}", posted(_KIND, _label), methods=["POST"]),
        Route("/cxr/label-film/{token}/{item}/{film}", granted(_KIND, "review", _asked)),
        Route("/cxr/label-progress/{token}", granted(_KIND, "review", _progress)),
        Route("/cxr/label-answers/{token}", granted(_KIND, "review", _answers)),
        Route("/cxr/label-overlay/{token}", granted(_KIND, "review", _overlay)),
    ]


def _question(service: Service, grant: Grant, request: Request) -> Response:
    return JSONResponse(
        label_questions.question(service, grant, request.query_params.get("role", ""))
    )


def _label(service: Service, grant: Grant, content: Any) -> Response:
    if not isinstance(content, dict):
        raise InputError("Expected an object.", reason="invalid_review")
    return JSONResponse(label_questions.store_answer(service, grant, content))


def _asked(service: Service, grant: Grant, request: Request) -> Response:
    """A film of a label audit: the one that the link names, or none."""
    audit = label_questions.audit_of(service)
    item = audit.item(str(request.path_params["item"]))
    film = audit.film(item)
    if film.film_id != request.path_params["film"]:
        raise InputError("The file was changed on the disk. Load the page again.")
    payload = service.audited_film(film)
    name = film.study_uid or item.sop_uid
    service.opened(grant.identity, grant.session, name, action="label question")
    return pixels(payload, request)


def _progress(service: Service, grant: Grant, _request: Request) -> Response:
    return JSONResponse(label_questions.progress(service, grant))


def _answers(service: Service, grant: Grant, _request: Request) -> Response:
    table = answers_csv(label_questions.standing_of(service))
    service.audit(grant.identity, "exported label answers")
    return csv_file(table, "answers.csv")


def _overlay(service: Service, grant: Grant, _request: Request) -> Response:
    audit = label_questions.audit_of(service)
    if not audit.folder.index_digest:
        raise InputError("This audit does not record its index, so no overlay can be made here.")
    reader = label_questions.told_of(service, grant.identity)
    table = overlay_csv(audit, label_questions.standing_of(service), reader=reader)
    service.audit(grant.identity, "exported label overlay")
    return csv_file(table, "overlay.csv")
