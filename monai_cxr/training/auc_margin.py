"""AUC margin: a loss whose minimum is the largest AUROC, not the best probability."""

from __future__ import annotations

import torch


def auc_margin(logits: torch.Tensor, labels: torch.Tensor, margin: float = 1.0) -> torch.Tensor:
    """AUC margin loss, mean over the findings that have both classes in the batch.

    Yuan et al., "Large-scale Robust Deep AUC Maximization", ICCV 2021, is a min-max over three
    further variables. Its inner problem is quadratic, and here it is solved in each batch: a and b
    are the class means and alpha the violated margin, which leaves the variances of both classes
    and a squared hinge on the difference of their means. MONAI's ``AUCMLoss(version="v2")`` at
    those values is the same number. It needs no optimiser of its own.

    Args:
        logits: Shape (B, F); the loss is of their sigmoid.
        labels: Shape (B, F), 0, 1 or NaN.
        margin: Wanted distance of the class means.

    Returns:
        A scalar; 0 (with a gradient of 0) when no finding has both classes.
    """
    scores = logits.sigmoid()
    positive, negative = (labels == 1).to(scores), (labels == 0).to(scores)
    n_positive, n_negative = (mask.sum(dim=0) for mask in (positive, negative))
    both = ((n_positive > 0) & (n_negative > 0)).to(scores)
    spread = torch.zeros_like(both)
    means = []
    for mask, n in ((positive, n_positive), (negative, n_negative)):
        mean = (scores * mask).sum(dim=0) / n.clamp_min(1)
        spread = spread + ((scores - mean) ** 2 * mask).sum(dim=0) / n.clamp_min(1)
        means.append(mean)
    hinge = (margin - means[0] + means[1]).clamp_min(0) ** 2
    return ((spread + hinge) * both).sum() / both.sum().clamp_min(1)
