"""Archive summary: what became of an archive, as a value and as one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from monai_cxr.atomic import write_text
from monai_cxr.report.rendering import render
from monai_cxr.screening.archive.results_table import positive_column
from monai_cxr.screening.ledger import Ledger, audit
from monai_cxr.screening.ledger.watching.counts import Counts


@dataclass(frozen=True, slots=True)
class ArchiveSummary:
    """What an archive holds and what became of it.

    Attributes:
        counts: Numbers of the whole ledger.
        n_rows: Rows of the table.
        n_new: Films that this run finished.
        seconds: Duration of this run in seconds.
        model_name: Bundle.
        model_version: Its version.
        model_digest: Its digest.
        days_left: Study dates of a PACS that it did not give whole.
    """

    counts: Counts
    n_rows: int
    n_new: int
    seconds: float
    model_name: str
    model_version: str
    model_digest: str
    days_left: tuple[date, ...] = ()

    @property
    def films_per_second(self) -> float:
        """Of this run."""
        return self.n_new / self.seconds if self.seconds > 0 else 0.0

    def n_reports(self, state: str) -> int:
        """Structured reports in a state of delivery."""
        return sum(n for key, n in self.counts.deliveries.items() if key[2] == state)


def write_summary(
    ledger: Ledger, path: Path, table: Path, summary: ArchiveSummary, findings: Sequence[str]
) -> None:
    """Write the page.

    Args:
        ledger: The ledger; the head of its audit trail is noted on the page.
        path: The page.
        table: The results.
        summary: The numbers.
        findings: In the order of the table.
    """
    when = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    page = summary_page(summary, _positives(table, findings), audit.verify(ledger), when)
    write_text(path, page, private=True)


def summary_page(
    summary: ArchiveSummary,
    positives: Sequence[tuple[str, int, int]],
    trail: audit.Verification,
    when: str,
) -> str:
    """The page.

    Args:
        summary: The numbers.
        positives: (finding, films above the operating point, films with a decision).
        trail: What the audit trail of the ledger says of itself.
        when: Date and time, with the zone.

    Returns:
        HTML that needs no other file and no network.
    """
    return render("archive.html", summary=summary, positives=positives, trail=trail, when=when)


def _positives(table: Path, findings: Sequence[str]) -> list[tuple[str, int, int]]:
    """(finding, films above the operating point, films with a decision)."""
    content = pq.read_table(table, columns=[positive_column(name) for name in findings])
    return [
        (
            name,
            pc.sum(content[positive_column(name)]).as_py() or 0,
            pc.count(content[positive_column(name)]).as_py(),
        )
        for name in findings
    ]
