"""Reports: labels from-reports, labels from-csv."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_cxr.cli.arguments import (
    LanguageOption,
    LexiconOption,
    ReportColumnOption,
    ReportIdOption,
)
from monai_cxr.cli.data import OutTable
from monai_cxr.cli.output import JsonOption, emit, note, progress, say, show

if TYPE_CHECKING:
    from monai_cxr.labels.report_labels import ReportLabels

if TYPE_CHECKING:
    pass


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    app.command("from-reports")(from_reports)
    app.command("from-csv")(from_csv)


def from_reports(
    reports: Annotated[
        Path,
        typer.Argument(
            metavar="REPORTS",
            help="CSV or parquet with a column of text; a folder of text files, Open-i XML, HL7 v2 "
            "messages or DICOM SR; or one such file.",
        ),
    ],
    out: OutTable,
    language: LanguageOption = "en",
    lexicon: LexiconOption = None,
    text: ReportColumnOption = "",
    id_column: ReportIdOption = "",
    duplicates: Annotated[
        str,
        typer.Option(
            help="What to do about an id that occurs twice: refuse, first, last, or join."
        ),
    ] = "refuse",
    json: JsonOption = False,
) -> None:
    """Label reports by what they say: present 1, absent 0, uncertain -1, empty where not mentioned.

    A file beside the table, with the same name and the ending .jsonl, has the sentence, the place
    in it and the rule that decided each label. It quotes the reports: keep it where they are kept.

    Example: monai-cxr labels from-reports reports.csv --out labels.csv
    """
    from monai_cxr.labels.lexicon import read_lexicon
    from monai_cxr.labels.report_labels import label_reports
    from monai_cxr.labels.report_sources import read_reports
    from monai_cxr.tables import write_table

    words = read_lexicon(lexicon or language)
    evidence = out.with_suffix(".jsonl")
    with progress("reports") as report:
        made = label_reports(
            read_reports(reports, text=text, id_column=id_column),
            words,
            evidence=evidence,
            duplicates=duplicates,
            progress=report,
        )
    write_table(made.table, out)
    if json:
        emit(
            {
                "reports": len(made.table),
                "language": words.language,
                "counts": made.counts,
                "problems": made.problems,
                "out": out,
                "evidence": evidence,
            }
        )
        return
    _tell(made)
    say(f"Labels: {out}. What decided each of them: {evidence}")


def _tell(made: ReportLabels) -> None:
    order = ("present", "absent", "uncertain", "not mentioned")
    show(
        f"{len(made.table)} reports",
        ("finding", *order),
        [
            (name, *(str(states.get(state, 0)) for state in order))
            for name, states in made.counts.items()
        ],
    )
    for problem, count in made.problems.items():
        note(f"{_PROBLEMS.get(problem, problem)}: {count}")


def from_csv(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Labels that CheXbert, the CheXpert labeller or a model wrote."
        ),
    ],
    out: OutTable,
    reports: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The reports as the labeller was given them, to take their ids from.",
        ),
    ] = None,
    text: ReportColumnOption = "",
    id_column: ReportIdOption = "",
    json: JsonOption = False,
) -> None:
    """Import labels that another labeller wrote, with CheXpert's columns and states, or in words.

    CheXbert and the CheXpert labeller drop the ids of the reports. --reports gives them back: row
    by row, after looking that each row labels that report.

    Example: monai-cxr labels from-csv labeled_reports.csv --reports reports.csv --out labels.csv
    """
    from monai_cxr.labels.foreign_labels import read_foreign_labels
    from monai_cxr.tables import write_table

    made = read_foreign_labels(source, id_column=id_column, reports=reports, text=text)
    write_table(made.table, out)
    if json:
        emit({"reports": len(made.table), "used": made.used, "ignored": made.ignored, "out": out})
        return
    show("Columns", ("column", "taken as"), list(made.used.items()))
    if made.ignored:
        note(f"Left out: {', '.join(made.ignored)}")
    if not made.has_ids:
        note("No column names the reports: their ids are row numbers from 0. --reports names them.")
    say(f"{len(made.table)} reports: {out}")


_PROBLEMS = {
    "empty": "Reports without text, whose rows are empty",
    "other_language": "Reports that seem to be in another language and were not read; name it with "
    "--language",
    "too_long": "Reports that are too long, of which only the beginning was read",
    "too_large": "Files too large to be reports",
    "damaged": "Files that cannot be parsed",
    "not_text": "Files that are not text",
}
