"""Films and outcomes for the tests of the ledger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from sqlalchemy import create_engine, text

from monai_cxr.findings import FINDING_NAMES
from monai_cxr.prediction import FindingScore, ModelIdentity, Prediction
from monai_cxr.radiograph import FilmFacts, InstanceKey, ViewPosition
from monai_cxr.screening.ledger import Ledger, jobs, schema
from monai_cxr.screening.ledger.records import Film, Outcome, ReceivedFilm

MODEL = ModelIdentity("test", "1.0", "d" * 64)


def received(number: int, *, study: int | None = None, **values: object) -> ReceivedFilm:
    study = number if study is None else study
    key = InstanceKey(f"P{study}", f"1.2.{study}", f"1.2.{study}.1", f"1.2.{study}.1.{number}")
    defaults = {
        "path": f"/spool/{number}.dcm",
        "pixel_sha256": f"{number:064x}",
        "source": "test",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1",
        "accession_number": f"A{study}",
    }
    return ReceivedFilm(key, **(defaults | values))


def prediction(film: Film, *, positive: tuple[str, ...] = (), model=MODEL) -> Prediction:
    scores = tuple(
        FindingScore(name, 1.5 if name in positive else -1.5, 0.8 if name in positive else 0.2,
                     name in positive)
        for name in FINDING_NAMES
    )  # fmt: skip
    return Prediction(film.key, model, scores, ("secondary_capture",))


def facts(film: Film, **values: object) -> FilmFacts:
    said = FilmFacts(film.key, ViewPosition.PA, 61.0, "F", source_format="dicom")
    return replace(said, **{"quality": {"mean": 0.5}} | values)


def outcome(film: Film, **values: object) -> Outcome:
    return Outcome(film.id, prediction(film, **values), facts=facts(film))


def finish_all(ledger: Ledger, *, owner: str = "w", deliveries=(), positive=()) -> int:
    n = 0
    while films := jobs.lease(ledger, owner, 8):
        outcomes = [outcome(film, positive=positive) for film in films]
        n += jobs.finish(ledger, owner, outcomes, deliveries=deliveries)
    return n


def many_results(ledger: Ledger, n: int, *, finding: str = "Mass", seed: int = 0) -> None:
    """So many finished films with calibrated probabilities of one finding, written at once."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(-2.0, 1.5, n)
    p = 1 / (1 + np.exp(-logits))
    now = ledger.clock()
    names = [(f"1.5.{seed}.{i}", f"1.4.{seed}.{i}") for i in range(n)]
    with ledger.write() as connection:
        connection.execute(
            schema.films.insert(),
            [
                {"sop_uid": sop, "study_uid": study, "patient_id": study, "priority": "ROUTINE",
                 "rank": 0.0, "state": "completed", "available_at": 0.0, "received_at": now,
                 "finished_at": now, "model_digest": MODEL.digest}
                for sop, study in names
            ],
        )  # fmt: skip
        connection.execute(
            schema.results.insert(),
            [
                {"sop_uid": sop, "study_uid": study, "model_digest": MODEL.digest,
                 "findings": [finding], "logits": [logit], "probabilities": [one],
                 "positive": [one >= 0.3], "flags": [], "quality": {}, "predicted_at": now}
                for (sop, study), logit, one in zip(names, logits.tolist(), p.tolist(), strict=True)
            ],
        )  # fmt: skip


OLD_LEDGERS = Path(__file__).parent / "ledgers"


def make_old_ledger(url: str, *, version: int = 1) -> None:
    """A ledger as an earlier version made it, by that version's own SQL."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    script = (OLD_LEDGERS / f"version_{version}.{engine.dialect.name}.sql").read_text()
    with engine.begin() as connection:
        for statement in script.split(";\n"):
            if statement.strip():
                connection.execute(text(statement))
        row = f"INSERT INTO schema_version (version, applied_at) VALUES ({version}, 0)"
        connection.execute(text(row))
    engine.dispose()
