"""Golden pages: every kind of page from stored numbers, in a form that people can compare.

    PYTHONPATH=. python tests/support/golden_pages.py

writes them into ``tests/report/golden`` again. Look at the difference before you commit it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from review_data import case, point

from monai_cxr.evaluation.results import Performance
from monai_cxr.evaluation.statistics.localization import FindingLocalization
from monai_cxr.prediction import Interval, ModelIdentity
from monai_cxr.report.inspection import ReportExtras, WorstError
from monai_cxr.report.model_card import model_card
from monai_cxr.report.page import render_page
from monai_cxr.review.reviews import FindingReview
from monai_cxr.review.statements import statements
from monai_cxr.review.study_report import report_page
from monai_cxr.screening.archive.summary import ArchiveSummary, summary_page
from monai_cxr.screening.ledger.audit import Verification
from monai_cxr.screening.ledger.watching.counts import Counts

FOLDER = Path(__file__).parents[1] / "report" / "golden"
PIXEL = "data:image/png;base64,iVBORw0KGgo="
MODEL = ModelIdentity("<Model> & Co", "1.0", "ab" * 32)


def performance() -> Performance:
    return Performance.from_json(json.loads((FOLDER / "performance.json").read_text("utf-8")))


def pages() -> dict[str, str]:
    """Each golden file and what it should hold."""
    return {
        "evaluation.txt": comparable(render_page(performance(), _extras())),
        "archive.txt": comparable(_archive()),
        "study.txt": comparable(_study()),
        "model_card.md": model_card(
            performance(), title="Model", description="For tests.", sections={"Licence": "None."}
        ),
    }


def comparable(page: str) -> str:
    """A tag a line; pictures by their label, style left out."""
    text = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    text = re.sub(r'<svg[^>]*aria-label="([^"]*)".*?</svg>', r"[\1]", text, flags=re.DOTALL)
    text = re.sub(r"base64,[\w+/=]{40,}", "base64,(a picture)", text)
    lines = re.sub(r"\s*(<[^>]+>)\s*", r"\n\1\n", re.sub(r"\s+", " ", text)).splitlines()
    return "\n".join(line for line in lines if line.strip()) + "\n"


def _extras() -> ReportExtras:
    share = Interval(0.5, 0.25, 0.75)
    return ReportExtras(
        worst_errors=[
            WorstError("Mass", "1.2.3", 0.9, 0, PIXEL, PIXEL),
            WorstError("Hernia", "1.2.4<i>", 0.1, 1, "https://tracker.example/film.png"),
        ],
        localization=[FindingLocalization("Mass", 8, 7, share, 0.125, share, (share,) * 4)],
        method="Grad-CAM",
    )


def _archive() -> str:
    counts = Counts(
        films={"completed": 100},
        arrivals={"new": 100, "duplicate": 3},
        quarantine={"not_<chest>": 1, "lateral": 4},
        deliveries={("sr", "folder", "delivered"): 98, ("sr", "folder", "failed"): 2},
        n_results=100,
        n_reviews=0,
        n_studies=90,
        n_retries=3,
        queue_age_seconds={},
        outbox_age_seconds=0.0,
    )
    summary = ArchiveSummary(counts, 108, 100, 50.0, MODEL.name, MODEL.version, MODEL.digest)
    trail = Verification(n_entries=17, head="cd" * 32, broken_at=None)
    positives = [("Mass", 25, 100), ("Pleural_Thickening", 0, 0)]
    return summary_page(summary, positives, trail, "2026-11-29 13:00 UTC")


def _study() -> str:
    probabilities = {"Pneumothorax": 0.8, "Mass": 0.2}
    one = case(1, probabilities, acquired="20260102")
    said = {"Mass": FindingReview("disagree", "", "absent", 0.2)}
    made = statements(one.prediction, {name: point(name) for name in probabilities})
    return report_page(one, made, said, b"no film", note="See <CT>.", model=MODEL)


if __name__ == "__main__":
    for name, page in pages().items():
        (FOLDER / name).write_text(page, encoding="utf-8")
