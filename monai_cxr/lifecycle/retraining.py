"""Retraining: one attempt under a sealed plan, from the films to the verdict.

An attempt cannot promote anything. It tries the kinds of change that the plan allows, the smallest
first, and ends with the first that passes the gate or with a refusal.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from monai_cxr.atomic import held, write_json, write_text
from monai_cxr.bundle.digests import DIGESTS_NAME
from monai_cxr.bundle.inference import predict_table
from monai_cxr.bundle.model import BundleModel, bundle_digest, rules_of
from monai_cxr.errors import CXRError, InvalidTable, SettingsError
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.lifecycle import serving
from monai_cxr.lifecycle.attempt import (
    ATTEMPT_NAME,
    PLAN_NAME,
    Attempt,
    Basis,
    read_attempt,
    start_attempt,
)
from monai_cxr.lifecycle.challengers import recalibrated, retrained, with_new_thresholds
from monai_cxr.lifecycle.films import (
    data_digests,
    digest_of_films,
    film_digests,
    refuse_leaks,
    training_films,
    without_test_patients,
)
from monai_cxr.lifecycle.gate import judge
from monai_cxr.lifecycle.gate_page import gate_page
from monai_cxr.lifecycle.ledger_films import ledger_films
from monai_cxr.lifecycle.measures import Contestant
from monai_cxr.lifecycle.plan import ChangePlan, check_seal, read_plan
from monai_cxr.lifecycle.plan_words import kinds_in_order
from monai_cxr.lifecycle.registry import (
    CHAMPION,
    Event,
    add_version,
    champion_since,
    changing,
    open_registry,
    record,
    resolve,
)
from monai_cxr.lifecycle.verdict import NOT_DECIDED, PASSED, REFUSED, Verdict
from monai_cxr.tables import normalise_index, read_table, write_table
from monai_cxr.training.run.manifest import environment

TRAINING = "training.parquet"
APART = "seen.parquet"
"""Films whose labels came from readers who had, or may have, seen the score: never learnt from."""

VERDICT, PAGE, SERVING = "verdict.json", "gate.html", "serving.json"
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Work:
    """What the steps share."""

    attempt: Attempt
    plan: ChangePlan
    champion: Path
    tell: Progress

    @property
    def folder(self) -> Path:
        return self.attempt.folder


def retrain(path: Path, out: Path, *, tell: Progress = lambda _: None) -> Attempt:
    """Make, or go on with, an attempt.

    Args:
        path: A sealed plan.
        out: Folder of the attempt.
        tell: Called with what is being done.

    Returns:
        The finished attempt.

    Raises:
        SettingsError: If the plan is not sealed or was changed, another attempt on this registry is
            running, or a file of the attempt was changed.
        InvalidTable: If a film of a test is among the new films.
        CXRError: If a step fails; the attempt keeps why, and the same command goes on from there.
    """
    plan = read_plan(path)
    _basis(path, plan)  # refused before a lock is made
    with held(plan.registry / ".attempt.lock") as ours:
        if not ours:
            raise SettingsError(
                "Another attempt on this registry is running. Wait until it ends, or stop it."
            )
        basis = _basis(path, plan)
        champion = open_registry(plan.registry).path_of(basis.champion)
        attempt = start_attempt(out, basis, plan.registry, environment())
        work = _Work(attempt, plan, champion, tell)
        if attempt.outcome:
            attempt.check_files()
        else:
            try:
                _films(work, path)
                _champion_predictions(work)
                _try_kinds(work)
            except CXRError as error:
                attempt.add_failure(f"{type(error).__name__}: {error}")
                raise
            except OSError as error:
                attempt.add_failure(type(error).__name__)
                raise SettingsError(
                    f"The attempt '{out.name}' could not be written "
                    f"({error.strerror or 'disk full?'}). Free some space and repeat the command: "
                    "it goes on where it was."
                ) from error
        _register(attempt, plan)
    return attempt


def next_attempt(path: Path, folder: Path) -> Path:
    """Where, in a folder of attempts, to go on or to begin.

    Args:
        path: A sealed plan.
        folder: Of attempts, each in a folder of its own; it need not exist.

    Returns:
        The newest unfinished attempt that rests on the same plan, champion and data; else a new
        folder that is named by the day.

    Raises:
        SettingsError: If the plan is not sealed or was changed, or its registry has no champion.
    """
    basis = _basis(path, read_plan(path))
    unfinished = [
        attempt
        for found in folder.glob(f"*/{ATTEMPT_NAME}")
        if not (attempt := read_attempt(found.parent)).outcome
        and attempt.content["basis"] == basis.to_json()
    ]
    if unfinished:
        return max(unfinished, key=lambda one: (one.folder / ATTEMPT_NAME).stat().st_mtime).folder
    today = datetime.now().astimezone().date().isoformat()
    names = (today, *(f"{today}-{number}" for number in range(2, 1000)))
    return next(folder / name for name in names if not (folder / name).exists())


def _basis(path: Path, plan: ChangePlan) -> Basis:
    """What an attempt under a plan would rest on now."""
    seal = check_seal(path)
    registry = open_registry(plan.registry)
    if not registry.aliases[CHAMPION]:
        raise SettingsError(
            f"The registry '{plan.registry.name}' has no champion to change. Add one with: "
            "monai-cxr registry add BUNDLE"
        )
    version, _ = resolve(registry, CHAMPION)
    return Basis(seal.plan, version, data_digests(plan.data))


def _films(work: _Work, path: Path) -> None:
    """Take the films, and refuse those of a test, before anything is learnt."""

    def prepare() -> None:
        work.tell("looking for test films among the new ones")
        findings = BundleModel.load(work.champion).findings
        tests = {
            name: normalise_index(read_table(index), findings)
            for name, index in work.plan.data.tests.items()
        }
        live, apart, facts = _live_films(work.plan, tests, findings)
        training = training_films(work.plan.data, findings, live)
        digests = {name: film_digests(t) for name, t in {"training": training, **tests}.items()}
        refuse_leaks(training, tests, digests)
        shutil.copyfile(path, work.folder / PLAN_NAME)
        write_table(training, work.folder / TRAINING)
        for name, table in tests.items():
            write_table(table, work.folder / f"{name}.parquet")
        write_table(apart, work.folder / APART)
        counted: dict[str, object] = {
            name: {"n": len(d), "digest": digest_of_films(d)} for name, d in digests.items()
        }
        write_json(work.folder / "films.json", counted | facts)

    tests = [f"{name}.parquet" for name in work.plan.data.tests]
    is_there = "films" in work.attempt.content["steps"]
    work.attempt.step("films", [PLAN_NAME, TRAINING, APART, *tests, "films.json"], prepare)
    if is_there:
        _refuse_changed_films(work)


def _refuse_changed_films(work: _Work) -> None:
    """Whatever an attempt goes on with are the films that it began with, byte for byte."""
    begun = json.loads((work.folder / "films.json").read_text(encoding="utf-8"))
    for name in ("training", *work.plan.data.tests):
        now = film_digests(read_table(work.folder / f"{name}.parquet"))
        if digest_of_films(now) != begun[name]["digest"]:
            raise InvalidTable(
                f"Films of the {name} index were changed since this attempt began (expected "
                f"SHA-256 {begun[name]['digest'][:12]}... over all {len(now)}). Restore them, or "
                "begin another attempt.",
                reason="films_changed",
            )


def _live_films(
    plan: ChangePlan, tests: Mapping[str, pd.DataFrame], findings: Sequence[str]
) -> tuple[pd.DataFrame | None, pd.DataFrame, dict[str, object]]:
    """Films of the ledger since the champion: evidence, those kept apart, and their numbers."""
    data = plan.data
    if data.ledger is None:
        return None, pd.DataFrame({"sop_uid": []}), {}
    since = champion_since(open_registry(plan.registry))
    found = ledger_films(data.ledger, since, findings, data.ledger_labels)
    kept = without_test_patients(found.evidence, tests)
    facts = {
        "since": since,
        "n_evidence": len(kept),
        "n_of_test_patients": len(found.evidence) - len(kept),
        "n_apart": len(found.apart),
    }
    return kept, found.apart, {"ledger": facts}


def _champion_predictions(work: _Work) -> None:
    kinds = kinds_in_order(work.plan)
    val = ["val"] if set(kinds) - {"weights", "architecture"} else []
    for name in [*val, *work.plan.data.tests]:
        _predict(work, CHAMPION, work.champion, name)


def _predict(work: _Work, who: str, bundle: Path, test: str) -> None:
    """Predictions of a model as it would be served, of one test or of the new films' val split."""
    out = f"{who}/{test}.parquet"

    def predict() -> None:
        work.tell(f"{who} predicts {test}")
        name = TRAINING if test == "val" else f"{test}.parquet"
        rows = read_table(work.folder / name)
        if test == "val":
            rows = rows[rows["split"] == "val"].reset_index(drop=True)
        write_table(predict_table(BundleModel.load(bundle), rows), work.folder / out)

    work.attempt.step(f"{who} on {test}", [out], predict)


