"""A DenseNet in everything but size, where it is not the network that a test is about."""

from __future__ import annotations

from typing import Any

LIGHT_NETWORK: dict[str, Any] = {
    **{"_target_": "DenseNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 14},
    **{"init_features": 16, "growth_rate": 8, "block_config": [2, 2]},
}
"""Setting ``network_def``: two dense blocks, 14 findings, one channel."""
