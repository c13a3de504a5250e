"""Pretrained register: which weights can be had, from whom, on what terms, and how read."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from monai_cxr.errors import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NOT_RECORDED = "not recorded"
"""A fact that nobody here has seen."""


@dataclass(frozen=True, slots=True)
class PretrainedWeights:
    """Weights that others have trained and published.

    Attributes:
        name: In this register.
        publisher: Who publishes them.
        architecture: For people, for example ``"DenseNet-121"``.
        image_size: Side of the input in pixels.
        resize: Resize policy of the origin.
        trained_on: Data sets: ``data``, ``split``, and in ``free`` the splits not trained on.
        auroc: Published mean AUROC with its split and source.
        licence: Licence of the weights.
        data_terms: Data terms of the films they were trained on.
        size: Size of the file.
        source: Page of the publisher.
        revision: Revision of the source, where it is pinned.
        file: Name of the file at the source; ``""`` where torchxrayvision downloads it.
        sha256: SHA-256 of the file, hexadecimal; ``""`` where it is not recorded.
        network: Arguments of :func:`monai_cxr.networks.build`.
        encoder: Whether it has no findings; what it gives is its embedding.
        processor: What a ``preprocessor_config.json`` beside the file must say.
        note: What a reader must know.
    """

    name: str
    publisher: str
    architecture: str
    image_size: int
    resize: str
    trained_on: tuple[Mapping[str, Any], ...]
    auroc: str
    licence: str
    data_terms: str
    size: str
    source: str
    revision: str = NOT_RECORDED
    file: str = ""
    sha256: str = ""
    network: Mapping[str, Any] = field(default_factory=dict)
    encoder: bool = False
    processor: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def url(self) -> str:
        """Where the file can be downloaded; ``""`` where torchxrayvision does it."""
        revision = "main" if self.revision == NOT_RECORDED else self.revision
        return f"{self.source}/resolve/{revision}/{self.file}" if self.file else ""

    @property
    def terms(self) -> str:
        """Licence and data terms, in two sentences."""
        return f"Licence: {self.licence}. Data: {self.data_terms}."


@cache
def register() -> Mapping[str, PretrainedWeights]:
    """Every entry by its name, in the order of ``pretrained_weights.toml``."""
    text = files("monai_cxr.bundle").joinpath("pretrained_weights.toml").read_text("utf-8")
    content = tomllib.loads(text)
    made: dict[str, PretrainedWeights] = {}
    for name, entry in content["weights"].items():
        facts = content["publishers"][entry["publisher"]] | entry
        facts["trained_on"] = tuple(facts["trained_on"])
        made[name] = PretrainedWeights(name=name, **facts)
    return MappingProxyType(made)


def weights_named(name: str) -> PretrainedWeights:
    """The entry of that name.

    Raises:
        SettingsError: If there is none; it names the nearest.
    """
    entries = register()
    if name in entries:
        return entries[name]
    near = difflib.get_close_matches(name, entries, n=3, cutoff=0.4)
    remedy = f"Did you mean {' or '.join(near)}? " if near else ""
    raise SettingsError(
        f"'{name}' is neither a bundle nor in the register of pretrained weights. {remedy}"
        "List them with: monai-cxr fetch."
    )
