"""Plan in words: what a plan allows and asks, in sentences that a signer can read."""

from __future__ import annotations

from monai_cxr.lifecycle.plan import CHANGES, ChangePlan
from monai_cxr.lifecycle.sample_size import for_non_inferiority

_KINDS = {
    "calibration": "new probabilities, with the thresholds as they are",
    "thresholds": "new thresholds, with the probabilities as they are",
    "weights": "new weights, with new probabilities and thresholds",
    "architecture": "another network from scratch, with its own probabilities and thresholds",
}
_GOALS = {
    "auroc": "The mean AUROC must be higher on the {test} test.",
    "brier": "The mean Brier score must be lower on the {test} test.",
    "none": "Nothing needs to be better; the change only must not harm.",
}


def kinds_in_order(plan: ChangePlan) -> tuple[str, ...]:
    """The kinds of change that a plan allows, the smallest first."""
    return tuple(kind for kind in CHANGES if kind in plan.changes)


def _ledger_sentences(plan: ChangePlan) -> tuple[str, ...]:
    """What a plan draws from a running service, and what it asks of it."""
    data, due, shadow = plan.data, plan.triggers, plan.shadow
    said = []
    if data.ledger is not None:
        said.append(
            f"Films of '{data.ledger.name}' since the champion came into use are new films too, "
            f"with labels of {' and '.join(data.ledger_labels)}; readers who had seen the score "
            "are no evidence, and films of a test's patients are left out."
        )
    when = [
        *([f"every {due.every_days} days"] if due.every_days else []),
        *([f"with {due.new_labels} new labels"] if due.new_labels else []),
        *(
            [f"with an open alarm and {due.alarm_errors} labels that contradict the model since"]
            if due.alarm_errors
            else []
        ),
    ]
    if when:
        said.append(f"An attempt is due {', or '.join(when)}. It promotes nothing by itself.")
    if shadow.films:
        said.append(
            f"Before it may be promoted, a challenger reads {shadow.films} films of the live "
            f"stream beside the champion, on at most {shadow.share:.0%} of a processor."
        )
    return tuple(said)


def plan_sentences(plan: ChangePlan) -> tuple[str, ...]:
    """What a plan says, one sentence a rule."""
    gate, data = plan.gate, plan.data
    tests = list(data.tests)
    kinds = "; then ".join(_KINDS[kind] for kind in kinds_in_order(plan))
    start = {
        "champion": "start from the champion's weights",
        "scratch": "start from the bundle's own start",
    }[plan.training.start]
    needed = for_non_inferiority(gate.sensitivity)
    findings = ", ".join(gate.findings) or "every finding"
    return (
        f"'{plan.name}': {plan.reason}",
        f"It tries {kinds}. The first that passes ends the attempt.",
        f"New weights {start} and train on '{data.training.name}'"
        + (f" with {len(data.overlays)} overlays of corrected labels" if data.overlays else "")
        + f", seed {plan.seed}.",
        f"Labels: {data.labels}",
        *_ledger_sentences(plan),
        "Champion and challenger are judged on the same films of "
        + " and ".join(f"'{path.name}' ({name} test)" for name, path in data.tests.items())
        + ", none of whose patients may be among the training films.",
        _GOALS[gate.goal].format(test=tests[-1]),
        f"For {findings}, one-sided 97.5 % bounds must rule out a loss of {gate.auroc:g} in AUROC "
        f"and {gate.sensitivity:g} in sensitivity, and a rise of {gate.brier:g} in the Brier score "
        f"and {gate.flag_rate:g} in the share of flagged films.",
        "The challenger must have the champion's exports, each as near to its own network as an "
        f"export must be, and a film may take at most {gate.speed:.0%} longer.",
        f"In each subgroup by {' and by '.join(gate.subgroups)} they must rule out a loss of "
        f"{gate.subgroup_auroc:g} in mean AUROC."
        if gate.subgroups
        else "No subgroups are looked at.",
        f"With fewer than {gate.n_positive} patients of the rarer class of a finding "
        f"({gate.n_positive_subgroup} in a subgroup) the gate says 'not decided'.",
        f"Sample size: about {needed} patients with a finding, a film each, let a challenger that "
        "is as good pass the check of sensitivity in 80 % of attempts, where the models differ on "
        "10 % of them; every further check must pass too.",
        f"{' or '.join(plan.signers)} may promote what passes.",
    )
