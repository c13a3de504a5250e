"""Overlay: labels apply."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_cxr.cli.data import OutTable
from monai_cxr.cli.output import JsonOption, emit, note, say


def register(app: typer.Typer) -> None:
    """Add this verb."""
    app.command()(apply)


def apply(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="The index that was audited.")],
    out: OutTable,
    overlay: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Corrections made for this index.")
    ] = None,
    correct_test: Annotated[
        bool,
        typer.Option(
            "--correct-test",
            help="Also correct the test split. Default: write its corrections beside its labels.",
        ),
    ] = False,
    revert: Annotated[
        bool, typer.Option("--revert", help="Restore the index as it was before an overlay.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Correct the labels of an index by an overlay; the index itself is not edited.

    Original labels are kept beside the corrected ones as original_FINDING, and every evaluation
    says which labels it used. Corrections of test films are kept as corrected_FINDING.

    Example: monai-cxr labels apply split.parquet --overlay overlay.csv --out corrected.parquet
    """
    from monai_cxr.errors import SettingsError
    from monai_cxr.findings import FINDING_NAMES
    from monai_cxr.labels.check import carry_check
    from monai_cxr.labels.overlay import apply_overlay, read_overlay, revert_overlay
    from monai_cxr.tables import read_table, write_table

    table = read_table(index)
    findings = [name for name in FINDING_NAMES if name in table]
    if revert == (overlay is not None):
        raise SettingsError("Expected either --overlay FILE or --revert.")
    if overlay is None:
        write_table(revert_overlay(table, findings), out)
        emit({"out": out}) if json else say(f"The index as it was: {out}")
        return
    made = apply_overlay(table, read_overlay(overlay), findings, correct_test=correct_test)
    write_table(made.table, out)
    carry_check(index, out)
    if json:
        emit(
            {
                "corrected": made.n_corrected,
                "set_aside": made.n_set_aside,
                "overlay": made.digest,
                "out": out,
            }
        )
        return
    n = sum(made.n_corrected.values())
    if made.n_set_aside:
        note(f"{made.n_set_aside} corrections of test films stand beside their original labels.")
    say(f"{n} labels corrected by overlay {made.digest}: {out}")
