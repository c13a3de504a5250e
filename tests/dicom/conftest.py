import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    root = Path(__file__).parents[2]
    folder = root / os.environ.get("MONAI_CXR_DATA", "../shared/data")
    if not (folder / "dicom" / "inventory.csv").is_file():
        pytest.skip("real data are absent: set MONAI_CXR_DATA")
    return folder
