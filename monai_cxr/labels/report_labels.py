"""Report labels: many reports to a table of labels, with the sentence that decided each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from monai_cxr.atomic import write_text
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.labels.language import looks_like_another
from monai_cxr.labels.lexicon import Lexicon
from monai_cxr.labels.report_sources import Report
from monai_cxr.labels.report_text import MAX_CHARACTERS, LabelledReport, label_report

DUPLICATES = ("refuse", "first", "last", "join")
"""What to do with an id that occurs twice: refuse, keep one, or read both as one report."""

STATE_NAMES = {1: "present", 0: "absent", -1: "uncertain"}


@dataclass(frozen=True, slots=True)
class ReportLabels:
    """Labels of a set of reports.

    Attributes:
        table: ``id`` and one column per finding: 1 present, 0 absent, -1 uncertain, missing where
            the report does not mention it (Int8).
        counts: For each finding, the number of reports by state.
        problems: Number of reports by problem: ``"empty"``, ``"other_language"``, ``"too_long"``,
            ``"damaged"`` ...; they have a row without labels.
    """

    table: pd.DataFrame
    counts: Mapping[str, Mapping[str, int]]
    problems: Mapping[str, int] = field(default_factory=dict)


def label_reports(
    reports: Iterable[Report],
    lexicon: Lexicon,
    *,
    evidence: Path | None = None,
    duplicates: str = "refuse",
    progress: Callable[[int, int], None] | None = None,
) -> ReportLabels:
    """Label reports.

    Args:
        reports: What :func:`monai_cxr.labels.report_sources.read_reports` yields.
        lexicon: Words of their language.
        evidence: JSON Lines to write: a line per finding of a report with its sentence, the span of
            the mention within it, and the rule that decided; a line per report with a problem.
        duplicates: One of :data:`DUPLICATES`.
        progress: Called with (done, total).

    Raises:
        InvalidTable: If there are no reports, or an id occurs twice and ``duplicates`` refuses.
        SettingsError: If ``duplicates`` is unknown.
    """
    if duplicates not in DUPLICATES:
        raise SettingsError(
            f"Expected duplicates as one of {', '.join(DUPLICATES)}, but got '{duplicates}'."
        )
    unique = _unique(reports, duplicates)
    if not unique:
        raise InvalidTable("The source holds no reports.", reason="empty")
    names = lexicon.findings
    counts = {name: Counter[str]() for name in names}
    problems: Counter[str] = Counter()
    columns: dict[str, list[int | None]] = {name: [] for name in names}
    lines: list[str] = []
    for done, report in enumerate(unique):
        problem, labelled = read_report(report, lexicon)
        if problem:
            problems[problem] += 1
            lines.append(json.dumps({"id": report.id, "problem": problem}, ensure_ascii=False))
        for name in names:
            state = labelled.states.get(name)
            columns[name].append(state)
            counts[name]["not mentioned" if state is None else STATE_NAMES[state]] += 1
        if evidence is not None:
            lines.extend(_evidence_lines(report, labelled))
        if progress is not None:
            progress(done + 1, len(unique))
    table = pd.DataFrame({"id": [report.id for report in unique]})
    for name, values in columns.items():
        table[name] = pd.array(values, dtype="Int8")
    if evidence is not None:
        text = "".join(f"{line}\n" for line in lines)
        write_text(evidence, text)
    return ReportLabels(table, counts, dict(problems))


def read_report(report: Report, lexicon: Lexicon) -> tuple[str, LabelledReport]:
    """A problem that leaves the report unlabelled (or is only said), and its labels."""
    nothing = LabelledReport({}, ())
    if report.problem or not report.text.strip():
        return report.problem or "empty", nothing
    if looks_like_another(report.text, lexicon):
        return "other_language", nothing
    problem = "too_long" if len(report.text) > MAX_CHARACTERS else ""
    return problem, label_report(report.text, lexicon)


def _evidence_lines(report: Report, labelled: LabelledReport) -> Iterator[str]:
    for one in labelled.evidence:
        content = {
            "id": report.id,
            "finding": one.finding,
            "state": STATE_NAMES[one.state],
            "section": one.section,
            "sentence": one.sentence,
            "start": one.span[0],
            "end": one.span[1],
            "rule": one.rule,
        }
        yield json.dumps(content, ensure_ascii=False)


def _unique(reports: Iterable[Report], duplicates: str) -> list[Report]:
    kept: dict[str, Report] = {}
    repeated: set[str] = set()
    for report in reports:
        if report.id not in kept:
            kept[report.id] = report
            continue
        earlier = kept[report.id]
        if report.text == earlier.text:
            continue
        repeated.add(report.id)
        if duplicates == "last":
            kept[report.id] = report
        elif duplicates == "join":
            kept[report.id] = Report(report.id, f"{earlier.text}\n\n{report.text}".strip())
    if repeated and duplicates == "refuse":
        raise InvalidTable(
            f"Ids that occur with different reports: {len(repeated)}. Say what to do: --duplicates "
            "first, last, or join (read all as one report).",
            reason="duplicate_ids",
        )
    return list(kept.values())
