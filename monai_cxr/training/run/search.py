"""Search: a small sweep over named knobs, by Optuna; each trial is a run like any other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_cxr.errors import CXRError, SettingsError
from monai_cxr.optional import require
from monai_cxr.training.run import workflow
from monai_cxr.training.run.runs import best_epoch

STUDY_NAME = "monai-cxr"

FAILURES = 3
"""Trials that may fail in a row before a search stops: it is then not their values' fault."""


@dataclass(frozen=True, slots=True)
class Knob:
    """A config id and the values it may take.

    Attributes:
        name: The config id, for example ``learning_rate``.
        kind: ``log``, ``float``, ``int`` or ``choice``.
        low: Smallest value of a range.
        high: Largest value of a range.
        choices: The values of a choice.
    """

    name: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    choices: tuple[Any, ...] = ()

    def suggest(self, trial: Any) -> Any:
        """A value for an Optuna trial."""
        if self.kind == "choice":
            return json.loads(trial.suggest_categorical(self.name, list(self.choices)))
        if self.kind == "int":
            return trial.suggest_int(self.name, int(self.low), int(self.high))
        return trial.suggest_float(self.name, self.low, self.high, log=self.kind == "log")


def parse_knob(text: str) -> Knob:
    """Read a knob.

    Args:
        text: ``learning_rate=log:1e-4:1e-2``, ``label_smoothing=float:0:0.2``,
            ``batch_size=int:8:64`` or ``weighting=none,chexnet``.

    Raises:
        SettingsError: If it is none of these.
    """
    name, equals, values = text.partition("=")
    kind, *bounds = values.split(":")
    try:
        if not (equals and name and values):
            raise ValueError
        if kind in ("log", "float", "int"):
            low, high = (float(bound) for bound in bounds)
            if low >= high or (kind == "log" and low <= 0):
                raise ValueError
            return Knob(name, kind, low, high)
        return Knob(name, "choice", choices=tuple(_json(part) for part in values.split(",")))
    except ValueError:
        raise SettingsError(
            f"Cannot read the knob '{text}'. Expected for example learning_rate=log:1e-4:1e-2, "
            "label_smoothing=float:0:0.2, batch_size=int:8:64 or weighting=none,chexnet."
        ) from None


def search(
    bundle: str,
    index: Path,
    out: Path,
    knobs: Sequence[Knob],
    *,
    n_trials: int = 10,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Train one run for each trial and keep the study; a stopped search goes on where it was.

    Args:
        bundle: Folder or name of the bundle.
        index: Index with train and val splits; the trials are judged on val.
        out: Folder of the study and its runs.
        knobs: What may change.
        n_trials: Trials in all, with those of an earlier call.
        settings: Settings of every trial.
        seed: Seed of the sampler (tree-structured Parzen estimator).
        say: Prints a line a trial.

    Returns:
        Folder of the best run.

    Raises:
        SettingsError: If there is no knob, or several trials in a row failed.
    """
    if not knobs:
        raise SettingsError("Name at least one knob, for example learning_rate=log:1e-4:1e-2.")
    optuna = require("optuna", extra="search")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study, states = _study(optuna, out), optuna.trial.TrialState
    n_failed = 0
    while len(study.get_trials(states=(states.COMPLETE,))) < n_trials:
        # By trial, so that a search that goes on suggests what it would have, and nothing twice.
        study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
        trial = study.ask()
        chosen = {knob.name: knob.suggest(trial) for knob in knobs}
        run = out / _folder(chosen)
        try:
            value = _train(bundle, index, run, {**(settings or {}), **chosen})
        except workflow.TrainingFailed as error:  # a rate that is too high, a network too large
            study.tell(trial, state=states.FAIL)
            n_failed += 1
            if n_failed == FAILURES:
                last = f"the last with {json.dumps(chosen)}: {error}"
                raise SettingsError(f"{FAILURES} trials in a row failed, {last}") from error
            say(f"{run.name}  failed  {json.dumps(chosen)}")
            continue
        except CXRError:
            study.tell(trial, state=states.FAIL)
            raise
        n_failed = 0
        trial.set_user_attr("run", run.name)
        study.tell(trial, value)
        say(f"{run.name}  {value:.4f}  {json.dumps(chosen)}")
    return out / str(study.best_trial.user_attrs["run"])


def _study(optuna: Any, out: Path) -> Any:
    """The study of a folder, new or begun; the trials that a kill cut short are queued again."""
    out.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=STUDY_NAME,
        storage=f"sqlite:///{(out / 'study.db').resolve()}",
        direction="maximize",
        load_if_exists=True,
    )
    states = optuna.trial.TrialState
    for left in study.get_trials(states=(states.RUNNING,)):
        study.tell(left.number, state=states.FAIL)
        study.enqueue_trial(left.params)
    return study


def _train(bundle: str, index: Path, run: Path, settings: Mapping[str, Any]) -> float:
    workflow.train(workflow.prepare_run(bundle, index, run, settings))
    value = best_epoch(run)["val_macro_auroc"]
    return value if value == value else 0.0  # no finding had both classes


def _folder(chosen: Mapping[str, Any]) -> str:
    """The same values are the same run, so that a trial that was stopped is continued."""
    text = json.dumps(chosen, sort_keys=True)
    return f"trial_{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _json(text: str) -> str:
    try:
        return json.dumps(json.loads(text))
    except ValueError:
        return json.dumps(text)
