"""Triggers: whether an attempt is due. It may start one; it promotes nothing.

A changed input is no evidence that a model became worse, so an alarm counts only together with
labels, given without sight of the score, that contradict the model.
"""

from __future__ import annotations

from datetime import date, datetime, time, timezone

from monai_cxr.bundle.config import read_config
from monai_cxr.lifecycle.ledger_films import ledger_films
from monai_cxr.lifecycle.plan import ChangePlan
from monai_cxr.lifecycle.registry import CHAMPION, Registry, champion_since, resolve
from monai_cxr.screening.ledger.watching import alarms
from monai_cxr.screening.watching.named_ledger import open_named

_DAY_SECONDS = 86_400.0


def reasons_for(plan: ChangePlan, registry: Registry, *, now: float) -> tuple[str, ...]:
    """Why an attempt is due.

    Args:
        plan: With its triggers.
        registry: Its registry; an attempt that is written there begins the count again.
        now: Seconds since 1970.

    Returns:
        A sentence a trigger; empty where none is pulled.
    """
    due = plan.triggers
    since = max(champion_since(registry), _last_attempt(registry))
    made = []
    days = (now - since) / _DAY_SECONDS
    if due.every_days and days >= due.every_days:
        made.append(f"Calendar: {days:.0f} days have passed; the plan asks for {due.every_days}.")
    ledger = plan.data.ledger
    if ledger is None or not (due.new_labels or due.alarm_errors):
        return tuple(made)
    _, champion = resolve(registry, CHAMPION)
    findings = list(read_config(champion, "inference")["findings"])
    sources = plan.data.ledger_labels
    if due.new_labels:
        n = ledger_films(ledger, since, findings, sources).n_labels
        if n >= due.new_labels:
            made.append(f"New labels: {n} since then; the plan asks for {due.new_labels}.")
    if due.alarm_errors and (first := _open_alarm(str(ledger))) is not None:
        begin = datetime.combine(first, time(), timezone.utc).timestamp()
        n = ledger_films(ledger, max(begin, since), findings, sources).n_wrong
        if n >= due.alarm_errors:
            made.append(
                f"Alarm with evidence: open since {first}, and {n} labels since then contradict "
                f"the model; the plan asks for {due.alarm_errors}."
            )
    return tuple(made)


def _last_attempt(registry: Registry) -> float:
    made = [event.at for event in registry.events if event.action == "attempt"]
    return datetime.fromisoformat(made[-1]).timestamp() if made else 0.0


def _open_alarm(ledger: str) -> date | None:
    """First day of the oldest alarm that nobody has dealt with."""
    with open_named(ledger) as open_:
        days = [one.alarm.first for one in alarms.kept(open_) if one.is_open]
    return min(days, default=None)
