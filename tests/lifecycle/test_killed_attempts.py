"""Attempts under kill -9: at the end of every step, and in the middle of steps.

MONAI_CXR_ATTEMPT_KILLS=all also kills training and packaging, and a fresh attempt each single time
that it touches a file.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monai_cxr.bundle.digests import check_digests, file_digest
from monai_cxr.lifecycle.attempt import read_attempt
from monai_cxr.lifecycle.registry import check_version, open_registry
from monai_cxr.tables import read_table

ALL = pytest.mark.skipif(
    os.environ.get("MONAI_CXR_ATTEMPT_KILLS") != "all",
    reason="Takes long: MONAI_CXR_ATTEMPT_KILLS=all.",
)


class Killer:
    """The program that makes attempts and kills them."""

    def __init__(self, log: Path) -> None:
        program = Path(__file__).with_name("killed_attempts.py")
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with log.open("w") as stream:
            self.process = subprocess.Popen(
                [sys.executable, str(program)], text=True, env=environment,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream,
            )  # fmt: skip

    def __call__(self, folder: Path, **when: float) -> dict[str, Any]:
        order = {"plan": str(folder / "plan.toml"), "out": str(folder / "attempt"), **when}
        print(json.dumps(order), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def attempt_in(tmp_path_factory):
    killer = Killer(tmp_path_factory.mktemp("killer") / "log.txt")
    yield killer
    killer.process.stdin.close()
    killer.process.wait()
    killer.process.stdout.close()


def fresh(site, name: str) -> Path:
    """A copy of the site, so that attempts do not meet."""
    folder = site / name
    folder.mkdir()
    for file in ("plan.toml", "plan.seal.json", "new.parquet", "locked.parquet"):
        shutil.copyfile(site / file, folder / file)
    shutil.copytree(site / "registry", folder / "registry", symlinks=True)
    return folder


def content_of(folder: Path) -> str:
    """What a finished attempt and its registry say, without what a clock says.

    A trained bundle names when and where it was trained, so it is compared by its weights.
    """
    out = folder / "attempt"
    record = read_attempt(out).content
    found = {key: record[key] for key in ("basis", "tried", "challenger", "outcome", "failures")}
    found["steps"] = list(record["steps"])
    for tried in record["tried"]:
        verdict = json.loads((out / tried["kind"] / "verdict.json").read_text())
        verdict["checks"] = [c for c in verdict["checks"] if c["measure"] != "seconds a film"]
        found[f"verdict {tried['kind']}"] = verdict
    for path in sorted(out.rglob("*.parquet")):
        found[str(path.relative_to(out))] = read_table(path).to_json()
    for path in sorted(out.glob("*/bundle/models/*.pt")):
        found[str(path.relative_to(out))] = file_digest(path)
    registry = open_registry(folder / "registry")
    found["events"] = [(e.action, e.version, e.reason) for e in registry.events]
    text = json.dumps(found)
    for number, tried in enumerate(record["tried"]):
        text = text.replace(tried["version"], f"challenger {number}")
    return text


def check_whole(folder: Path) -> None:
    """What is written down is there, whole, and nothing half-made is left beside it."""
    out = folder / "attempt"
    read_attempt(out).check_files()
    for bundle in out.glob("*/bundle"):
        check_digests(bundle)
    registry = open_registry(folder / "registry")
    for version in registry.versions:
        check_version(registry, version)
    versions = {path.name for path in (folder / "registry" / "versions").iterdir()}
    assert versions == set(registry.versions)
    left = [path.relative_to(folder) for path in folder.rglob(".*") if path.suffix != ".lock"]
    assert [path for path in left if path.name != ".lock"] == []


def same(one: str, other: str) -> bool:
    return one == other  # not in an assertion: a difference of such texts takes minutes to show


@pytest.mark.slow
def test_killed_at_every_step(site, attempt_in):
    """Each time one step more is written down, and the next is done and not written down.

    Before that in the middle of steps, also while the folder is only being made.
    """
    site.sealed()
    calm, hard = fresh(site, "calm"), fresh(site, "hard")
    undisturbed = attempt_in(calm)
    assert undisturbed["said"] == "passed"
    rng = random.Random(7)
    for at in (2, 3, rng.randint(4, undisturbed["touched"] // 3)):
        assert attempt_in(hard, at=at)["said"] == "killed", at
    kills = 0
    while (said := attempt_in(hard, record=2)["said"]) == "killed":
        kills += 1
    assert kills >= undisturbed["records"] // 2
    assert said == "passed"
    assert same(content_of(hard), content_of(calm))
    check_whole(hard)


@ALL
def test_killed_in_the_middle_of_training_and_packaging(site, attempt_in):
    site.sealed(changes=("weights",))
    calm, hard = fresh(site, "calm"), fresh(site, "hard")
    undisturbed = attempt_in(calm)
    rng, n = random.Random(7), undisturbed["touched"]
    for part in (1, 2):
        killed = attempt_in(hard, at=rng.randint(part * n // 4, (part + 1) * n // 4))
        assert killed["said"] == "killed"
    assert attempt_in(hard)["said"] == undisturbed["said"] == read_attempt(calm / "attempt").outcome
    assert same(content_of(hard), content_of(calm))
    check_whole(hard)


@ALL
@pytest.mark.parametrize("kind", ["thresholds", "weights"])
def test_killed_each_time_that_a_file_is_touched(site, attempt_in, kind):
    site.sealed(changes=(kind,))
    calm = fresh(site, "calm")
    undisturbed = attempt_in(calm)
    wanted = content_of(calm)
    step = 1 if kind == "thresholds" else 7  # an attempt with training takes longer
    for at in range(1, undisturbed["touched"] + 1, step):
        hard = fresh(site, f"hard{at}")
        attempt_in(hard, at=at)
        assert attempt_in(hard)["said"] == undisturbed["said"], at
        assert same(content_of(hard), wanted), at
        check_whole(hard)
        shutil.rmtree(hard)
