"""The bundles of this repository, and how their tests run them."""

from __future__ import annotations

from pathlib import Path

import pytest

ALL_BUNDLES = sorted(
    path.parents[1]
    for path in (Path(__file__).parents[2] / "bundles").glob("*/configs/metadata.json")
)
BUNDLES = [bundle for bundle in ALL_BUNDLES if (bundle / "configs" / "evaluate.json").is_file()]
"""Those that give findings; the pretraining bundle is tested by itself."""
SMALL = {"image_size": 32, "batch_size": 8, "max_epochs": 1, "num_workers": 0}

MARKS_OF_MONAI = [
    # MONAI's LoadImage makes every reader it knows, also those of absent packages.
    pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader"),
    # MONAI warns that a config is code and that a schema has no hash, and asks torch for things by
    # names that are deprecated.
    pytest.mark.filterwarnings("ignore:parsing config_file"),
    pytest.mark.filterwarnings("ignore:No hash value provided"),
    pytest.mark.filterwarnings("ignore:.*dynamic_axes"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MARKS = [
    pytest.mark.parametrize("source", BUNDLES, ids=lambda path: path.name, scope="module"),
    *MARKS_OF_MONAI,
]


def config_file(bundle: Path, *names: str) -> list[str]:
    return [str(bundle / "configs" / f"{name}.json") for name in names]
