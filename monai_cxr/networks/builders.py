"""Builders: a network by its name, for any number of findings, one or three channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from monai_cxr.errors import SettingsError
from monai_cxr.networks.class_attention import ClassAttention
from monai_cxr.networks.grown import head_of
from monai_cxr.networks.small import LeNet, SmallResNet
from monai_cxr.networks.wrappers import INPUT_RANGES, InputRange, OneVersusRest
from monai_cxr.optional import require


@dataclass(frozen=True, slots=True)
class Architecture:
    """How to build one network.

    Attributes:
        build: Called with in_channels, out_channels, image_size and further options.
        min_size: Smallest side of the input in pixels.
        multiple_of: The side must be a multiple of this.
        source: Where it comes from.
    """

    build: Callable[..., nn.Module]
    min_size: int = 32
    multiple_of: int = 1
    source: str = field(default="torchvision")


def _monai_densenet(name: str) -> Architecture:
    def build(
        in_channels: int, out_channels: int, image_size: int, *, stride: int = 32, **options: Any
    ) -> nn.Module:
        from monai.networks import nets

        network: nn.Module = getattr(nets, name)(
            spatial_dims=2, in_channels=in_channels, out_channels=out_channels, **options
        )
        return _with_stride(network, stride)

    return Architecture(build, source="monai")


def _with_stride(network: nn.Module, stride: int) -> nn.Module:
    """Leave the pooling of the last transitions out, for a finer last grid; weights keep names."""
    if stride not in _POOLED:
        raise SettingsError(
            f"Expected stride as one of {', '.join(map(str, _POOLED))}, but got {stride}."
        )
    for transition in _POOLED[stride]:
        network.get_submodule(f"features.{transition}").pool = nn.Identity()
    return network


_POOLED = {32: (), 16: ("transition3",), 8: ("transition2", "transition3")}
"""Transitions of a DenseNet whose pooling is left out, by how much the network shrinks a film."""


def _monai_seresnext(in_channels: int, out_channels: int, image_size: int, **kw: Any) -> nn.Module:
    from monai.networks.nets import SEResNext50

    network: nn.Module = SEResNext50(
        spatial_dims=2, in_channels=in_channels, num_classes=out_channels, **kw
    )
    return network


def _torchvision(name: str, *, sized: bool = False, **defaults: Any) -> Callable[..., nn.Module]:
    def build(in_channels: int, out_channels: int, image_size: int, **options: Any) -> nn.Module:
        from torchvision.models import get_model

        size = {"image_size": image_size} if sized else {}
        network: nn.Module = get_model(
            name, weights=None, num_classes=out_channels, **{**defaults, **size, **options}
        )
        return with_channels(network, in_channels)

    return build


def _vit_small(in_channels: int, out_channels: int, image_size: int, **options: Any) -> nn.Module:
    from torchvision.models import VisionTransformer

    small = {"num_layers": 12, "num_heads": 6, "hidden_dim": 384, "mlp_dim": 1536}
    network: nn.Module = VisionTransformer(
        image_size=image_size, patch_size=16, num_classes=out_channels, **{**small, **options}
    )
    return with_channels(network, in_channels)


def _lenet(in_channels: int, out_channels: int, image_size: int) -> nn.Module:
    return LeNet(in_channels, out_channels)


def _small(in_channels: int, out_channels: int, image_size: int, **options: Any) -> nn.Module:
    return SmallResNet(in_channels, out_channels, **options)


NETWORKS: Mapping[str, Architecture] = {
    "densenet121": _monai_densenet("DenseNet121"),
    "densenet169": _monai_densenet("DenseNet169"),
    "densenet201": _monai_densenet("DenseNet201"),
    "resnet18": Architecture(_torchvision("resnet18")),
    "resnet34": Architecture(_torchvision("resnet34")),
    "resnet50": Architecture(_torchvision("resnet50")),
    "seresnext50": Architecture(_monai_seresnext, source="monai"),
    **{f"efficientnet_b{i}": Architecture(_torchvision(f"efficientnet_b{i}")) for i in range(5)},
    "efficientnet_v2_s": Architecture(_torchvision("efficientnet_v2_s")),
    "mobilenet_v2": Architecture(_torchvision("mobilenet_v2")),  # bears int8
    "mobilenet_v3_small": Architecture(_torchvision("mobilenet_v3_small")),
    "mobilenet_v3_large": Architecture(_torchvision("mobilenet_v3_large")),
    "convnext_tiny": Architecture(_torchvision("convnext_tiny")),
    "convnext_small": Architecture(_torchvision("convnext_small")),
    "vit_small": Architecture(_vit_small, multiple_of=16),
    "vit_b_16": Architecture(_torchvision("vit_b_16", sized=True), 32, 16),
    "swin_t": Architecture(_torchvision("swin_t")),
    "swin_v2_t": Architecture(_torchvision("swin_v2_t")),
    "small_resnet": Architecture(_small, min_size=16, source="monai_cxr"),
    "lenet": Architecture(_lenet, min_size=16, source="monai_cxr"),
}
"""Networks by name. ``timm:NAME`` builds any of timm's, where that package is installed."""


HEADS = ("linear", "csra")
"""``csra``: class-specific residual attention, :class:`.class_attention.ClassAttention`."""


