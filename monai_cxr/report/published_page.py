"""Page published: this model beside published results of the same split, finding by finding."""

from __future__ import annotations

from html import escape

from monai_cxr.evaluation.results import Performance
from monai_cxr.findings import FINDING_NAMES, title_of
from monai_cxr.report.cells import value_cell
from monai_cxr.report.published import SPLITS, PublishedResult, published_results

_OFFICIAL_FILMS = 25_596

_SHORT = {
    "Pneumothorax": "Pneumo-<br>thorax",
    "Cardiomegaly": "Cardio-<br>megaly",
    "Atelectasis": "Atelec-<br>tasis",
    "Infiltration": "Infil-<br>tration",
    "Pneumonia": "Pneu-<br>monia",
    "Consolidation": "Consoli-<br>dation",
    "Emphysema": "Emphy-<br>sema",
    "Pleural_Thickening": "Pleural<br>thick.",
}


def published_table(performance: Performance) -> str:
    """Results on the same split, if this is a split with published results; else nothing."""
    who = performance.identity
    if who.split not in SPLITS or "chestx-ray14" not in who.data.casefold():
        return ""
    results = published_results(who.split)
    rows = "".join(map(_row, results))
    short = (
        f" These are {who.n_images:,} of the {_OFFICIAL_FILMS:,} official test films, so the "
        "comparison is not exact."
        if who.split == SPLITS[0] and who.n_images != _OFFICIAL_FILMS
        else ""
    )
    sources = "".join(
        f"<li>{escape(result.name)}: {escape(result.source)}"
        f"{f' ({escape(result.note)})' if result.note else ''}.</li>"
        for result in results
    )
    return (
        '<section class="wide"><h2>Published results on the same split</h2>'
        f'<p class="hint">AUROC. Split: {escape(who.split)}. Results on another split are not '
        f"comparable and are not shown.{short} Empty: only the mean is published.</p>"
        '<div class="scroll"><table class="dense"><thead><tr><th>Model</th><th>Mean</th>'
        + "".join(f"<th>{_SHORT.get(name, title_of(name))}</th>" for name in FINDING_NAMES)
        + f"</tr></thead><tbody>{_own_row(performance)}{rows}</tbody></table></div>"
        f'<ul class="sources">{sources}</ul></section>'
    )


def _row(result: PublishedResult) -> str:
    values = result.by_finding()
    cells = "".join(
        f"<td>{_digits(values[name]) if name in values else ''}</td>" for name in FINDING_NAMES
    )
    return f"<tr><td>{escape(result.name)}</td><td>{_digits(result.macro)}</td>{cells}</tr>"


def _own_row(performance: Performance) -> str:
    values = {item.finding: item.auroc.estimate for item in performance}
    cells = "".join(
        f"<td>{_digits(values[name]) if name in values else ''}</td>" for name in FINDING_NAMES
    )
    area = _digits(performance.macro.auroc.estimate)
    return f'<tr class="own"><td>This model</td><td>{area}</td>{cells}</tr>'


def _digits(value: float) -> str:
    """Three decimals without the leading nought, as tables of many columns print them."""
    return value_cell(value).removeprefix("0")
