"""Reports: screen reports import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_cxr.cli.arguments import LanguageOption, LexiconOption, ReportColumnOption
from monai_cxr.cli.output import JsonOption, emit, say
from monai_cxr.cli.screen.ledger import LedgerOption, SettingsOption, opened_ledger

reports_app = typer.Typer(no_args_is_help=True, help="Signed reports, to be held against films.")


def register(app: typer.Typer) -> None:
    """Add these verbs to ``screen``."""
    reports_app.command("import")(import_)
    app.add_typer(reports_app, name="reports")


@reports_app.callback()
def _reports() -> None:
    """Signed reports, to be held against films."""


def import_(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="An HL7 v2 ORU message, a DICOM SR or a text file named by its accession "
            "number, or a folder of such files; or a table with columns of text and "
            "accession number.",
        ),
    ],
    settings: SettingsOption = None,
    ledger: LedgerOption = None,
    language: LanguageOption = "en",
    lexicon: LexiconOption = None,
    text: ReportColumnOption = "",
    id_column: Annotated[
        str, typer.Option("--id", metavar="COLUMN", help="Column of the accession number.")
    ] = "",
    json: JsonOption = False,
) -> None:
    """Label signed reports and keep what they say, by accession number; their text is not kept.

    A table may also have the columns patient_id, study_uid, status (F, C, P or X) and observed.
    A report may come before its film; a report of a patient other than the film's is refused.

    Example: monai-cxr screen reports import oru --settings screening.toml
    """
    from monai_cxr.labels.lexicon import read_lexicon
    from monai_cxr.screening.watching import agreement

    words = read_lexicon(lexicon or language)
    with opened_ledger(settings, ledger) as opened:
        counts = agreement.import_reports(opened, path, words, text=text, id_column=id_column)
    if json:
        emit(counts)
    else:
        say(
            f"{counts['stored']} reports stored, {counts['known']} known already, "
            f"{counts['refused']} refused: of another patient than the film's."
        )
