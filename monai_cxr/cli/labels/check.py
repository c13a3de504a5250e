"""Check: labels check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_cxr.cli.arguments import ReportColumnOption, ReportIdOption
from monai_cxr.cli.output import JsonOption, emit, note, say, show

if TYPE_CHECKING:
    import pandas as pd

    from monai_cxr.labels.answers import Agreement


def register(app: typer.Typer) -> None:
    """Add this verb."""
    app.command()(check)


def check(
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS", help="Labels that from-reports or from-csv wrote.")
    ],
    reports: Annotated[
        Path | None,
        typer.Option(metavar="REPORTS", help="The reports, to make the readers' page."),
    ] = None,
    answers: Annotated[
        list[Path] | None,
        typer.Option(
            "--answers",
            metavar="FILE",
            help="Answers of a reader; repeatable: two readers, and a third to decide.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the sample and the page.")
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(
            metavar="INDEX",
            help="Index made of these labels; train will then use the result of the check.",
        ),
    ] = None,
    per_state: Annotated[
        int, typer.Option(min=1, help="Reports of each state of each finding.")
    ] = 10,
    text: ReportColumnOption = "",
    id_column: ReportIdOption = "",
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
    json: JsonOption = False,
) -> None:
    """Check a labeller against readers: first draw reports to judge, then count.

    With --reports it draws a sample by finding and state into --out, and makes a page on which a
    reader says what is true without seeing the labels. With --answers it prints precision, recall
    and F1 of each finding with intervals, and the readers' kappa. The result is kept beside the
    labels, and train and evaluate refuse a finding whose F1 is below 0.8 unless told otherwise.

    Example: monai-cxr labels check labels.csv --reports reports.csv --out check
    """
    from monai_cxr.errors import SettingsError
    from monai_cxr.labels.check import draw_sample
    from monai_cxr.labels.report_sources import read_text_table

    sample_path = (out or labels.with_suffix(".check")) / "sample.csv"
    if reports is not None:
        sample = draw_sample(read_text_table(labels), per_state=per_state, seed=seed)
        page = _write_page(sample, reports, sample_path, text, id_column, seed)
        if json:
            emit({"questions": len(sample), "sample": sample_path, "page": page})
        else:
            say(f"{len(sample)} questions for readers: {page}")
        return
    if not answers:
        raise SettingsError("Expected --reports (to draw a sample) or --answers (to count).")
    _count(labels, index, sample_path, answers, json)


def _count(
    labels: Path, index: Path | None, sample_path: Path, answers: list[Path], json: bool
) -> None:
    from monai_cxr.labels.answers import agreement, join_answers, read_answers, settled
    from monai_cxr.labels.check import FLOOR, check_labels, write_check
    from monai_cxr.tables import read_table

    sample = read_table(sample_path).astype({"id": str, "state": "Int8"})
    together = join_answers([read_answers(path) for path in answers])
    decided, differing = settled(together)
    checked = check_labels(sample, decided)
    written = [write_check(checked, table) for table in (labels, index) if table is not None]
    agreements = agreement(together)
    if json:
        emit({"findings": checked, "agreement": agreements, "differing": len(differing)})
        return
    show(
        "Labels against readers",
        ("finding", "judged", "present", "precision", "recall", "F1"),
        [
            (c.finding, c.n, c.n_present, str(c.precision), str(c.recall), str(c.f1))
            for c in checked
        ],
    )
    show_agreement(agreements)
    if len(differing):
        note(f"Readers differ on {len(differing)} reports; a third reader's answers decide.")
    poor = [one.finding for one in checked if not one.f1.estimate >= FLOOR]
    if poor:
        note(f"Below the floor of {FLOOR:g}, so train and evaluate refuse them: {', '.join(poor)}")
    say(f"Kept: {', '.join(str(path) for path in written)}")


def _write_page(
    sample: pd.DataFrame, reports: Path, sample_path: Path, text: str, id_column: str, seed: int
) -> Path:
    """The sample, and beside it the readers' page."""
    from monai_cxr.atomic import write_text
    from monai_cxr.findings import title_of
    from monai_cxr.labels.report_sources import read_reports
    from monai_cxr.report.questions import Question, question_page
    from monai_cxr.tables import write_table

    texts = {one.id: one.text for one in read_reports(reports, text=text, id_column=id_column)}
    questions = [
        Question(
            str(row.id),
            str(row.finding),
            f"What does the report say about {title_of(str(row.finding)).lower()}?",
            text=texts.get(str(row.id), ""),
        )
        for row in sample.sample(frac=1.0, random_state=seed)
        .sort_values("finding", kind="stable")
        .itertuples(index=False)
    ]
    lead = (
        "Read each report and say whether it states the finding. Not mentioned counts as absent. "
        "What the labeller said is not shown."
    )
    write_table(sample, sample_path)
    page = sample_path.with_name("questions.html")
    write_text(page, question_page("Check of report labels", lead, questions))
    return page


def show_agreement(found: Sequence[Agreement]) -> None:
    """How far two readers agree, where two judged the same."""
    if found:
        rows = [(a.finding, a.n, f"{a.agreed:.2f}", f"{a.kappa:.2f}") for a in found]
        show("Agreement of two readers", ("finding", "both judged", "agreed", "kappa"), rows)
