"""Published results: AUROC on ChestX-ray14 as printed, each with its split and its source.

Numbers on different splits are not comparable: the official test split is harder than the usual
random one by about 0.03. So results are only ever given for a stated split.
"""

from __future__ import annotations

from dataclasses import dataclass

from monai_cxr.errors import SettingsError
from monai_cxr.findings import FINDING_NAMES

OFFICIAL_SPLIT = "official test"
RANDOM_SPLIT = "random by patient"
SPLITS = (OFFICIAL_SPLIT, RANDOM_SPLIT)


@dataclass(frozen=True, slots=True)
class PublishedResult:
    """One row of a published table.

    Attributes:
        name: Authors or project, and year.
        split: :data:`OFFICIAL_SPLIT` or :data:`RANDOM_SPLIT`.
        source: Where it is printed.
        macro: Mean AUROC as printed.
        auroc: 14 AUROCs in NIH's order, or empty where only the mean is published.
        note: What a reader must know.
    """

    name: str
    split: str
    source: str
    macro: float
    auroc: tuple[float, ...] = ()
    note: str = ""

    def by_finding(self) -> dict[str, float]:
        """AUROC by finding; empty where only the mean is published."""
        return dict(zip(FINDING_NAMES, self.auroc, strict=False))


# fmt: off
_WANG = "Wang et al. 2017, as quoted by CheXNet (arXiv 1711.05225)"
PUBLISHED_RESULTS: tuple[PublishedResult, ...] = (
    PublishedResult(
        "Wang 2017", OFFICIAL_SPLIT, "Wang et al., ChestX-ray8, updated arXiv 1705.02315", .745,
        (.700, .810, .759, .661, .693, .669, .658, .799, .703, .805, .833, .786, .684, .872),
        "ResNet-50; quoted, agrees with the printed mean"),
    PublishedResult(
        "Yao 2018", OFFICIAL_SPLIT, "Yao et al., arXiv 1803.07703", .761,
        (.733, .856, .806, .673, .718, .777, .684, .805, .711, .806, .842, .743, .724, .775),
        "quoted, agrees with the printed mean"),
    PublishedResult(
        "Guendel 2018", OFFICIAL_SPLIT, "Guendel et al., arXiv 1803.04565", .807,
        (.767, .883, .828, .709, .821, .758, .731, .846, .745, .835, .895, .818, .761, .896),
        "DNetLoc; quoted, agrees with the printed mean"),
    PublishedResult(
        "Baltruschat 2019", OFFICIAL_SPLIT, "Baltruschat et al., Sci Rep 9:6381", .806,
        (.763, .875, .822, .694, .820, .747, .714, .840, .749, .846, .895, .816, .763, .937),
        "ResNet-38-large-meta; quoted, agrees with the printed mean"),
    PublishedResult(
        "SwinCheX 2022", OFFICIAL_SPLIT, "Taslimi et al., arXiv 2206.04246", .810),
    PublishedResult(
        "Medical MAE 2023, DenseNet-121", OFFICIAL_SPLIT, "Xiao et al., WACV 2023", .822,
        note="ImageNet weights, 75 epochs"),
    PublishedResult(
        "Medical MAE 2023, ViT-B", OFFICIAL_SPLIT, "Xiao et al., WACV 2023", .830),
    PublishedResult(
        "Wang 2017, first version", RANDOM_SPLIT, _WANG, .738,
        (.716, .807, .784, .609, .706, .671, .633, .806, .708, .835, .815, .769, .708, .767)),
    PublishedResult(
        "Yao 2017", RANDOM_SPLIT, "Yao et al., arXiv 1710.10501", .803,
        (.772, .904, .859, .695, .792, .717, .713, .841, .788, .882, .829, .767, .765, .914),
        "the mean is that of the row"),
    PublishedResult(
        "CheXNet 2017", RANDOM_SPLIT, "Rajpurkar et al., arXiv 1711.05225", .8414,
        (.8094, .9248, .8638, .7345, .8676, .7802, .7680, .8887, .7901, .8878, .9371, .8047,
         .8062, .9164)),
    PublishedResult(
        "arnoweng CheXNet (10 crops)", RANDOM_SPLIT, "github.com/arnoweng/CheXNet", .8427,
        (.8294, .9165, .8870, .7143, .8597, .7873, .7745, .8726, .8142, .8932, .9254, .8304,
         .7831, .9104)),
    PublishedResult(
        "zoogzog chexnet (10 crops)", RANDOM_SPLIT, "github.com/zoogzog/chexnet", .8508,
        (.8321, .9107, .8860, .7145, .8653, .8037, .7655, .8857, .8157, .9017, .9422, .8523,
         .7948, .9416)),
    PublishedResult(
        "Zech 2018", RANDOM_SPLIT, "github.com/jrzech/reproduce-chexnet", .836,
        (.8161, .9105, .8839, .7077, .8308, .7748, .7651, .8739, .8008, .8979, .9227, .8293,
         .7860, .9010)),
    PublishedResult(
        "Zech 2022", RANDOM_SPLIT, "github.com/jrzech/reproduce-chexnet", .8383,
        (.8180, .9090, .8827, .7156, .8377, .7756, .7617, .8776, .8002, .8945, .9316, .8251,
         .7889, .9175),
        "recomputed from the published predictions; its test set is arnoweng's"),
    PublishedResult(
        "SynthEnsemble 2023, 6 models", RANDOM_SPLIT, "arXiv 2311.07750", .854,
        note="split not stated in the abstract; an ensemble"),
)
# fmt: on


def split_named(text: str) -> str:
    """A split as this module names it, where the text means one of its splits; else the text."""
    words = text.casefold().replace("-", " ").replace("_", " ").split()
    if "official" in words and not {"train", "val", "validation"} & set(words):
        return OFFICIAL_SPLIT
    return RANDOM_SPLIT if words[:1] == ["random"] else text


def published_results(split: str) -> tuple[PublishedResult, ...]:
    """Results on one split; none are given across splits.

    Args:
        split: :data:`OFFICIAL_SPLIT` or :data:`RANDOM_SPLIT`.

    Returns:
        The rows of that split, in order of year.

    Raises:
        SettingsError: If the split has no published results.
    """
    if split not in SPLITS:
        raise SettingsError(
            f"Expected a split of published results, {' or '.join(SPLITS)}, but got '{split}'."
        )
    return tuple(result for result in PUBLISHED_RESULTS if result.split == split)