def build(
    name: str,
    in_channels: int = 1,
    out_channels: int = 14,
    *,
    image_size: int = 224,
    input_range: str = "package",
    exclusive: bool = False,
    options: Mapping[str, Any] | None = None,
    head: str = "linear",
    head_options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a network with random weights; a bundle's ``network_def`` names this function.

    Args:
        name: One of :data:`NETWORKS`, or ``timm:NAME``.
        in_channels: Channels of the input; with ``input_range`` other than ``package``, 1.
        out_channels: One output a finding or class; 0 for an encoder, whose last linear layer has
            no outputs until a finding is added.
        image_size: Side of the input in pixels; some architectures depend on it.
        input_range: One of :data:`monai_cxr.networks.wrappers.INPUT_RANGES`.
        exclusive: Whether the outputs are exclusive classes (softmax) instead of findings.
        options: Further arguments of the architecture, such as ``{"dropout_prob": 0.2}``; a
            DenseNet also takes ``{"stride": 8}`` or 16, for a last grid that is finer.
        head: One of :data:`HEADS`.
        head_options: Of the head, such as ``{"strength": 0.2}``.

    Returns:
        A network of (B, in_channels, S, S) to (B, out_channels) log odds.

    Raises:
        SettingsError: If the name is unknown, or the architecture does not take the size.
    """
    architecture = _architecture(name)
    _check_size(name, architecture, image_size)
    if exclusive and out_channels < 2:
        raise SettingsError(f"Exclusive classes are two or more, but findings has {out_channels}.")
    if out_channels == 0 and head != "linear":
        raise SettingsError(f"An encoder has no outputs, so head is linear, but got '{head}'.")
    inner = in_channels
    if input_range != "package":
        if in_channels != 1 or input_range not in INPUT_RANGES:
            raise SettingsError(
                f"input_range '{input_range}' with {in_channels} channels: expected one channel "
                f"and one of {', '.join(INPUT_RANGES)}."
            )
        inner = max(len(INPUT_RANGES[input_range][0]), 1)
    try:
        network = architecture.build(inner, out_channels or 1, image_size, **dict(options or {}))
    except TypeError as error:
        raise SettingsError(f"The network '{name}' cannot be built: {error}.") from error
    if out_channels == 0:
        _without_outputs(network)
    if input_range != "package":
        network = InputRange(network, input_range)
    network = _with_head(network, head, image_size, dict(head_options or {}))
    return OneVersusRest(network) if exclusive else network


def _without_outputs(network: nn.Module) -> None:
    _, head = head_of(network)
    head.weight, head.bias = (nn.Parameter(part.detach()[:0]) for part in (head.weight, head.bias))
    head.out_features = 0


def _with_head(network: nn.Module, head: str, size: int, options: dict[str, Any]) -> nn.Module:
    if head not in HEADS:
        raise SettingsError(f"Expected head as one of {', '.join(HEADS)}, but got '{head}'.")
    if head == "linear":
        if options:
            raise SettingsError(f"The linear head has no options, but got {options}.")
        return network
    try:
        return ClassAttention(network, size, **options)
    except TypeError as error:
        raise SettingsError(f"The head '{head}' cannot be built: {error}.") from error


def with_channels(network: nn.Module, in_channels: int) -> nn.Module:
    """Give a network another number of input channels by a new first convolution."""
    convolutions = ((p, m) for p, m in network.named_modules() if isinstance(m, nn.Conv2d))
    path, module = next(convolutions, ("", None))
    if module is None:
        raise SettingsError(f"{type(network).__name__} has no convolution to give channels to.")
    if module.in_channels == in_channels:
        return network
    first = nn.Conv2d(
        in_channels,
        module.out_channels,
        module.kernel_size,  # type: ignore[arg-type]
        module.stride,  # type: ignore[arg-type]
        module.padding,  # type: ignore[arg-type]
        bias=module.bias is not None,
    )
    nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
    holder, _, last = path.rpartition(".")
    setattr(network.get_submodule(holder), last, first)
    return network


def _architecture(name: str) -> Architecture:
    if name in NETWORKS:
        return NETWORKS[name]
    kind, colon, model = name.partition(":")
    if kind == "timm" and colon:
        timm = require("timm", extra="timm")

        if not timm.is_model(model):
            raise SettingsError(
                f"timm has no network '{model}'. Expected one of its list_models()."
            )
        fixed = bool(getattr(timm.get_pretrained_cfg(model), "fixed_input_size", False))

        def create(inner: int, out: int, image_size: int, **options: Any) -> nn.Module:
            size = {"img_size": image_size} if fixed else {}
            network: nn.Module = timm.create_model(
                model, pretrained=False, in_chans=inner, num_classes=out, **{**size, **options}
            )
            return network

        return Architecture(create, source="timm")
    raise SettingsError(
        f"Unknown network '{name}'. Expected one of: {', '.join(NETWORKS)}, or timm:NAME."
    )


def _check_size(name: str, architecture: Architecture, image_size: int) -> None:
    if image_size < architecture.min_size or image_size % architecture.multiple_of:
        multiple = f", a multiple of {architecture.multiple_of}" * (architecture.multiple_of > 1)
        raise SettingsError(
            f"The network '{name}' needs an image_size of at least {architecture.min_size}"
            f"{multiple}, but got {image_size}."
        )
