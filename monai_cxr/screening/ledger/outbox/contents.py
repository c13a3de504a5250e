"""Contents: what the object of a delivery is made of."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from monai_cxr.screening.ledger import patients
from monai_cxr.screening.ledger.database import Ledger
from monai_cxr.screening.ledger.outbox.scheduled import Delivery
from monai_cxr.screening.ledger.records import Film, Result, film_of, result_of
from monai_cxr.screening.ledger.schema import TAKES_PLACE, arrivals, films, results


@dataclass(frozen=True, slots=True)
class DeliveryContent:
    """What an object is made of.

    Attributes:
        delivery: Which object to which destination.
        film: The film, with the path of its file.
        result: What the model said.
        is_corrected: Whether the film took the place of another one of its UID.
        is_merged: Whether the film's file may name another patient ID than the one that stands.
    """

    delivery: Delivery
    film: Film
    result: Result
    is_corrected: bool = False
    is_merged: bool = False


def content(ledger: Ledger, delivery: Delivery) -> DeliveryContent:
    """Film and result of a delivery."""
    film_query = select(films).where(films.c.sop_uid == delivery.sop_uid)
    result_query = select(results).where(
        results.c.sop_uid == delivery.sop_uid, results.c.model_digest == delivery.model_digest
    )
    correction_query = select(arrivals.c.id).where(
        arrivals.c.sop_uid == delivery.sop_uid, arrivals.c.outcome.in_(TAKES_PLACE)
    )
    with ledger.read() as connection:
        film = film_of(connection.execute(film_query).one())
        row = connection.execute(result_query).one()
        is_corrected = connection.execute(correction_query.limit(1)).first() is not None
        is_merged = patients.has_prior(connection, film.key.patient_id)
    return DeliveryContent(delivery, film, result_of(row, film), is_corrected, is_merged)
