"""Audit: labels audit, labels corrections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_cxr.cli.labels.check import show_agreement
from monai_cxr.cli.output import JsonOption, emit, note, progress, say, show

if TYPE_CHECKING:
    import pandas as pd

    from monai_cxr.labels.audit import LabelAudit

_SHOWN = 12
_SIDE = 512
IndexArgument = Annotated[Path, typer.Argument(metavar="INDEX", help="The index.")]


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    app.command()(audit)
    app.command()(corrections)


def audit(
    index: IndexArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the audit.")],
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Predictions of these films by models that never saw their patients. Default: "
            "networks are trained on folds of the patients.",
        ),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds, where networks are trained.")] = 5,
    bundle: Annotated[
        str, typer.Option(help="Bundle to train on the folds.")
    ] = "chest_xray_classification",
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Setting of the training. Repeatable."),
    ] = None,
    per_queue: Annotated[
        int, typer.Option(min=1, help="Films in each of the two queues of a finding.")
    ] = 100,
    random_share: Annotated[
        float, typer.Option(help="Films drawn at random, as a share of the queues.")
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="Seed of the folds and the random films.")] = 0,
    json: JsonOption = False,
) -> None:
    """Rank the labels of an index by how likely they are wrong, for readers to look at.

    It writes queue.csv and audit.json (for whoever runs the audit, and for view --label-audit),
    questions.html (for readers: one question for each film, without label and score) and
    audit.html. If it is stopped, repeat it: it continues where it was.

    Example: monai-cxr labels audit split.parquet --predictions out_of_fold.parquet --out audit
    """
    from monai_cxr.labels.audit import audit_labels
    from monai_cxr.labels.audit_folder import QUEUE, with_digests, write_record
    from monai_cxr.tables import normalise_index, read_table, write_table

    raw = read_table(index)
    findings = _labelled_findings(raw)
    table = normalise_index(raw, findings)
    if predictions is None:
        scores = _out_of_fold(table, out, bundle, setting or [], folds, seed)
    else:
        scores = read_table(predictions)
    made = audit_labels(
        table, scores, findings, per_queue=per_queue, random_share=random_share, seed=seed
    )
    write_table(with_digests(made.queue), out / QUEUE)
    write_record(out, table, findings)
    _write_pages(made, out, seed)
    if json:
        emit({"findings": made.findings, "films": len(made.queue), "out": out})
        return
    _tell(made)
    say(f"For readers: {out / 'questions.html'}. Overview: {out / 'audit.html'}")
    note(f"For several readers, at full depth: monai-cxr view --label-audit {out}")


def _tell(made: LabelAudit) -> None:
    show(
        "Labels that may be wrong",
        ("finding", "films", "present", "issues present", "issues absent", "to look at"),
        [
            (
                *(one.finding, one.n, one.n_positive),
                *(one.issues_present, one.issues_absent, one.n_queued),
            )
            for one in made.findings
        ],
    )


def corrections(
    index: IndexArgument,
    answers: Annotated[
        list[Path],
        typer.Option("--answers", metavar="FILE", help="Answers of a reader. Repeatable."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Overlay to write (CSV).")],
    audit_folder: Annotated[
        Path | None,
        typer.Option("--audit", metavar="DIR", help="The audit, for the share of wrong labels."),
    ] = None,
    adjudicated: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Answers of the person who decides where readers differ."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Turn readers' answers into corrections; say how far they agree and how many labels are wrong.

    Where readers differ, nothing is corrected: differing.csv beside the overlay lists the films for
    a third reader, whose answers are given with --adjudicated.

    Example: monai-cxr labels corrections split.parquet --answers a.csv --answers b.csv --out o.csv
    """
    from monai_cxr.labels import answers as said
    from monai_cxr.tables import normalise_index, read_table, write_table

    raw = read_table(index)
    findings = _labelled_findings(raw)
    table = normalise_index(raw, findings)
    together = _all_answers(answers, adjudicated)
    decided, differing = said.settled(together)
    overlay = said.corrections(table, decided, findings)
    write_table(overlay, out)
    differing_path = out.with_name("differing.csv")
    write_table(differing, differing_path)
    rates: tuple[said.ErrorRate, ...] = ()
    if audit_folder is not None:
        rates = said.error_rates(read_table(audit_folder / "queue.csv"), decided, table)
    agreements = said.agreement(together)
    if json:
        counts = {"settled": len(decided), "differing": len(differing), "corrections": len(overlay)}
        emit({**counts, "agreement": agreements, "error_rates": rates, "out": out})
        return
    show_agreement(agreements)
    if rates:
        show(
            "Labels that are wrong, by the random share",
            ("finding", "judged", "wrong", "share of all labels (95 %)"),
            [(r.finding, r.n, r.wrong, str(r.rate)) for r in rates],
        )
    if len(differing):
        note(f"Readers differ on {len(differing)}: {differing_path}")
    say(f"{len(overlay)} corrections: {out}")


