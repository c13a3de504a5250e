"""Write reasons.md, the reference of reason codes and flags, from the code that gives them.

    python docs/reference/make_reasons.py

A test fails while the page and the code differ.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from monai_cxr.picture.flags import FLAGS
from monai_cxr.radiograph import ViewPosition
from monai_cxr.reading.reader_limits import CRASHED, MEMORY, TIMEOUT
from monai_cxr.review.words import SERIOUS
from monai_cxr.screening.ledger.arrivals import SAME_UID_REASON
from monai_cxr.screening.ledger.jobs import POISON_REASON
from monai_cxr.screening.ledger.quarantine import NOT_RETRIEVED
from monai_cxr.screening.ledger.rejections import REASON as REJECTED_REASON

PAGE = Path(__file__).with_name("reasons.md")
PACKAGE = Path(__file__).resolve().parents[2] / "monai_cxr"
HEAD = """# Reasons and flags

This page is written from the code by `python docs/reference/make_reasons.py`.

A **reason** is a stable code that says why an input was refused. It stands in the column `reason` of
predictions, in `screen quarantine`, in the viewer, and in `error.reason` of `--json`. In Python it is the
attribute `reason` of the error. The sentence beside it says what was found and what to do; `…` stands for
a value. An error without a code of its own has `unsupported`, `unreadable`, `invalid_table` or
`invalid_input`. A **flag** is a caution about a film that was read.
"""
SECTIONS = {
    "UnsupportedImage": "The film is outside the model's scope\n\n"
    "Sending it again changes nothing ([what is in scope](../explanation/scope.md)).",
    "UnreadableImage": "The file cannot be read\n\nFetch the file again, or repair it.",
    "InvalidTable": "A table is wrong\n\n"
    "An index, labels, predictions or reports ([columns](columns.md)).",
    "InputError": "Another input is wrong",
}
SERVICE = {
    CRASHED: "The film ended the process that read it, twice. Keep the file and report it.",
    TIMEOUT: "Reading took longer than `--reader-timeout` or `reader_timeout_seconds`. Raise the limit "
    "if the machine is slow, and try again.",
    MEMORY: "Reading took more memory than `--reader-memory` or `reader_memory_gib`. Raise the limit "
    "if the film is large, and try again.",
    POISON_REASON: "The film was being worked on each time a process died. Keep it and report it.",
    NOT_RETRIEVED: "The PACS names the image but does not give it. The next pull asks again.",
    REJECTED_REASON: "The film's source took it back by a rejection note (IOCM). Its result is withdrawn; "
    "dismiss the entry, or release it if the note was a mistake.",
    SAME_UID_REASON: "Another film has the same SOP Instance UID and other pixels. The first is kept. "
    "Ask the sender which one is right.",
}


def page() -> str:
    """The whole page."""
    found = reasons()
    lines = [HEAD]
    for kind, title in SECTIONS.items():
        rows = [(code, "\n".join(sorted(found[kind][code]))) for code in sorted(found[kind])]
        lines += _section(title, "reason", "what the message says", rows)
    rows = sorted(SERVICE.items())
    lines += _section("Reading in processes, and the service", "reason", "what it means", rows)
    rows = [
        (code, text + (" **Serious.**" if code in SERIOUS else "")) for code, text in FLAGS.items()
    ]
    title = "Flags\n\nA serious flag puts the scores themselves in doubt."
    return "\n".join([*lines, *_section(title, "flag", "what it means", rows)]).rstrip() + "\n"


def reasons() -> dict[str, dict[str, list[str]]]:
    """Messages by reason by error class, as the code raises them."""
    found: dict[str, dict[str, list[str]]] = {kind: defaultdict(list) for kind in SECTIONS}
    for view in (ViewPosition.LATERAL, ViewPosition.OBLIQUE):
        found["UnsupportedImage"][view.value.lower()].append(
            "The projection is …; the model reads frontal films."
        )
    for path in sorted(PACKAGE.rglob("*.py")):
        for kind, code, message in _raised(ast.parse(path.read_text(encoding="utf-8"))):
            if message and message not in found[kind][code]:
                found[kind][code].append(message)
    return found


def _raised(tree: ast.AST) -> Iterator[tuple[str, str, str]]:
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
            continue
        name, arguments = node.func.id, node.args
        if name == "refuse" and len(arguments) == 2 and isinstance(arguments[0], ast.Constant):
            yield "UnsupportedImage", str(arguments[0].value), _text(arguments[1])
        if name in SECTIONS:
            for keyword in node.keywords:
                if keyword.arg == "reason" and isinstance(keyword.value, ast.Constant):
                    yield name, str(keyword.value.value), _text(arguments[0])


def _text(node: ast.AST) -> str:
    """A message as the code writes it, with … for its values."""
    if isinstance(node, ast.Constant):
        return str(node.value).strip()
    if isinstance(node, ast.JoinedStr):
        parts = [str(p.value) if isinstance(p, ast.Constant) else "…" for p in node.values]
        return "".join(parts).strip()
    if isinstance(node, ast.BinOp):
        return f"{_text(node.left)} {_text(node.right)}".strip()
    return ""


def _section(title: str, first: str, second: str, rows: list[tuple[str, str]]) -> list[str]:
    cells = [f"| `{code}` | {_cell(text)} |" for code, text in rows]
    return [f"## {title}", "", f"| {first} | {second} |", "|---|---|", *cells, ""]


def _cell(text: str) -> str:
    text = text.replace("|", "\\|").replace("<", "&lt;")
    return "<br>".join(" ".join(line.split()) for line in text.splitlines())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
