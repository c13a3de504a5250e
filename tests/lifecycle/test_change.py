"""Change a model end to end: plan, attempt, gate, promotion, rollback, on small phantoms."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monai_cxr.bundle.model import bundle_digest
from monai_cxr.errors import CXRError, InvalidBundle, InvalidTable, SettingsError
from monai_cxr.lifecycle.attempt import read_attempt
from monai_cxr.lifecycle.plan import check_seal, read_plan, seal_plan, write_plan
from monai_cxr.lifecycle.promotion import promote, rollback
from monai_cxr.lifecycle.registry import open_registry, resolve
from monai_cxr.lifecycle.retraining import retrain
from monai_cxr.tables import read_table, write_table

SIGNER = "Dr Example"
VERBS = "from monai_cxr.cli import main; main()"


class TestPlan:
    def test_the_template_reads_and_is_not_overwritten(self, tmp_path):
        write_plan(tmp_path / "plan.toml")
        assert read_plan(tmp_path / "plan.toml").gate.goal == "auroc"
        with pytest.raises(SettingsError, match="exists"):
            write_plan(tmp_path / "plan.toml")

    def test_an_unsealed_and_a_changed_plan_are_refused(self, site):
        path = site.plan()
        with pytest.raises(SettingsError, match="is not sealed"):
            retrain(path, site / "attempt")
        seal_plan(path)
        assert seal_plan(path) == check_seal(path)
        path.write_text(path.read_text().replace("auroc = 0.49", "auroc = 0.48"))
        for use in (seal_plan, check_seal, lambda p: retrain(p, site / "attempt")):
            with pytest.raises(SettingsError, match="was changed since it was sealed"):
                use(path)
        assert not (site / "attempt").exists()

    def test_another_locked_test_is_refused(self, site):
        path = site.sealed()
        write_table(read_table(site / "locked.parquet").head(9), site / "locked.parquet")
        with pytest.raises(
            SettingsError, match=r"'locked\.parquet' is not the one that was sealed"
        ):
            check_seal(path)

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ('changes = ["thresholds"]', 'changes = ["luck"]', "Expected 'changes' among"),
            ('signers = ["Dr Example"]', "signers = []", "Expected 'signers'"),
            ("auroc = 0.49", "aurok = 0.49", "Did you mean auroc"),
            ("auroc = 0.49", 'auroc = "small"', "Expected gate.auroc as float"),
            ('"new.parquet"', '"locked.parquet"', "must be different files"),
        ],
    )
    def test_what_is_wrong_is_named(self, site, old, new, said):
        path = site.plan()
        path.write_text(path.read_text().replace(old, new))
        with pytest.raises(SettingsError, match=said):
            read_plan(path)


def test_the_smallest_change_that_passes_is_promoted_and_taken_back(site, packaged_bundle):
    plan = site.sealed(changes=("thresholds", "calibration"))
    attempt = retrain(plan, site / "attempt")
    assert [t["kind"] for t in attempt.content["tried"]] == ["calibration"]
    assert attempt.outcome == "passed"
    page = (site / "attempt" / "calibration" / "gate.html").read_text()
    assert "New probabilities: passed" in page
    before = bundle_digest(packaged_bundle)
    registry = open_registry(site / "registry")
    assert resolve(registry, "champion")[0] == before  # an attempt cannot promote
    challenger = registry.aliases["challenger"][0]
    assert challenger == bundle_digest(site / "attempt" / "calibration" / "bundle")

    with pytest.raises(SettingsError, match="none of the plan's signers"):
        promote(site / "attempt", by="Somebody")
    assert promote(site / "attempt", by=SIGNER) == challenger
    assert bundle_digest(site / "registry" / "champion") == challenger
    assert open_registry(site / "registry").aliases["retired"] == (before,)
    with pytest.raises(SettingsError, match="is the champion already"):
        promote(site / "attempt", by=SIGNER)

    back = {"by": SIGNER, "reason": "Missed cases.", "expected": challenger[:12]}
    assert rollback(site / "registry", **back) == before
    assert bundle_digest(site / "registry" / "champion") == before
    with pytest.raises(SettingsError, match="rolled back already"):
        rollback(site / "registry", **back)
    with pytest.raises(SettingsError, match="no earlier champion"):
        rollback(site / "registry", by=SIGNER, reason="Again.")


def test_new_weights_are_trained_from_the_champion(site):
    plan = site.sealed(changes=("weights",))
    attempt = retrain(plan, site / "attempt")
    tried = attempt.content["tried"]
    assert [t["kind"] for t in tried] == ["weights"]
    assert tried[0]["version"] != attempt.content["basis"]["champion"]
    run = json.loads((site / "attempt" / "weights" / "run" / "run.json").read_text())
    assert run["settings"]["initial_weights"].endswith(attempt.content["basis"]["champion"])


def test_another_network_is_trained_from_scratch(site):
    network = {"_target_": "DenseNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 14}
    network |= {"init_features": 8, "growth_rate": 4, "block_config": [2]}
    setting = f"network_def={json.dumps(network)}"
    data = f"[training]\narchitecture = {json.dumps([setting])}"
    plan = site.plan(changes=("architecture",))
    text = plan.read_text().replace("[training]", data)
    plan.write_text(text)
    seal_plan(plan)
    attempt = retrain(plan, site / "attempt")
    tried = attempt.content["tried"][0]
    assert tried["kind"] == "architecture"
    run = json.loads((site / "attempt" / "architecture" / "run" / "run.json").read_text())
    assert not run["settings"].get("initial_weights")
    made = site / "attempt" / "architecture" / "bundle" / "models" / "model.pt"
    champion = open_registry(site / "registry").path_of(attempt.content["basis"]["champion"])
    assert made.stat().st_size < (champion / "models" / "model.pt").stat().st_size
    verdict = json.loads((site / "attempt" / "architecture" / "verdict.json").read_text())
    assert any(one["measure"] == "seconds a film" and one["n"] for one in verdict["checks"])
    plan.with_name("other.toml").write_text(
        text.replace('changes = ["architecture"]', 'changes = ["weights"]')
    )
    with pytest.raises(SettingsError, match="name both, or neither"):
        read_plan(plan.with_name("other.toml"))


def test_a_refused_attempt_is_kept_and_promotes_nothing(site):
    plan = site.sealed(changes=("calibration",), goal="auroc")
    attempt = retrain(plan, site / "attempt")
    assert attempt.outcome == "refused"
    with pytest.raises(SettingsError, match="is refused, so nothing is promoted"):
        promote(site / "attempt", by=SIGNER)
    registry = open_registry(site / "registry")
    assert registry.events[-1].action == "attempt"
    assert registry.aliases["challenger"] == ()


def test_test_films_among_the_new_ones_are_refused(site):
    new, locked = read_table(site / "new.parquet"), read_table(site / "locked.parquet")
    row = locked.head(1).assign(split="train")
    renamed = row.assign(patient_id="other", study_uid="9.9", sop_uid="9.9.9")
    import pandas as pd

    for extra, said in ((row, "1 patients of the locked"), (renamed, "1 copies of films")):
        write_table(pd.concat([new, extra], ignore_index=True), site / "new.parquet")
        plan = site.sealed(name=f"plan{len(said)}.toml")
        with pytest.raises(InvalidTable, match=said):
            retrain(plan, site / f"attempt{len(said)}")
    failures = read_attempt(site / f"attempt{len(said)}").content["failures"]
    assert str(renamed["patient_id"].iloc[0]) not in " ".join(failures).split()
    assert len(failures) == 1


def test_what_was_tampered_with_is_named(site):
    retrain(site.sealed(), site / "attempt")
    for name, said in (
        ("attempt/thresholds/locked.parquet", r"thresholds/locked\.parquet"),
        ("attempt/attempt.json", "does not know the attempt"),
        ("attempt/plan.toml", r"plan\.toml"),
    ):
        path = site / name
        kept = path.read_bytes()
        path.write_bytes(kept.replace(b"Dr", b"Mr") if b"Dr" in kept else kept + b" ")
        with pytest.raises(CXRError, match=said):
            promote(site / "attempt", by=SIGNER)
        path.write_bytes(kept)
    page = site / "attempt" / "thresholds" / "gate.html"
    kept = page.read_bytes()
    page.write_bytes(kept + b" ")
    with pytest.raises(SettingsError, match=r"thresholds/gate\.html"):
        retrain(site / "plan.toml", site / "attempt")
    page.write_bytes(kept)
    registry = open_registry(site / "registry")
    weights = registry.path_of(registry.champions[-1]) / "models" / "model.pt"
    kept = weights.read_bytes()
    weights.write_bytes(kept + b"x")
    with pytest.raises(InvalidBundle, match=r"models/model\.pt"):
        resolve(open_registry(site / "registry"), "champion")
    weights.write_bytes(kept)
    journal = site / "registry" / "registry.json"
    kept_text = journal.read_text()
    journal.write_text(kept_text.replace('"Accepted."', '"Never."', 1))
    with pytest.raises(SettingsError, match="Event 1 of the registry"):
        open_registry(site / "registry")
    journal.write_text(kept_text)
    promote(site / "attempt", by=SIGNER)


def test_an_attempt_killed_at_any_moment_goes_on(site):
    """Kill -9 the verb twice; the end is that of an attempt that was never killed."""
    plan = site.sealed()
    out = site / "attempt"
    command = [sys.executable, "-c", VERBS, "retrain", str(plan), "--out", str(out)]
    done: set[str] = set()
    for _ in range(2):
        process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
        started = len(done)
        while process.poll() is None and len(done) <= started:
            time.sleep(0.02)
            if (out / "attempt.json").is_file():
                done = set(read_attempt(out).content["steps"])
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert done
    attempt = retrain(plan, out)
    assert attempt.outcome == "passed"
    events = [e.action for e in open_registry(site / "registry").events]
    assert events == ["add", "promote", "add", "attempt"]


def test_a_film_that_was_changed_in_between_is_refused(site):
    """The index is the same, the film is not: what was begun does not go on with it."""
    plan, out = site.sealed(), site / "attempt"
    retrain(plan, out)
    attempt = read_attempt(out)
    attempt.note(outcome="")  # as if it had been killed before the end
    locked = read_table(out / "locked.parquet")
    film = Path(str(locked["path"].iloc[0]))
    kept = film.read_bytes()
    film.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    try:
        with pytest.raises(InvalidTable, match="Films of the locked index were changed") as found:
            retrain(plan, out)
    finally:
        film.write_bytes(kept)  # of the session
    assert found.value.reason == "films_changed"
    assert retrain(plan, out).outcome == "passed"


def test_rollback_survives_kill_9(site):
    """However often it is killed: the champion is one of the two, and once gone back it stays."""
    retrain(site.sealed(), site / "attempt")
    new = promote(site / "attempt", by=SIGNER)
    old = open_registry(site / "registry").champions[0]
    script = (
        "import os, sys, threading, time\n"
        "from pathlib import Path\n"
        "from monai_cxr.lifecycle.promotion import rollback\n"
        "delay = float(sys.argv[2])\n"
        "threading.Thread(target=lambda: (time.sleep(delay), os.kill(os.getpid(), 9))).start()\n"
        f"rollback(Path(sys.argv[1]), by='a', reason='b', expected='{new[:12]}')\n"
    )
    for i in range(5):
        command = [sys.executable, "-c", script, str(site / "registry"), str(0.02 * i)]
        subprocess.run(command, stderr=subprocess.DEVNULL)
        champion, _ = resolve(open_registry(site / "registry"), "champion")
        assert champion in (old, new)
        assert bundle_digest(site / "registry" / "champion") in (old, new)
    if champion == new:
        rollback(site / "registry", by=SIGNER, reason="End.")
    actions = [e.action for e in open_registry(site / "registry").events]
    assert actions.count("rollback") == 1
    with pytest.raises(SettingsError):
        rollback(site / "registry", by=SIGNER, reason="End.")
    assert bundle_digest(site / "registry" / "champion") == old


def test_a_disk_that_is_full_in_the_middle_costs_nothing(site):
    """The kernel lets no file grow beyond a limit that the records stay below."""
    plan, out = site.sealed(), site / "attempt"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))  # the bundle is larger
    try:
        with pytest.raises(SettingsError, match="Free some space"):
            retrain(plan, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    attempt = read_attempt(out)
    assert len(attempt.content["failures"]) == 1
    assert "thresholds made" not in attempt.content["steps"]
    assert retrain(plan, out).outcome == "passed"


def test_two_attempts_at_once_are_refused(site):
    from monai_cxr.atomic import held

    plan = site.sealed()
    with held(site / "registry" / ".attempt.lock") as ours:
        assert ours
        with pytest.raises(SettingsError, match="Another attempt on this registry is running"):
            retrain(plan, site / "attempt")
    assert not (site / "attempt").exists()


def test_another_champion_makes_the_attempt_void(site):
    retrain(site.sealed(), site / "first")
    retrain(site.sealed(changes=("calibration",), name="second.toml"), site / "second")
    promote(site / "first", by=SIGNER)
    with pytest.raises(SettingsError, match="no longer the one that this attempt was judged"):
        promote(site / "second", by=SIGNER)
    shutil.rmtree(site / "second")