def _all_answers(paths: list[Path], adjudicated: Path | None) -> pd.DataFrame:
    from monai_cxr.labels.answers import ADJUDICATOR, join_answers, read_answers

    parts = [read_answers(path) for path in paths]
    if adjudicated is not None:
        parts.append(read_answers(adjudicated).assign(reader=ADJUDICATOR))
    return join_answers(parts)


def _labelled_findings(table: pd.DataFrame) -> tuple[str, ...]:
    from monai_cxr.errors import InvalidTable
    from monai_cxr.findings import FINDING_NAMES

    names = tuple(name for name in FINDING_NAMES if name in table and table[name].notna().any())
    if not names:
        raise InvalidTable("The index has no labels to audit.", reason="no_labels")
    return names


def _out_of_fold(
    table: pd.DataFrame, out: Path, bundle: str, setting: list[str], folds: int, seed: int
) -> pd.DataFrame:
    from monai_cxr.bundle.config import parse_setting
    from monai_cxr.tables import write_table
    from monai_cxr.training.run.out_of_fold import predict_out_of_fold

    with progress("folds") as report:
        scores = predict_out_of_fold(
            table,
            bundle,
            out / "folds",
            dict(parse_setting(text) for text in setting),
            folds=folds,
            seed=seed,
            progress=report,
        )
    write_table(scores, out / "out_of_fold.parquet")
    return scores


def _write_pages(made: LabelAudit, out: Path, seed: int) -> None:
    """The readers' page, in an order that says nothing, and the overview."""
    from monai_cxr.atomic import write_text
    from monai_cxr.labels.audit_folder import question_of
    from monai_cxr.reading.thumbnails import thumbnails
    from monai_cxr.report.questions import Question, question_page
    from monai_cxr.report.rendering import render

    unique = made.queue.drop_duplicates(["finding", "sop_uid"])
    pictures: dict[str, str] = {}
    with progress("films") as report:
        paths = list(dict.fromkeys(unique["path"]))
        for path, picture in zip(paths, thumbnails(list(map(Path, paths)), _SIDE), strict=True):
            pictures[path] = picture
            report(len(pictures), len(paths))
    questions = [
        Question(
            str(row.sop_uid),
            str(row.finding),
            question_of(str(row.finding)),
            image=pictures[str(row.path)],
        )
        for row in unique.sample(frac=1.0, random_state=seed)
        .sort_values("finding", kind="stable")
        .itertuples(index=False)
    ]
    lead = "Say what you see on each film. Neither its label nor any model's score is shown."
    page = question_page("Label audit", lead, questions)
    films = [
        (
            finding,
            [
                (
                    queue,
                    [
                        {**row, "image": pictures[row["path"]]}
                        for row in part[part["queue"] == queue].head(_SHOWN).to_dict("records")
                    ],
                )
                for queue in ("given_present", "given_absent")
            ],
        )
        for finding, part in made.queue.groupby("finding", sort=False)
    ]
    overview = render("audit.html", findings=made.findings, films=films)
    for name, text in (("questions.html", page), ("audit.html", overview)):
        write_text(out / name, text)
