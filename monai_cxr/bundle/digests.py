"""Digests: what a packaged bundle holds, so that a changed byte is noticed before it is parsed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from monai_cxr.atomic import write_json
from monai_cxr.errors import InvalidBundle

DIGESTS_NAME = "digests.json"
WEIGHTS_NAME = "models/model.pt"
EXPORTS_NAME = "models/exports.json"
"""What was exported, and how near it is to the network it was made of."""

EXPORT_SUFFIXES = (".ts", ".onnx", ".xml", ".bin")
"""Files that hold an exported form of the weights."""

_OUTPUTS = ("eval", "images")
"""Folders of a bundle that MONAI's own commands read from and write to."""


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def bundle_files(bundle: Path) -> Iterator[Path]:
    """The files that define a bundle, sorted, without digests, inputs and outputs.

    Everything else counts: a module in a bundle's folder would be imported by MONAI's commands.
    """
    for path in sorted(bundle.rglob("*")):
        inside = path.relative_to(bundle)
        hidden = any(part.startswith(".") for part in inside.parts)
        if path.is_file() and not hidden and inside.parts[0] not in (*_OUTPUTS, DIGESTS_NAME):
            yield path


def write_digests(bundle: Path) -> dict[str, str]:
    """Record the SHA-256 of each file of a bundle in its ``digests.json``.

    Returns:
        Digest by path relative to the bundle.
    """
    digests = {
        path.relative_to(bundle).as_posix(): file_digest(path) for path in bundle_files(bundle)
    }
    write_json(bundle / DIGESTS_NAME, {"algorithm": "sha256", "files": digests})
    return digests


def read_digests(bundle: Path) -> Mapping[str, str]:
    """The recorded digests.

    Raises:
        InvalidBundle: If the bundle has no readable ``digests.json``.
    """
    try:
        recorded = json.loads((bundle / DIGESTS_NAME).read_text(encoding="utf-8"))["files"]
        return {str(name): str(digest) for name, digest in recorded.items()}
    except FileNotFoundError:
        raise InvalidBundle(
            f"The bundle '{bundle.name}' has no {DIGESTS_NAME}: it is not packaged. Train it and "
            "run: monai-cxr package RUN --out DIR."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InvalidBundle(
            f"The {DIGESTS_NAME} of bundle '{bundle.name}' is damaged. Package it again."
        ) from None


def check_digests(bundle: Path) -> Mapping[str, str]:
    """Compare every file with its recorded digest, before any of them is parsed.

    Returns:
        The recorded digests.

    Raises:
        InvalidBundle: Naming the file that is missing, changed or not recorded.
    """
    recorded = read_digests(bundle)
    for name, digest in recorded.items():
        path = bundle / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise InvalidBundle(
                f"The {DIGESTS_NAME} of bundle '{bundle.name}' names a file outside of it. "
                "Do not use this bundle."
            )
        if not path.is_file():
            raise InvalidBundle(
                f"The bundle '{bundle.name}' lacks its file {name}. Restore it or package the run "
                "again."
            )
        if file_digest(path) != digest:
            raise InvalidBundle(
                f"The file {name} of bundle '{bundle.name}' was changed since it was packaged "
                f"(expected SHA-256 {digest[:12]}...). Restore it or package the run again."
            )
    unknown = _not_recorded(bundle, recorded) - set(added_exports(bundle, recorded))
    if unknown:
        raise InvalidBundle(
            f"The bundle '{bundle.name}' has files that were not packaged with it: "
            f"{', '.join(sorted(unknown)[:3])}. Remove them or package the run again."
        )
    return recorded


def added_exports(bundle: Path, recorded: Mapping[str, str]) -> tuple[str, ...]:
    """Exported networks beside a bundle's own files, as MONAI's ``ckpt_export`` writes them.

    They decide nothing: only an export that ``models/exports.json`` names is ever served.

    Returns:
        Paths relative to the bundle, sorted.
    """
    return tuple(
        sorted(
            name
            for name in _not_recorded(bundle, recorded)
            if name.startswith("models/") and name.endswith((*EXPORT_SUFFIXES, ".onnx.data"))
        )
    )


def _not_recorded(bundle: Path, recorded: Mapping[str, str]) -> set[str]:
    return {path.relative_to(bundle).as_posix() for path in bundle_files(bundle)} - set(recorded)


def model_digest(digests: Mapping[str, str]) -> str:
    """One SHA-256 for what decides a prediction: weights, calibration, configs.

    Exported forms of the weights do not change it: they are the same model, see :func:`variant`.
    """
    relevant = sorted(
        f"{name}:{digest}"
        for name, digest in digests.items()
        if (name.startswith("models/") and not _is_export(name))
        or name in ("configs/inference.json", "configs/metadata.json")
    )
    return _sha256(relevant)


def variant(digest: str, *what: str) -> str:
    """Digest of a model that is not served as it was trained.

    Args:
        digest: Digest of the model.
        what: What makes its numbers others than in fp32, such as ``"openvino-int8"`` and the
            digests of the exported files; nothing for fp32.

    Returns:
        The model's own digest where there is nothing, else a new one.
    """
    return _sha256([digest, *what]) if what else digest


def _is_export(name: str) -> bool:
    return name == EXPORTS_NAME or name.endswith(EXPORT_SUFFIXES)


def _sha256(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def fingerprint(bundle: Path) -> tuple[str, ...]:
    """A value that differs between states of a bundle, cheap because it reads no weights.

    Args:
        bundle: Folder; what is not there counts as such.

    Returns:
        The hash of its record of digests, and size and time of its weights.
    """
    try:
        recorded = hashlib.sha256((bundle / DIGESTS_NAME).read_bytes()).hexdigest()
    except OSError:
        recorded = "none"
    try:
        stat = (bundle / WEIGHTS_NAME).stat()
        weights = f"{stat.st_size} {stat.st_mtime_ns}"
    except OSError:
        weights = "none"
    return recorded, weights
