"""The house in numbers: files, lines, largest folder, arrows inside each wing, long functions.

    python benchmarks/house.py [--tree FOLDER]

Counted from the source of ``monai_cxr`` in a checkout. An arrow is a pair of units of a wing (a
file or a sub-folder right below it) of which one imports the other. Repeated places are runs of six
lines that stand twice, blank lines, comments and imports left out.
"""

from __future__ import annotations

import argparse
import ast
from collections import Counter, defaultdict
from pathlib import Path

LONG_FUNCTION = 60
RUN = 6


def modules(root: Path) -> dict[str, Path]:
    """Dotted name to file."""
    found = {}
    for path in sorted((root / "monai_cxr").rglob("*.py")):
        if "_bundles" not in path.parts:
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imported(tree: ast.AST, known: dict[str, Path]) -> set[str]:
    """Modules of the package that a file imports."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name in known}


def unit(name: str) -> tuple[str, str]:
    """(wing, file or sub-folder of it) of a module."""
    parts = name.split(".")[1:]
    return (parts[0], parts[1]) if len(parts) > 1 else ("", parts[0] if parts else "")


def repeated(sources: dict[str, str]) -> int:
    """Places where a run of lines stands again."""
    runs: Counter[tuple[str, ...]] = Counter()
    for text in sources.values():
        lines = [line.strip() for line in text.splitlines()]
        kept = [one for one in lines if one and not one.startswith(("from ", "import ", "#"))]
        runs.update(set(zip(*(kept[i:] for i in range(RUN)), strict=False)))
    return sum(count - 1 for count in runs.values() if count > 1)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", type=Path, default=Path(__file__).resolve().parents[1])
    root = parser.parse_args().tree
    known = modules(root)
    files: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    folders: Counter[str] = Counter()
    arrows: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    long_functions, sources = 0, {}
    for name, path in known.items():
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        wing, own = unit(name)
        sources[name] = text
        files[wing or "(ground)"] += 1
        lines[wing or "(ground)"] += len(text.splitlines())
        folders[str(path.parent.relative_to(root))] += 1
        for other in imported(tree, known):
            other_wing, other_own = unit(other)
            if wing and other_wing == wing and other_own != own:
                arrows[wing].add((own, other_own))
        long_functions += sum(
            node.end_lineno - node.lineno + 1 > LONG_FUNCTION
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        )
    print("| wing | files | lines | arrows inside |")
    print("|---|--:|--:|--:|")
    for wing, count in files.most_common():
        print(f"| {wing} | {count} | {lines[wing]:,} | {len(arrows[wing])} |")
    print(f"| all | {sum(files.values())} | {sum(lines.values()):,} | |")
    folder, most = folders.most_common(1)[0]
    print(
        f"\nLargest folder: {folder}, {most} files. Functions over {LONG_FUNCTION} lines: ", end=""
    )
    print(f"{long_functions}. Repeated runs of {RUN} lines: {repeated(sources)}.")


if __name__ == "__main__":
    main()
