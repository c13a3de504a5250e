"""Plan: what may change, on which data and under which rules, sealed before the data are seen.

The plan follows what FDA asks of a predetermined change control plan (guidance of August 2025):
the modifications, the protocol that tests them, and who decides.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any

from monai_cxr.atomic import write_json, write_text
from monai_cxr.bundle.config import parse_setting
from monai_cxr.bundle.digests import file_digest
from monai_cxr.errors import SettingsError
from monai_cxr.lifecycle.ledger_films import LABEL_SOURCES, REVIEWS
from monai_cxr.lifecycle.margins import Margins
from monai_cxr.settings_reader import TableReader

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CHANGES = ("calibration", "thresholds", "weights", "architecture")
"""Kinds of change, the smallest first: they are tried in this order."""

STARTS = ("champion", "scratch")
_TEMPLATE = "plan_template.toml"


@dataclass(frozen=True, slots=True)
class PlanData:
    """The films that a change draws on.

    Attributes:
        training: Index of new labelled films, with the splits train and val.
        locked_test: Index of the test that stays the same from change to change.
        labels: How the labels were made, in words.
        recent_test: Index of recent films of the site; None where there is none.
        overlays: Corrections of the labels of ``training``, applied in order.
        ledger: TOML of the screening service, or its SQLite ledger, whose films since the champion
            came into use are new films too, where people gave them labels; None for none.
        ledger_labels: Where those labels come from, among
            :data:`monai_cxr.lifecycle.ledger_films.LABEL_SOURCES`.
    """

    training: Path
    locked_test: Path
    labels: str
    recent_test: Path | None = None
    overlays: tuple[Path, ...] = ()
    ledger: Path | None = None
    ledger_labels: tuple[str, ...] = (REVIEWS,)

    @property
    def tests(self) -> dict[str, Path]:
        """The tests by name, the most recent one last."""
        recent = {} if self.recent_test is None else {"recent": self.recent_test}
        return {"locked": self.locked_test, **recent}


@dataclass(frozen=True, slots=True)
class PlanTraining:
    """How new weights are trained.

    Attributes:
        start: One of :data:`STARTS`: from the champion's weights, or from the bundle's own start.
        settings: ``key=value`` texts of ``monai-cxr train --set``.
        architecture: Further such texts for a change of architecture, which starts from scratch;
            for example ``architecture=densenet121``.
    """

    start: str = "champion"
    settings: tuple[str, ...] = ()
    architecture: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Triggers:
    """When an attempt is due; any of them is enough, and drift alone never is.

    Attributes:
        every_days: So long after the last attempt, or the champion's first day; 0 for never.
        new_labels: So many labels of the ledger since the champion came into use; 0 for never.
        alarm_errors: While an alarm is open: so many labels of films since its first day that
            contradict the model's flag; 0 for never.
    """

    every_days: int = 0
    new_labels: int = 0
    alarm_errors: int = 0


@dataclass(frozen=True, slots=True)
class Shadow:
    """How a challenger reads beside the champion before it may take its place.

    Attributes:
        films: Films of the live stream that both must have read; 0 asks for none.
        share: Largest share of one processor that the challenger may use, in (0, 1].
    """

    films: int = 0
    share: float = 0.25


@dataclass(frozen=True, slots=True)
class ChangePlan:
    """A plan.

    Attributes:
        name: Of the change.
        reason: Why a change is wanted, in words.
        registry: Folder of the registry.
        signers: Who may promote.
        data: The films.
        changes: Kinds of change that are allowed, among :data:`CHANGES`.
        seed: Of training, folds and bootstrap.
        training: How new weights are trained.
        gate: The rules.
        triggers: When an attempt is due.
        shadow: What a challenger must read first.
    """

    name: str
    reason: str
    registry: Path
    signers: tuple[str, ...]
    data: PlanData
    changes: tuple[str, ...] = CHANGES[:3]
    seed: int = 0
    training: PlanTraining = field(default_factory=PlanTraining)
    gate: Margins = field(default_factory=Margins)
    triggers: Triggers = field(default_factory=Triggers)
    shadow: Shadow = field(default_factory=Shadow)


@dataclass(frozen=True, slots=True)
class Seal:
    """What a seal fixes.

    Attributes:
        plan: SHA-256 of the plan's bytes, hexadecimal.
        locked_test: SHA-256 of the locked test's index.
        at: Time of the seal, ISO 8601, UTC.
    """

    plan: str
    locked_test: str
    at: str


def write_plan(path: Path) -> None:
    """Write a plan to fill in, with the reason of each line beside it.

    Raises:
        SettingsError: If the file exists.
    """
    if path.exists():
        raise SettingsError(f"'{path.name}' exists. Choose another name for the new plan.")
    text = files("monai_cxr.lifecycle").joinpath(_TEMPLATE).read_text(encoding="utf-8")
    write_text(path, text)


def read_plan(path: Path) -> ChangePlan:
    """Read and check a plan.

    Raises:
        SettingsError: Naming the key, what was expected, and what to do.
    """
    try:
        content = tomllib.loads(_bytes(path).decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The plan '{path.name}' is no TOML: {error}.") from None
    plan: ChangePlan = TableReader(path.absolute().parent, {}).table(ChangePlan, content, "")
    _check(plan)
    return plan


def seal_path(path: Path) -> Path:
    """Where the seal of a plan lies: beside it."""
    return path.with_name(f"{path.stem}.seal.json")


def seal_plan(path: Path) -> Seal:
    """Fix a plan and the index of its locked test by their digests.

    Sealing the same plan again changes nothing.

    Raises:
        SettingsError: If the plan is wrong, or was sealed with other content.
    """
    plan = read_plan(path)
    if seal_path(path).exists():
        return check_seal(path)
    if not plan.data.locked_test.is_file():
        raise SettingsError(
            f"The locked test '{plan.data.locked_test.name}' does not exist. It is fixed together "
            "with the plan: make it first."
        )
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    seal = Seal(_digest(path), file_digest(plan.data.locked_test), now)
    write_json(
        seal_path(path),
        {
            "format": "monai_cxr plan seal",
            "plan": seal.plan,
            "locked_test": seal.locked_test,
            "at": seal.at,
        },
    )
    return seal


def check_seal(path: Path) -> Seal:
    """The seal of a plan that is as it was sealed.

    Raises:
        SettingsError: If the plan is not sealed, or it or its locked test changed since.
    """
    plan = read_plan(path)
    try:
        content: dict[str, Any] = json.loads(seal_path(path).read_text(encoding="utf-8"))
        seal = Seal(str(content["plan"]), str(content["locked_test"]), str(content["at"]))
    except FileNotFoundError:
        raise SettingsError(
            f"The plan '{path.name}' is not sealed. Seal it before its data are used: monai-cxr "
            f"plan seal {path.name}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise SettingsError(
            f"The seal '{seal_path(path).name}' is damaged. Restore it, or write a new plan."
        ) from None
    if _digest(path) != seal.plan:
        raise SettingsError(
            f"The plan '{path.name}' was changed since it was sealed (expected SHA-256 "
            f"{seal.plan[:12]}...). Restore it, or seal the changed plan under another name."
        )
    if (
        not plan.data.locked_test.is_file()
        or file_digest(plan.data.locked_test) != seal.locked_test
    ):
        raise SettingsError(
            f"The locked test '{plan.data.locked_test.name}' is not the one that was sealed "
            f"(expected SHA-256 {seal.locked_test[:12]}...). Restore it."
        )
    return seal


def _digest(path: Path) -> str:
    return hashlib.sha256(_bytes(path)).hexdigest()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"The plan '{path.name}' cannot be read ({error.strerror}). Write one with: monai-cxr "
            "plan new"
        ) from None


def _check(plan: ChangePlan) -> None:
    for key, value in (("name", plan.name), ("reason", plan.reason), ("labels", plan.data.labels)):
        if not value.strip():
            raise SettingsError(f"Expected '{key}' of the plan in words, but it is empty.")
    if not plan.signers or not all(name.strip() for name in plan.signers):
        raise SettingsError("Expected 'signers' as the names of who may promote, but it is empty.")
    wrong = [kind for kind in plan.changes if kind not in CHANGES]
    if wrong or not plan.changes:
        raise SettingsError(
            f"Expected 'changes' among {', '.join(CHANGES)}, but got {', '.join(wrong) or 'none'}."
        )
    if plan.training.start not in STARTS:
        raise SettingsError(
            f"Expected training.start as one of {', '.join(STARTS)}, but got "
            f"'{plan.training.start}'."
        )
    unknown = [name for name in plan.data.ledger_labels if name not in LABEL_SOURCES]
    if unknown:
        raise SettingsError(
            f"Expected data.ledger_labels among {', '.join(LABEL_SOURCES)}, but got '{unknown[0]}'."
        )
    due = plan.triggers
    if min(due.every_days, due.new_labels, due.alarm_errors, plan.shadow.films) < 0:
        raise SettingsError("Expected the numbers of [triggers] and [shadow] as at least 0.")
    if (due.new_labels or due.alarm_errors) and plan.data.ledger is None:
        raise SettingsError("triggers.new_labels and alarm_errors need data.ledger: name it.")
    if not 0.0 < plan.shadow.share <= 1.0:
        raise SettingsError(
            f"Expected shadow.share above 0 and at most 1, but got {plan.shadow.share}."
        )
    if ("architecture" in plan.changes) != bool(plan.training.architecture):
        raise SettingsError(
            "A change of architecture needs 'architecture' in changes and the settings of the new "
            "network in training.architecture: name both, or neither."
        )
    for text in (*plan.training.settings, *plan.training.architecture):
        parse_setting(text)
    data = plan.data
    used = [data.training, data.locked_test, *([data.recent_test] if data.recent_test else [])]
    if len({path.resolve() for path in used}) < len(used):
        raise SettingsError(
            "The training films and the tests of the plan must be different files. Make an index "
            "for each."
        )