def _try_kinds(work: _Work) -> None:
    outcomes = []
    for kind in kinds_in_order(work.plan):
        verdict, bundle = _try(work, kind)
        version = bundle_digest(bundle)
        work.attempt.add_tried(kind, version, verdict.outcome)
        outcomes.append(verdict.outcome)
        if verdict.outcome == PASSED:
            work.attempt.note(challenger=f"{kind}/bundle", outcome=PASSED)
            return
    decided = NOT_DECIDED if NOT_DECIDED in outcomes else REFUSED
    work.attempt.note(outcome=decided)


def _try(work: _Work, kind: str) -> tuple[Verdict, Path]:
    """One kind of change: make the challenger, predict the tests, judge."""
    bundle = work.folder / kind / "bundle"

    def make() -> None:
        work.tell(f"making the challenger by {kind}")
        bundle.parent.mkdir(exist_ok=True)
        if kind in ("weights", "architecture"):
            run, index = bundle.with_name("run"), work.folder / TRAINING
            is_other = kind == "architecture"
            retrained(work.champion, index, work.plan, run, bundle, another_network=is_other)
        else:
            val = read_table(work.folder / CHAMPION / "val.parquet")
            change = recalibrated if kind == "calibration" else with_new_thresholds
            change(work.champion, val, work.plan, bundle)
        refused = serving.export_like(work.champion, bundle)
        serving.measure(
            work.champion, bundle, refused, work.folder / kind / SERVING, seed=work.plan.seed
        )

    made = [f"{kind}/bundle/{DIGESTS_NAME}", f"{kind}/{SERVING}"]
    work.attempt.step(f"{kind} made", made, make)
    for test in work.plan.data.tests:
        _predict(work, kind, bundle, test)

    def decide() -> None:
        tests = {
            test: (
                _contestant(work.folder / CHAMPION / f"{test}.parquet", work.champion),
                _contestant(work.folder / kind / f"{test}.parquet", bundle),
            )
            for test in work.plan.data.tests
        }
        measured = serving.read_measured(work.folder / kind / SERVING)
        verdict = judge(
            tests,
            work.plan.gate,
            seed=work.plan.seed,
            serving=serving.checks(measured, work.plan.gate, seed=work.plan.seed),
        )
        write_json(work.folder / kind / VERDICT, verdict.to_json())
        page = gate_page(verdict, work.plan, kind, work.attempt.content["basis"])
        write_text(work.folder / kind / PAGE, page)

    work.attempt.step(f"{kind} judged", [f"{kind}/{VERDICT}", f"{kind}/{PAGE}"], decide)
    text = (work.folder / kind / VERDICT).read_text(encoding="utf-8")
    return Verdict.from_json(json.loads(text)), bundle


def _contestant(predictions: Path, bundle: Path) -> Contestant:
    points = rules_of(bundle).by_finding
    return Contestant(
        load_predictions(predictions), {name: p.threshold for name, p in points.items()}
    )


def _register(attempt: Attempt, plan: ChangePlan) -> None:
    """Write the attempt down in the registry, once, and keep a challenger that passed there."""
    digest = attempt.digest
    with changing(plan.registry) as registry:
        if any(e.action == "attempt" and e.evidence == digest for e in registry.events):
            return
        version = ""
        if attempt.outcome == PASSED:
            bundle = attempt.folder / attempt.content["challenger"]
            registry, version = add_version(registry, bundle, by="retrain", reason=plan.name)
        reason = f"{plan.name}: {attempt.outcome}"
        record(registry, Event("attempt", version, "retrain", "", reason, digest))
