"""Rendering: pages made from the files of the folder ``templates``, with every text escaped."""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from monai_cxr.findings import title_of

_NONE = "\N{EN DASH}"


def style_sheet(name: str) -> str:
    """A style sheet of the folder ``templates``, for self-contained files."""
    folder = files("monai_cxr.report").joinpath("templates")
    return folder.joinpath(name).read_text(encoding="utf-8")


def render(template: str, **values: Any) -> str:
    """Fill a template.

    Args:
        template: Name of a file in the folder ``templates``; in ``.html`` values are escaped.
        **values: What the template names; one that it names and that is not given is an error.

    Returns:
        The page.
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("monai_cxr.report"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "cell": lambda text: str(text).replace("|", "\\|"),
        "number": number,
        "percent": percent,
        "signed": signed,
        "thousands": "{:,}".format,
        "title": title_of,
    }
    made.tests["unknown"] = math.isnan
    return made


def number(value: float, digits: int = 3, none: str = _NONE) -> str:
    """A number, or a dash or other words where it is not known."""
    return none if math.isnan(value) else f"{value:.{digits}f}"


def percent(value: float) -> str:
    """A share as a percentage, or a dash."""
    return _NONE if math.isnan(value) else f"{100 * value:.1f} %"


def signed(value: float) -> str:
    """A signed number with a real minus sign, and no sign before 0.000."""
    text = f"{value:+.3f}"
    return text[1:] if float(text) == 0.0 else text.replace("-", "\N{MINUS SIGN}")
