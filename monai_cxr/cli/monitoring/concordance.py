"""Concordance: monitor concordance, monitor second-look, monitor looked."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import Annotated

import typer

from monai_cxr.cli.monitoring.monitor import LedgerArgument, monitor_app, opened, shown
from monai_cxr.cli.output import JsonOption, emit, say, show

FromOption = Annotated[
    datetime | None,
    typer.Option(
        "--from",
        formats=["%Y-%m-%d"],
        metavar="DATE",
        help="First day, in UTC: studies whose film and report were both there from then on. "
        "Default: all, which walks through every report.",
    ),
]
ToOption = Annotated[
    datetime | None,
    typer.Option(
        "--to",
        formats=["%Y-%m-%d"],
        metavar="DATE",
        help="Last day, in UTC; everything is taken as it was at its end.",
    ),
]


def register(_: typer.Typer) -> None:
    """Add these verbs to ``monitor``."""
    monitor_app.command("concordance")(concordance)
    monitor_app.command("second-look")(second_look)
    monitor_app.command("looked")(looked)


def concordance(
    ledger: LedgerArgument,
    labeller: Annotated[
        str,
        typer.Option(
            metavar="en|es|FILE|none",
            help="Error of the rules that read the reports: as measured for a language, or a CSV "
            "of your own check with finding, found, missed, invented, left.",
        ),
    ] = "en",
    first: FromOption = None,
    last: ToOption = None,
    json: JsonOption = False,
) -> None:
    """Compare the model's flags with the signed reports, by finding, month, maker and view.

    Reports are read by rules, which make errors of their own (docs/results/labels.md), and are not
    the truth; the second table corrects for these errors, as far as they are known. A finding that
    a report does not mention counts as absent; one that it leaves uncertain is left out. Intervals
    count patients.

    Example: monai-cxr monitor concordance screening.toml --from 2026-01-01 --to 2026-03-31
    """
    from monai_cxr.monitoring.concordance import ALL
    from monai_cxr.monitoring.concordance import concordance as concordance_of
    from monai_cxr.monitoring.labeller_error import by_language
    from monai_cxr.screening.ledger.people.signed_reports import fits_in_words
    from monai_cxr.screening.watching import agreement

    errors = by_language(labeller)
    since, until = _period(first, last)
    with opened(ledger) as open_:
        table, fits = agreement.side_by_side(open_, since=since, until=until)
    rows = concordance_of(table, agreement.GROUPS, errors=errors)
    if json:
        emit({"reports": fits, "concordance": rows})
        return
    say(f"Reports: {fits_in_words(fits)}.")
    if not rows:
        say("No report fits a film that has a result, so there is nothing to compare.")
        return
    show(
        "Flags against signed reports",
        ("finding", "group", "studies", "stated", "sensitivity", "specificity", "PPV", "kappa"),
        [
            (r.finding, r.group, r.n, r.n_present, shown(r.sensitivity), shown(r.specificity),
             shown(r.ppv), shown(r.kappa))
            for r in rows
            if r.group == ALL or r.n_present + r.n_flagged
        ],
    )  # fmt: skip
    if errors:
        show(
            "Against what the reports say, the rules' own error taken out and its width put in",
            ("finding", "rules find", "rules leave", "sensitivity", "specificity", "PPV"),
            [
                (r.finding, errors[r.finding].sensitivity, errors[r.finding].specificity,
                 shown(r.corrected.sensitivity), shown(r.corrected.specificity),
                 shown(r.corrected.ppv))
                for r in rows
                if r.group == ALL and r.finding in errors
            ],
        )  # fmt: skip


def second_look(
    ledger: LedgerArgument,
    limit: Annotated[int, typer.Option(min=1, help="Largest number of studies.")] = 20,
    first: FromOption = None,
    last: ToOption = None,
    json: JsonOption = False,
) -> None:
    """List studies that the model flags and whose signed report does not state the finding.

    The most probable misses come first, by the model's probability and by how often second looks
    confirmed this finding. The list contains Study Instance UIDs: keep it where patient data are
    kept.

    Example: monai-cxr monitor second-look screening.toml --limit 10
    """
    from monai_cxr.screening.watching import agreement

    since, until = _period(first, last)
    with opened(ledger) as open_:
        queue = agreement.queue(open_, limit=limit, since=since, until=until)
        now = open_.clock()
    queue = queue.assign(days_since_film=(now - queue["received_at"].astype(float)) / 86_400.0)
    names = ["study_uid", "finding", "probability", "days_since_film", "span"]
    records = queue[names].to_dict("records")
    if json:
        emit({"queue": records})
        return
    if not records:
        say("No study is flagged whose report does not state the finding.")
        return
    show("To look at again", tuple(names), [tuple(one.values()) for one in records])


def _period(first: datetime | None, last: datetime | None) -> tuple[float, float]:
    """Begin and end of days in UTC, in seconds since 1970; what is not given is infinite."""
    from monai_cxr.errors import SettingsError

    if first is not None and last is not None and first > last:
        raise SettingsError(
            f"Expected --from before --to, but got {first.date()} and {last.date()}."
        )
    after = last + timedelta(days=1) if last is not None else None
    begin, end = (
        one.replace(tzinfo=timezone.utc).timestamp() if one is not None else math.inf
        for one in (first, after)
    )
    return begin if first is not None else -math.inf, end


def looked(
    ledger: LedgerArgument,
    study_uid: Annotated[str, typer.Argument(metavar="STUDY", help="Study Instance UID.")],
    finding: Annotated[
        str, typer.Argument(metavar="FINDING", help="The finding, as second-look names it.")
    ],
    outcome: Annotated[str, typer.Option(help="confirmed, not_confirmed or label_wrong.")],
    by: Annotated[str, typer.Option(help="Name of the reader.")],
    note: Annotated[str, typer.Option(help="A note, without a patient's name.")] = "",
) -> None:
    """Record the outcome of a second look, which is then not listed again.

    Example: monai-cxr monitor looked screening.toml 1.2.3 Nodule --outcome confirmed --by Weber
    """
    from monai_cxr.screening.ledger.people import second_looks

    with opened(ledger) as open_:
        second_looks.add(open_, study_uid, finding, outcome, actor=by, note=note)
    say("The outcome is recorded.")
