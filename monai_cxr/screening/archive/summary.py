"""Archive summary: what became of an archive, as a value and as one self-contained page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from html import escape
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from monai_cxr.report.style import PAGE_STYLE
from monai_cxr.screening.archive.results_table import positive_column
from monai_cxr.screening.ledger import Ledger, audit
from monai_cxr.screening.ledger.counts import Counts
from monai_cxr.tables import write_atomically

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Archive screened</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class ArchiveSummary:
    """What an archive holds and what became of it.

    Attributes:
        counts: Numbers of the whole ledger.
        n_rows: Rows of the table.
        n_new: Films that this run finished.
        seconds: Of this run.
        model_name: Bundle.
        model_version: Its version.
        model_digest: Its digest.
    """

    counts: Counts
    n_rows: int
    n_new: int
    seconds: float
    model_name: str
    model_version: str
    model_digest: str

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
    trail = audit.verify(ledger)
    positives = _positives(table, findings)
    body = "\n".join(
        [
            _header(summary),
            _tiles(summary),
            _findings_table(positives),
            _reasons_table(summary.counts),
            _identity(summary, trail),
            "<footer>Research use, not a medical device. This page names no patient.</footer>",
        ]
    )
    page = _PAGE.format(style=PAGE_STYLE, body=body)
    write_atomically(path, lambda part: part.write_text(page, encoding="utf-8"))


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


def _header(summary: ArchiveSummary) -> str:
    day = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return (
        f'<header><p class="kicker">Archive screened, {day}</p>'
        f"<h1>{escape(summary.model_name)} {escape(summary.model_version)}</h1>"
        f'<p class="lead">{sum(summary.counts.arrivals.values()):,} files were looked at; '
        f"{summary.counts.films['completed']:,} films have a result. Every other file is a "
        "duplicate or has a reason.</p></header>"
    )


def _tiles(summary: ArchiveSummary) -> str:
    films, seen = summary.counts.films, summary.counts.arrivals
    failed = summary.n_reports("failed")
    tiles = (
        ("Films with a result", f"{films['completed']:,}", "each exactly once"),
        ("Not analysed", f"{_n_refused(summary.counts):,}", "see the reasons below"),
        ("Duplicates", f"{seen.get('duplicate', 0):,}", "same UID, same pixels; read once"),
        (
            "Structured reports",
            f"{summary.n_reports('delivered'):,}",
            f"{failed:,} could not be made" if failed else "one a film",
        ),
    )
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><span>{label}</span><b>{value}</b><span>{hint}</span></div>'
            for label, value, hint in tiles
        )
        + "</div>"
    )


def _n_refused(counts: Counts) -> int:
    return sum(counts.quarantine.values())


def _findings_table(positives: Iterable[tuple[str, int, int]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name.replace('_', ' ').capitalize())}</td><td>{n:,}</td><td>{of:,}</td>"
        f"<td>{f'{n / of:.1%}' if of else '–'}</td></tr>"
        for name, n, of in positives
    )
    return (
        "<h2>Findings at the operating point</h2>"
        '<p class="hint">How many films the model calls positive. These are not prevalences: they '
        "hold false positives and miss false negatives.</p>"
        "<table><thead><tr><th>Finding</th><th>Positive films</th><th>Films</th><th>Share</th>"
        f"</tr></thead><tbody>{rows}</tbody></table>"
    )


def _reasons_table(counts: Counts) -> str:
    if not counts.quarantine:
        return "<h2>Not analysed</h2><p>Every film could be read.</p>"
    rows = "".join(
        f"<tr><td>{escape(reason)}</td><td>{n:,}</td></tr>"
        for reason, n in sorted(counts.quarantine.items(), key=lambda item: -item[1])
    )
    return (
        '<h2>Not analysed</h2><p class="hint">Reason codes of the column <code>reason</code> in '
        "the table, with a sentence each in <code>message</code>.</p>"
        f"<table><thead><tr><th>Reason</th><th>Files</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _identity(summary: ArchiveSummary, trail: audit.Verification) -> str:
    state = "intact" if trail.is_intact else f"BROKEN at entry {trail.broken_at}"
    items = {
        "Model": f"{summary.model_name} {summary.model_version}",
        "Model digest": summary.model_digest,
        "Rows of the table": f"{summary.n_rows:,}",
        "Repeated attempts": f"{summary.counts.n_retries:,}",
        "This run": f"{summary.n_new:,} films in {summary.seconds:,.0f} s "
        f"({summary.films_per_second:.2f} films a second)",
        "Audit trail": f"{trail.n_entries:,} entries, {state}; head {trail.head}",
    }
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in items.items())
    return f"<h2>Where this comes from</h2><dl>{rows}</dl>"
