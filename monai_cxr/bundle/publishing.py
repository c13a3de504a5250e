"""Publishing: a packaged bundle as the model zoo stores it, and as the Hub shows it.

- The zip is what MONAI's model zoo stores and ``monai.bundle.download`` unpacks: one folder that
  has the bundle's name, in a file named ``NAME_vVERSION.zip``.
- The page is the ``README.md`` at the root of a Hugging Face repository; its head is the model
  card's metadata, its body the bundle's own README.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from monai_cxr.atomic import write_atomically, write_text
from monai_cxr.bundle.config import find_bundle, read_config
from monai_cxr.bundle.digests import DIGESTS_NAME, bundle_files, check_digests, write_digests
from monai_cxr.bundle.exports import read_exports
from monai_cxr.bundle.packaging import staged_bundle
from monai_cxr.errors import SettingsError

HUB_PAGE = "README.md"

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold; one for all files, so that a bundle has one zip."""

_LOADING = """## How to load it

This repository is a MONAI bundle. Downloaded into a folder `bundle`:

```python
from monai_cxr import BundleModel, read_radiograph

prediction = BundleModel.load("bundle").predict([read_radiograph("film.dcm")])[0]
```

Or by MONAI alone, without calibration and without the film reader: `monai.bundle.load`.
"""


def is_packaged(folder: Path) -> bool:
    """Whether a folder is a packaged bundle, and no run."""
    return (folder / DIGESTS_NAME).is_file()


def copy_packaged(bundle: Path, out: Path) -> None:
    """Copy a packaged bundle to another folder, once its digests were compared.

    Raises:
        InvalidBundle: If a file of it was changed.
        SettingsError: If ``out`` is the bundle itself, or something else than a bundle.
    """
    if bundle.resolve() == out.resolve():
        raise SettingsError(f"'{out.name}' is the bundle itself. Choose another --out.")
    check_digests(bundle)
    with staged_bundle(out) as staging:
        shutil.copytree(bundle, staging)


def zip_bundle(name: Path | str) -> Path:
    """Write a packaged bundle's zip beside its folder, as the model zoo names and lays it out.

    Args:
        name: A packaged bundle.

    Returns:
        ``NAME_vVERSION.zip``; the same bundle always gives the same bytes.

    Raises:
        InvalidBundle: If it is not packaged or was changed.
        SettingsError: If the zip cannot be written.
    """
    bundle = find_bundle(name)
    check_digests(bundle)
    version = read_config(bundle, "metadata")["version"]
    path = bundle.with_name(f"{bundle.name}_v{version}.zip")
    write_atomically(path, lambda part: _write_zip(bundle, part))
    return path


def write_hub_page(name: Path | str) -> Path:
    """Write the page of a Hugging Face repository into a packaged bundle, with its digest.

    The digest of the model stays: the page decides no prediction.

    Args:
        name: A packaged bundle; its digests are checked first and renewed after.

    Returns:
        The page; the folder is now what such a repository holds.

    Raises:
        InvalidBundle: If it is not packaged or was changed.
    """
    bundle = find_bundle(name)
    check_digests(bundle)
    metadata = read_config(bundle, "metadata")
    readme = bundle / "docs" / "README.md"
    body = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    title = f"# {metadata.get('name') or bundle.name}\n"
    head = _card(metadata, {export.format for export in read_exports(bundle)})
    page = f"---\n{head}---\n\n{title}\n{_LOADING}\n{_lowered(body)}"
    write_text(bundle / HUB_PAGE, page)
    write_digests(bundle)
    return bundle / HUB_PAGE


def _card(metadata: dict[str, Any], formats: set[str]) -> str:
    """The model card's metadata as YAML; a JSON value is one of YAML, too."""
    libraries = {"onnx": "onnx", "openvino": "openvino"}
    card = {
        "license": "apache-2.0",
        "library_name": "monai",
        "pipeline_tag": "image-classification",
        "tags": [
            *("monai", "medical", "chest-x-ray", "radiology", "dicom", "calibration"),
            *sorted(libraries[name] for name in formats & set(libraries)),
        ],
        "model_name": str(metadata.get("name", "")),
    }
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in card.items())


def _lowered(markdown: str) -> str:
    """Markdown whose headings are a level lower; a comment in a code block is not a heading."""
    lines, code = [], False
    for line in markdown.splitlines(keepends=True):
        code ^= line.startswith("```")
        lines.append(f"#{line}" if line.startswith("#") and not code else line)
    return "".join(lines)


def _write_zip(bundle: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in (*bundle_files(bundle), bundle / DIGESTS_NAME):
            inside = f"{bundle.name}/{file.relative_to(bundle).as_posix()}"
            entry = zipfile.ZipInfo(inside, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes())
