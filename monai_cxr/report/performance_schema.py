"""Performance schema: the JSON Schema of ``performance.json``, of the version in use."""

from __future__ import annotations

from monai_cxr.evaluation.results import SCHEMA_VERSION

_NUMBER = {"type": ["number", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_SERIES = {"type": "array", "items": _NUMBER}


def _object(properties: dict[str, object], **more: object) -> dict[str, object]:
    """An object that has all of these and nothing else."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


def _map(values: object) -> dict[str, object]:
    return {"type": "object", "additionalProperties": values}


_INTERVAL = {"$ref": "#/$defs/interval"}
_RATES = ("sensitivity", "specificity", "ppv", "npv", "accuracy")
_CELLS = ("true_positives", "false_positives", "true_negatives", "false_negatives")

_FINDING = _object(
    {
        "n": _COUNT,
        "n_positive": _COUNT,
        "n_positive_patients": _COUNT,
        "prevalence": _NUMBER,
        "auroc": _INTERVAL,
        "auroc_delong": _INTERVAL,
        "partial_auroc": _NUMBER,
        "average_precision": _NUMBER,
        "average_precision_interval": _INTERVAL,
        "brier": _NUMBER,
        "brier_interval": _INTERVAL,
        "brier_parts": _object(
            dict.fromkeys(("reliability", "resolution", "uncertainty", "within_bin"), _NUMBER)
        ),
        "ece": _NUMBER,
        "ece_interval": _INTERVAL,
        "ece_equal_width": _NUMBER,
        "ece_equal_width_interval": _INTERVAL,
        "ece_floor": _NUMBER,
        "ece_uncalibrated": _NUMBER,
        "log_loss": _NUMBER,
        "calibration_slope": _NUMBER,
        "calibration_intercept": _NUMBER,
        "gaps": _TEXTS,
    }
)

_MACRO = _object(
    {
        "findings": _TEXTS,
        "auroc": _INTERVAL,
        "auroc_weighted": _INTERVAL,
        "average_precision": _NUMBER,
        "average_precision_interval": _INTERVAL,
        "brier": _NUMBER,
        "brier_interval": _INTERVAL,
        "ece": _NUMBER,
        "ece_interval": _INTERVAL,
        "ece_uncalibrated": _NUMBER,
    }
)

_POINT = {
    "finding": _TEXT,
    "threshold": {"type": "number", "minimum": 0, "maximum": 1},
    "criterion": _TEXT,
    "n": _COUNT,
    "n_positive": _COUNT,
}

_OPERATING_POINT = _object(
    {
        **_POINT,
        "chosen_on": _object({**_POINT, "sensitivity": _INTERVAL, "specificity": _INTERVAL}),
        **dict.fromkeys(_CELLS, _COUNT),
        **dict.fromkeys(_RATES, _INTERVAL),
        "likelihood_ratio_positive": _NUMBER,
        "likelihood_ratio_negative": _NUMBER,
        "what_if": {
            "type": "array",
            "items": _object(dict.fromkeys(("prevalence", "ppv", "npv"), _NUMBER)),
        },
    }
)

_CLASSIFICATION = _object(
    {
        "classes": _TEXTS,
        "n": _COUNT,
        "confusion": {"type": "array", "items": {"type": "array", "items": _COUNT}},
        **dict.fromkeys(("accuracy", "balanced_accuracy", "kappa"), _INTERVAL),
        "recall": _map(_INTERVAL),
    }
)

_CONFORMAL = _object(
    {
        "rule": _object(
            {
                "finding": _TEXT,
                "alpha": _NUMBER,
                "rule_out_below": _NUMBER,
                "rule_in_above": _NUMBER,
                "n_positive": _COUNT,
                "n_negative": _COUNT,
                "group": _TEXT,
            }
        ),
        "coverage_positive": _INTERVAL,
        "coverage_negative": _INTERVAL,
        "decided": _INTERVAL,
    }
)

_SUBGROUP = _object(
    {
        "dimension": _TEXTS,
        "level": _TEXTS,
        "n": _COUNT,
        "n_patients": _COUNT,
        "n_findings": _COUNT,
        "macro_auroc": _INTERVAL,
        "reference": _TEXTS,
        "gap": _INTERVAL,
        "auroc": _map(_INTERVAL),
    }
)

_CURVES = _object(
    {
        "roc": _object({"fpr": _SERIES, "tpr": _SERIES, "threshold": _SERIES}),
        "precision_recall": _object({"recall": _SERIES, "precision": _SERIES}),
        "reliability": _object({"counts": _SERIES, "predicted": _SERIES, "observed": _SERIES}),
        "decision": _object(
            {"threshold": _SERIES, "net_benefit": _SERIES, "net_benefit_all": _SERIES}
        ),
        "risk_coverage": _object({"coverage": _SERIES, "risk": _SERIES}),
    }
)

PERFORMANCE_SCHEMA: dict[str, object] = _object(
    {
        "format": {"const": "monai_cxr performance"},
        "schema_version": {"const": SCHEMA_VERSION},
        "created": _TEXT,
        "model": _map(_TEXT),
        "data": _object(
            {
                "name": _TEXT,
                "split": _TEXT,
                "labels": _TEXT,
                "n_images": _COUNT,
                "n_patients": _COUNT,
                "digest": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            }
        ),
        "method": _object(
            {
                "interval": _TEXT,
                "n_bootstrap": _COUNT,
                "seed": _COUNT,
                "ece": _TEXT,
                "calibration": _map(_TEXT),
            }
        ),
        "findings": _map(_FINDING),
        "macro": _MACRO,
        "any_finding": _object({"n": _COUNT, "n_positive": _COUNT, "auroc": _INTERVAL}),
        "classification": {"oneOf": [{"type": "null"}, _CLASSIFICATION]},
        "operating_points": {"type": "array", "items": _OPERATING_POINT},
        "conformal": {"type": "array", "items": _CONFORMAL},
        "subgroups": {"type": "array", "items": _SUBGROUP},
        "curves": _map(_CURVES),
        "warnings": _TEXTS,
    },
    **{
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {
            "interval": _object({"estimate": _NUMBER, "low": _NUMBER, "high": _NUMBER}),
        },
    },
)
"""Any field that ``performance.json`` has, and no other; a number that is not known is null."""
