"""Reports: screen reports import, screen reports text."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_cxr.cli.arguments import LanguageOption, LexiconOption, ReportColumnOption
from monai_cxr.cli.output import JsonOption, emit, say
from monai_cxr.cli.screen.ledger import LedgerOption, SettingsOption, opened_ledger

if TYPE_CHECKING:
    from monai_cxr.screening.ledger.people.report_texts import TextSeal

reports_app = typer.Typer(no_args_is_help=True, help="Signed reports, to be held against films.")


def register(app: typer.Typer) -> None:
    """Add these verbs to ``screen``."""
    reports_app.command("import")(import_)
    reports_app.command("text")(text_)
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
    """Label signed reports and keep what they say, by accession number.

    Their text is not kept, unless the settings name a key for it ([reports]); it is then encrypted.

    A table may also have the columns patient_id, study_uid, status (F, C, P or X) and observed.
    A report may come before its film; a report of a patient other than the film's is refused.

    Example: monai-cxr screen reports import oru --settings screening.toml
    """
    from monai_cxr.labels.lexicon import read_lexicon
    from monai_cxr.screening.watching import agreement

    words, seal = read_lexicon(lexicon or language), _seal(settings)
    with opened_ledger(settings, ledger) as opened:
        counts = agreement.import_reports(
            opened, path, words, text=text, id_column=id_column, seal=seal
        )
    if json:
        emit(counts)
        return
    if not sum(counts.values()):
        say("No report was found there.")
        return
    say(f"Reports: {counts['stored']} stored, {counts['known']} known already.")
    if counts["refused"]:
        say(f"Refused: {counts['refused']}. The film of this number is of another patient.")


def text_(
    accession_number: Annotated[
        str, typer.Argument(metavar="NUMBER", help="Accession number of the report.")
    ],
    settings: Annotated[Path, typer.Option(metavar="FILE", help="The service's TOML.")],
    by: Annotated[str, typer.Option(help="Name of the person who reads it.")],
    why: Annotated[
        str, typer.Option(help="What for; no patient's name. The audit trail keeps it.")
    ],
    json: JsonOption = False,
) -> None:
    """Open the kept text of a report for a named person; the audit trail says who read it and why.

    Example: monai-cxr screen reports text A17 --settings screening.toml --by "Dr. Weber"
    --why "second look"
    """
    from monai_cxr.screening.ledger.people import report_texts

    seal = _seal(settings)
    with opened_ledger(settings, None) as opened:
        found = report_texts.read(opened, seal, accession_number, actor=by, why=why)
    if json:
        emit({"reports": [asdict(one) for one in found]})
        return
    for one in found:
        say(f"Report of {one.observed}, status {one.status or 'not stated'}:")
        say("".join(c for c in one.text if c.isprintable() or c == "\n"))


def _seal(settings: Path | None) -> TextSeal | None:
    """What closes and opens the text of reports; None without settings or without a key."""
    from monai_cxr.screening.service.parts import text_seal_of
    from monai_cxr.screening.settings.checks import read_settings

    return text_seal_of(read_settings(settings).reports) if settings is not None else None
