"""Page classification: accuracy, kappa and confusion matrix in the report."""

from __future__ import annotations

from html import escape

from monai_cxr.evaluation.classification import ABSENT_OR_PRESENT, Classification
from monai_cxr.evaluation.results import Performance
from monai_cxr.findings import title_of
from monai_cxr.report.cells import interval_cell


def classification_section(performance: Performance) -> str:
    """The likeliest class against the true one; nothing where classes do not exclude each other."""
    found = performance.classification
    if found is None:
        return ""
    rule = (
        "present means a probability of at least 0.5"
        if found.classes == ABSENT_OR_PRESENT
        else "the class of the largest probability"
    )
    rates = (
        ("Accuracy", found.accuracy),
        ("Balanced accuracy", found.balanced_accuracy),
        ("Cohen's kappa", found.kappa),
    )
    cells = "".join(
        f"<tr><td>{name}</td><td>{interval_cell(rate)}</td></tr>" for name, rate in rates
    )
    return (
        '<section class="figure"><h2>Likeliest class</h2>'
        f'<p class="hint">On {found.n:,} films; {rule}. Balanced accuracy: the mean over classes '
        "of the share that is found. Kappa: agreement beyond chance. Accuracy and kappa depend on "
        "the shares of the classes here.</p>"
        '<div class="scroll"><table class="narrow"><thead><tr><th>Measure</th>'
        f"<th>Value<br>(95 % interval)</th></tr></thead><tbody>{cells}</tbody></table></div>"
        f"{_confusion(found)}</section>"
    )


def _confusion(found: Classification) -> str:
    heads = "".join(f"<th>{escape(title_of(name))}</th>" for name in found.classes)
    rows = "".join(
        f"<tr><td>{escape(title_of(name))}</td>{''.join(f'<td>{n:,}</td>' for n in counts)}"
        f"<td>{interval_cell(found.recall[name])}</td></tr>"
        for name, counts in zip(found.classes, found.confusion, strict=True)
    )
    return (
        '<h3>True class (down) and likeliest class (across)</h3><div class="scroll">'
        f'<table class="narrow"><thead><tr><th>Films</th>{heads}<th>Found<br>(95 % interval)</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )
