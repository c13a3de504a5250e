"""Description: what a trained bundle's metadata and README say of it, derived from its configs."""

from __future__ import annotations

import importlib.metadata
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from monai_cxr.findings import FINDING_NAMES

DESCRIBED = ("findings", "network_def", "task")
"""Settings of the train config that the sentences are about."""

_VERSIONS = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}
_TITLES = {"DenseNet121": "MONAI's DenseNet-121", "densenet121": "MONAI's DenseNet-121"}


def described(metadata: Mapping[str, Any], train: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata whose sentences describe a train config.

    Args:
        metadata: Of the bundle.
        train: Its train config, with the settings in it.

    Returns:
        New metadata: what is said of the task, the network and the outputs.
    """
    if "pretext" in train:  # the only setting that its sentences follow is the network
        rest = str(metadata["description"]).partition(" that learns ")[2]
        return {**metadata, "description": f"{_network(train)} that learns {rest}"}
    findings: Sequence[str] = train["findings"]
    if not findings:
        return {
            **metadata,
            "task": "Embedding of frontal chest radiographs",
            "description": f"{_network(train)} that gives an embedding of a frontal chest "
            "radiograph, and no finding.",
            "label_classes": "none",
            "pred_classes": "none",
        }
    exclusive = train.get("task") == "multi_class"
    number, what = len(findings), _counted(findings, exclusive)
    return {
        **metadata,
        "task": f"Classification of {what} on frontal chest radiographs",
        "description": (
            f"{_network(train)} that gives calibrated probabilities of {what} for a frontal chest "
            f"radiograph in DICOM, PNG, JPEG, TIFF or NIfTI: {', '.join(findings)}."
        ),
        "label_classes": f"{what}, each 0, 1 or unknown",
        "pred_classes": (
            f"{number} calibrated {'probability' if number == 1 else 'probabilities'}, "
            f"{'exclusive' if exclusive else 'not exclusive'}"
        ),
    }


def installed_versions() -> dict[str, str]:
    """Versions by their names in MONAI's metadata, without a local part such as ``+cpu``."""
    return {
        key: importlib.metadata.version(package).partition("+")[0]
        for key, package in _VERSIONS.items()
    }


def with_description(readme: str, metadata: Mapping[str, Any], train: Mapping[str, Any]) -> str:
    """A bundle's README with the paragraphs that follow from its configs.

    Args:
        readme: Markdown, with MONAI's headings; a heading that is absent is not added.
        metadata: Of :func:`described`.
        train: The train config.

    Returns:
        The README with its description, overview and output; a section on weights that others
        published goes, because these weights were trained here.
    """
    findings: Sequence[str] = train["findings"]
    exclusive = train.get("task") == "multi_class"
    overview = (
        f"{_network(train)}, one input channel, {len(findings)} "
        f"{'logit' if len(findings) == 1 else 'logits'}, loss `{train.get('loss', 'bce')}`. "
        f"Outputs in order: {', '.join(findings)}. They are "
        f"{'exclusive' if exclusive else 'not exclusive'}."
    )
    text = re.sub(r"^## Weights\n.*?(?=^#)", "", readme, flags=re.MULTILINE | re.DOTALL)
    for heading, paragraph in (
        ("# Description", str(metadata["description"])),
        ("# Model Overview", overview),
        ("### Output", f"`pred`: {metadata['pred_classes']}, float32, [0, 1]."),
    ):
        found = re.compile(rf"(^{re.escape(heading)}\n+)(?:[^\n#]+\n)+", re.MULTILINE)
        wrapped = textwrap.fill(paragraph, 100, break_long_words=False, break_on_hyphens=False)
        matched = found.search(text)
        if matched is not None:
            text = f"{text[: matched.end(1)]}{wrapped}\n{text[matched.end() :]}"
    return text


def network_in_words(definition: Mapping[str, Any]) -> str:
    """What a ``network_def`` builds, for a table.

    Args:
        definition: Of an inference config.

    Returns:
        For example ``"densenet121 (stride 16), head csra, 1 output added"``.
    """
    if "networks" in definition:
        return f"ensemble of {len(definition['networks'])}"
    added = 0
    while isinstance(definition.get("network"), dict):  # what a wrapper holds
        added += int(definition.get("n_added", 0))
        definition = definition["network"]
    name = str(definition.get("name") or str(definition.get("_target_", "")).rpartition(".")[2])
    options = ", ".join(f"{key} {value}" for key, value in definition.get("options", {}).items())
    head = definition.get("head", "linear")
    return (
        name
        + (f" ({options})" if options else "")
        + (f", head {head}" if head != "linear" else "")
        + (f", {added} output{'s' * (added > 1)} added" if added else "")
    )


def _counted(findings: Sequence[str], exclusive: bool) -> str:
    if tuple(findings) == FINDING_NAMES:
        return "the 14 findings of NIH ChestX-ray14"
    kind = ("class", "classes") if exclusive else ("finding", "findings")
    return f"{len(findings)} {kind[len(findings) != 1]}"


def _network(train: Mapping[str, Any]) -> str:
    """The network as its config names it: MONAI's or torchvision's class, or an architecture."""
    definition = train.get("network_def", {})
    if "networks" in definition:
        return f"An ensemble of {len(definition['networks'])} networks"
    while isinstance(definition.get("network"), dict):  # what a wrapper holds
        definition = definition["network"]
    target = str(definition.get("_target_", "")).rpartition(".")[2]
    name = str(definition.get("name") or target)
    return _TITLES.get(name, f"The network {name}")
