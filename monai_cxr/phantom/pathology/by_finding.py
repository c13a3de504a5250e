"""Pathology: each finding's change of the body and what it draws into the thorax."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from monai_cxr.phantom.anatomy import Thorax
from monai_cxr.phantom.body import Body
from monai_cxr.phantom.pathology.airspace import (
    draw_consolidation,
    draw_edema,
    draw_infiltration,
    draw_pneumonia,
)
from monai_cxr.phantom.pathology.focal import (
    alter_for_cardiomegaly,
    draw_cardiomegaly,
    draw_hernia,
    draw_mass,
    draw_nodule,
)
from monai_cxr.phantom.pathology.lesion import Lesion
from monai_cxr.phantom.pathology.pleura import (
    draw_effusion,
    draw_pleural_thickening,
    draw_pneumothorax,
)
from monai_cxr.phantom.pathology.volume import (
    alter_for_atelectasis,
    alter_for_emphysema,
    alter_for_fibrosis,
    draw_atelectasis,
    draw_emphysema,
    draw_fibrosis,
)

Alter = Callable[[Body, float, np.random.Generator], Body]
Draw = Callable[[Thorax, float, np.random.Generator], Lesion]

# In this order: emphysema sets the chest's size before the heart is measured against it.
ALTERATIONS: Mapping[str, Alter] = {
    "Emphysema": alter_for_emphysema,
    "Fibrosis": alter_for_fibrosis,
    "Atelectasis": alter_for_atelectasis,
    "Cardiomegaly": alter_for_cardiomegaly,
}
"""Findings that change the body before the thorax is built."""

DRAWINGS: Mapping[str, Draw] = {
    "Atelectasis": draw_atelectasis,
    "Cardiomegaly": draw_cardiomegaly,
    "Effusion": draw_effusion,
    "Infiltration": draw_infiltration,
    "Mass": draw_mass,
    "Nodule": draw_nodule,
    "Pneumonia": draw_pneumonia,
    "Pneumothorax": draw_pneumothorax,
    "Consolidation": draw_consolidation,
    "Edema": draw_edema,
    "Emphysema": draw_emphysema,
    "Fibrosis": draw_fibrosis,
    "Pleural_Thickening": draw_pleural_thickening,
    "Hernia": draw_hernia,
}
"""What each finding draws, in NIH's order."""
