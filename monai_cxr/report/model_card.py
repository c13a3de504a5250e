"""Model card: a bundle's ``docs/README.md``, rendered from the numbers of its evaluation."""

from __future__ import annotations

import re
from collections.abc import Mapping

from monai_cxr.evaluation.results import Performance
from monai_cxr.report.limitations import limitation_sentences
from monai_cxr.report.rendering import render


def model_card(
    performance: Performance,
    *,
    title: str,
    description: str,
    sections: Mapping[str, str] | None = None,
) -> str:
    """Render the card.

    Args:
        performance: The numbers, and the identity of model and data.
        title: Name of the model.
        description: What it is for, in a paragraph.
        sections: Heading to Markdown, for what no number says: data, training, licence.

    Returns:
        Markdown.
    """
    head = f"# {title}\n\n{description}\n\nResearch use, not a medical device.\n\n"
    return head + _numbers(performance, "##", sections or {})


def with_performance(readme: str, performance: Performance) -> str:
    """A bundle's README with its section "Performance" replaced by these numbers.

    Args:
        readme: Markdown; without such a section it is added at the end.
        performance: The numbers.

    Returns:
        Markdown; all other sections stay as they are.
    """
    section = _numbers(performance, "###", {}) + "\n"
    found = re.search(r"^## Performance$.*?(?=^#{1,2} |\Z)", readme, re.MULTILINE | re.DOTALL)
    if found is None:
        return f"{readme.rstrip()}\n\n{section}"
    return readme[: found.start()] + section + readme[found.end() :]


def _numbers(performance: Performance, level: str, sections: Mapping[str, str]) -> str:
    """The section "Performance" and those after it, whose headings have a level."""
    return render(
        "numbers.md",
        performance=performance,
        level=level,
        limitations=limitation_sentences(performance),
        sections=sections,
    )
