"""Shadow: a challenger reads the live stream beside the champion; no result leaves the house.

It reads the films that the service has finished, from the spool, in a process of its own and on a
stated share of one processor. What it says goes into the attempt's folder and nowhere else: not
into the ledger, from which results are delivered and shown.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from monai_cxr.atomic import PRIVATE_FILE, held, private_folder, write_json
from monai_cxr.bundle.digests import file_digest
from monai_cxr.bundle.engines.by_name import digests_served
from monai_cxr.bundle.model import BundleModel
from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.statistics.clusters import patient_codes
from monai_cxr.evaluation.statistics.shares import paired_share_difference
from monai_cxr.lifecycle.attempt import PLAN_NAME, Attempt, read_attempt
from monai_cxr.lifecycle.margins import Margins
from monai_cxr.lifecycle.plan import read_plan
from monai_cxr.lifecycle.registry import Event, changing, open_registry, record
from monai_cxr.lifecycle.verdict import NOT_DECIDED, PASSED, REFUSED
from monai_cxr.prediction import Interval
from monai_cxr.radiograph import InstanceKey
from monai_cxr.reading.film_readers import FilmReaders
from monai_cxr.screening.ledger import Ledger
from monai_cxr.screening.ledger.schema import films, results
from monai_cxr.screening.watching.named_ledger import open_named
from monai_cxr.screening.working.outcomes import outcomes_of, prepare_film

FOLDER, READ, SUMMARY = "shadow", "films.jsonl", "shadow.json"
_PAGE = 64
_WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ShadowFinding:
    """Both models' flags of one finding on the same films.

    Attributes:
        finding: Name.
        n: Films.
        champion_rate: Share that the champion flags.
        challenger_rate: Share that the challenger flags.
        agreement: Share on which both say the same.
        difference: Challenger's rate minus champion's, with a 95 % interval over patients.
        outcome: Of the check that the flag rate does not rise beyond the plan's margin.
    """

    finding: str
    n: int
    champion_rate: float
    challenger_rate: float
    agreement: float
    difference: Interval
    outcome: str

    def to_json(self) -> dict[str, object]:
        """A JSON value; what is not known is null."""
        bounds = (self.difference.estimate, self.difference.low, self.difference.high)
        known = [None if value != value else value for value in bounds]
        rates = (self.champion_rate, self.challenger_rate, self.agreement)
        shown = [None if value != value else value for value in rates]
        names = ("champion_rate", "challenger_rate", "agreement")
        return {
            "finding": self.finding,
            "n": self.n,
            **dict(zip(names, shown, strict=True)),
            "difference": dict(zip(("estimate", "low", "high"), known, strict=True)),
            "outcome": self.outcome,
        }


def keep_to_one_processor() -> None:
    """Let this process and its readers run on one processor, after everybody else."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if hasattr(os, "nice"):
        os.nice(10)


def run_shadow(
    folder: Path,
    ledger: str,
    *,
    n_films: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    when_idle: Callable[[], bool] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Mapping[str, Any]:
    """Let the challenger of an attempt read what the champion reads.

    Killed at any moment, the next call goes on after the last film that is written down.

    Args:
        folder: Of an attempt that passed.
        ledger: Of the service: see :func:`open_named`.
        n_films: Films that are wanted; None for the plan's number.
        should_stop: Asked before each film.
        when_idle: Called when there is no new film; waits a little and says whether to go on. None
            waits for ever.
        tell: Called with what was done.

    Returns:
        The summary that is written to ``shadow/shadow.json``; where it decides, the registry has
        its digest.

    Raises:
        SettingsError: If the attempt did not pass, or another shadow of it is running.
    """
    attempt = read_attempt(folder)
    if attempt.outcome != PASSED:
        raise SettingsError(
            f"The attempt '{folder.name}' is {attempt.outcome or 'not finished'}. Expected one "
            "that passed the gate."
        )
    attempt.check_files()
    plan = read_plan(folder / PLAN_NAME)
    wanted = plan.shadow.films if n_films is None else n_films
    private_folder(folder / FOLDER)
    with held(folder / FOLDER / ".lock") as ours, open_named(ledger) as open_:
        if not ours:
            raise SettingsError(f"Another shadow of '{folder.name}' is running.")
        said = _read_more(
            attempt, open_, wanted, plan.shadow.share, should_stop=should_stop,
            when_idle=when_idle or _wait, tell=tell,
        )  # fmt: skip
        summary = _summary(said, plan.gate, plan.shadow.films)
        write_json(folder / FOLDER / SUMMARY, summary)
        if summary["outcome"] != NOT_DECIDED:
            _register(attempt, str(summary["outcome"]))
    return summary


def is_shown(attempt: Attempt, events: Sequence[Event], version: str) -> bool:
    """Whether the registry knows a shadow of this attempt that passed and is unchanged."""
    file = attempt.folder / FOLDER / SUMMARY
    if not file.is_file():
        return False
    content = json.loads(file.read_text(encoding="utf-8"))
    digest = file_digest(file)
    known = any(
        e.action == "shadow" and e.version == version and e.evidence == digest for e in events
    )
    return known and content.get("outcome") == PASSED


def _wait() -> bool:
    time.sleep(_WAIT_SECONDS)
    return True


def _registry_folder(attempt: Attempt) -> Path:
    return (attempt.folder / str(attempt.content["registry"])).resolve()


def _register(attempt: Attempt, outcome: str) -> None:
    digest = file_digest(attempt.folder / FOLDER / SUMMARY)
    with changing(_registry_folder(attempt)) as registry:
        version = _version(attempt)
        if not any(e.action == "shadow" and e.evidence == digest for e in registry.events):
            record(registry, Event("shadow", version, "shadow", "", outcome, digest))


def _version(attempt: Attempt) -> str:
    kind = str(attempt.content["challenger"]).partition("/")[0]
    return str(next(t["version"] for t in attempt.content["tried"] if t["kind"] == kind))


def _read_more(
    attempt: Attempt,
    ledger: Ledger,
    wanted: int,
    share: float,
    *,
    should_stop: Callable[[], bool],
    when_idle: Callable[[], bool],
    tell: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Read until there are enough films; gives all lines."""
    log = attempt.folder / FOLDER / READ
    said = _lines(log)
    if len(said) >= wanted:
        return said
    registry = open_registry(_registry_folder(attempt))
    served = digests_served(registry.path_of(str(attempt.content["basis"]["champion"])))
    model = BundleModel.load(attempt.folder / str(attempt.content["challenger"]), device="cpu")
    last = said[-1]["result"] if said else _newest(ledger) - 1
    with FilmReaders(1) as readers, _private(log) as stream:
        while len(said) < wanted and not should_stop():
            rows = _after(ledger, last, served)
            if not rows and not when_idle():
                break
            for row in rows:
                if len(said) >= wanted or should_stop():
                    break
                last = row.id
                if not row.path or not Path(row.path).is_file():  # forgotten by the spool
                    continue
                begin = time.monotonic()
                line = _line(model, readers, row)
                stream.write(json.dumps(line) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
                said.append(line)
                tell(f"{len(said)} of {wanted} films")
                time.sleep((time.monotonic() - begin) * (1.0 / share - 1.0))
    return said


def _line(model: BundleModel, readers: FilmReaders, row: Any) -> dict[str, Any]:
    """What both models flag on a film; the challenger's part is empty where it refused it."""
    key = InstanceKey(row.patient_id, row.study_uid, "", row.sop_uid)
    read = partial(prepare_film, readers, model, key, row.path)
    made, _ = outcomes_of(model, [(row.id, read)])
    scores = made[0].prediction.scores if made and made[0].prediction is not None else ()
    flags = zip(row.findings, row.positive, strict=True)
    return {
        "result": row.id,
        "patient": hashlib.sha256(row.patient_id.encode()).hexdigest()[:16],
        "champion": {name: bool(flag) for name, flag in flags if flag is not None},
        "challenger": {s.finding: bool(s.positive) for s in scores if s.positive is not None},
    }


def _newest(ledger: Ledger) -> int:
    """Number of the newest result: the shadow begins there, not at the beginning of time."""
    with ledger.read() as connection:
        query = select(results.c.id).order_by(results.c.id.desc()).limit(1)
        return int(connection.execute(query).scalar() or 1)


def _after(ledger: Ledger, last: int, served: frozenset[str]) -> list[Any]:
    query = (
        select(results, films.c.path, films.c.patient_id)
        .join(films, films.c.sop_uid == results.c.sop_uid)
        .where(results.c.id > last, results.c.model_digest.in_(sorted(served)))
        .order_by(results.c.id)
        .limit(_PAGE)
    )
    with ledger.read() as connection:
        return list(connection.execute(query))


def _lines(log: Path) -> list[dict[str, Any]]:
    """Whole lines; one that a kill cut short is cut off, and its film is read again."""
    if not log.is_file():
        return []
    text = log.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        with log.open("rb+") as stream:
            stream.truncate(len(whole))
    return [json.loads(line) for line in whole.splitlines()]


def _private(log: Path) -> Any:
    handle = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, PRIVATE_FILE)
    return os.fdopen(handle, "a", encoding="utf-8")


def _summary(said: Sequence[Mapping[str, Any]], margins: Margins, wanted: int) -> dict[str, Any]:
    both = [one for one in said if one["challenger"]]
    names = list(dict.fromkeys(name for one in both for name in one["challenger"]))
    judged = [name for name in names if not margins.findings or name in margins.findings]
    found = [_finding(name, both, margins) for name in judged]
    outcomes = {one.outcome for one in found}
    enough = len(both) >= wanted and bool(found)
    outcome = REFUSED if REFUSED in outcomes else PASSED
    return {
        "format": "monai_cxr shadow",
        "format_version": "1.0",
        "n_films": len(said),
        "n_refused_by_challenger": len(said) - len(both),
        "n_wanted": wanted,
        "flag_rate_margin": margins.flag_rate,
        "findings": [one.to_json() for one in found],
        "outcome": outcome if enough else NOT_DECIDED,
    }


def _finding(name: str, both: Sequence[Mapping[str, Any]], margins: Margins) -> ShadowFinding:
    rows = [one for one in both if name in one["champion"] and name in one["challenger"]]
    first = np.array([one["champion"][name] for one in rows], dtype=bool)
    second = np.array([one["challenger"][name] for one in rows], dtype=bool)
    codes, _ = patient_codes(np.array([one["patient"] for one in rows], dtype=object))
    change = paired_share_difference(first, second, codes) if rows else Interval(float("nan"))
    rates = [float(one.mean()) if rows else float("nan") for one in (first, second)]
    agreement = float((first == second).mean()) if rows else float("nan")
    outcome = PASSED if change.high < margins.flag_rate else REFUSED
    return ShadowFinding(name, len(rows), rates[0], rates[1], agreement, change, outcome)
