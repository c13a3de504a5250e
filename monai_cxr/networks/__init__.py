"""Networks: backbones by name, weights from elsewhere, and the conversion between their layouts."""

from monai_cxr.networks.builders import NETWORKS, build

__all__ = ["NETWORKS", "build"]
