"""Optional packages: imported on use, with a sentence that names the extra to install."""

from __future__ import annotations

import importlib
from types import ModuleType

from monai_cxr.errors import MissingDependency


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional module, or say which extra brings it.

    Args:
        module: Dotted module name, for example ``"onnxruntime"``.
        extra: The extra of ``monai-cxr`` that installs it.

    Returns:
        The imported module.

    Raises:
        MissingDependency: If the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependency(
            f"The package '{module.partition('.')[0]}' is required for this but is not installed. "
            f"Install it with: pip install 'monai-cxr[{extra}]'"
        ) from error
