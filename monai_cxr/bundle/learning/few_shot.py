"""Few-shot: a bundle with one more finding, learned from a few films on its frozen features."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from monai_cxr.bundle.config import copy_bundle, find_bundle, read_config
from monai_cxr.bundle.digests import WEIGHTS_NAME, check_digests
from monai_cxr.bundle.engines.torch_engine import (
    build_network,
    load_weights,
    with_outputs,
    write_weights,
)
from monai_cxr.bundle.learning.linear_head import LinearHead, embedded, features_of, fit_head
from monai_cxr.bundle.model import CALIBRATION_NAME, OPERATING_POINTS_NAME, BundleModel, rules_of
from monai_cxr.bundle.packaging import describe, finish_package, staged_bundle, training_manifest
from monai_cxr.bundle.verification import Verified, verify
from monai_cxr.errors import InvalidBundle, InvalidTable, SettingsError
from monai_cxr.evaluation.calibration.calibrator import (
    Calibrator,
    read_calibrator,
    write_calibrator,
)
from monai_cxr.evaluation.calibration.methods import FindingCalibration
from monai_cxr.evaluation.decisions.decision_rules import write_rules
from monai_cxr.evaluation.statistics.delong import delong, delong_difference
from monai_cxr.networks.grown import head_of
from monai_cxr.prediction import Interval
from monai_cxr.tables import logit_column, normalise_index, read_table, require_columns

_FEWEST_PATIENTS = 2


@dataclass(frozen=True, slots=True)
class Beside:
    """A head that the bundle had, judged on the films of the new one.

    Attributes:
        finding: Its name.
        auroc: With DeLong's 95 % interval.
        gain: AUROC of the new head minus this one, with DeLong's paired 95 % interval.
    """

    finding: str
    auroc: Interval
    gain: Interval


@dataclass(frozen=True, slots=True)
class FewShot:
    """A finding that was added.

    Attributes:
        finding: Its name.
        n: Films that it was learned from.
        n_positive: Of these, the positive ones.
        variance: Prior variance of the log odds.
        prevalence: Share of positive patients among those labelled for training, which the
            calibration states.
        auroc: On one film per patient of the val split, with DeLong's 95 % interval; NaN without
            one.
        n_judged: Films that it was judged on.
        beside: How well the bundle's own head does on the same films; None where none was named.
        verified: What verifying the new bundle says.
    """

    finding: str
    n: int
    n_positive: int
    variance: float
    prevalence: float
    auroc: Interval
    n_judged: int
    beside: Beside | None
    verified: Verified


def add_finding(
    bundle: Path | str,
    finding: str,
    index: Path,
    out: Path,
    *,
    shots: int | None = None,
    beside: str | None = None,
    seed: int = 0,
    workers: int | None = None,
) -> FewShot:
    """Add a finding to a packaged bundle by a linear head on its frozen features.

    Args:
        bundle: Folder of a packaged bundle.
        finding: Name of a finding it does not have, and of a label column of the index.
        index: Films; those of split train (of all, without splits) are learned from, those of
            split val judge.
        out: Folder of the new bundle; a bundle that is there is replaced.
        shots: So many positive and so many negative patients, one film each; None for every
            labelled film.
        beside: A finding of the bundle that the new one is a site's own head for: its labels count
            where the index has none of the new name, and its head is judged on the same films.
        seed: Seed of the choice of patients.
        workers: Processes that read films.

    Returns:
        What was learned, and how well it does.

    Raises:
        SettingsError: If the bundle has the finding, or lacks the one beside it, or there are fewer
            shots than asked for.
        InvalidBundle: If the bundle is not packaged, or its network has no linear head.
        InvalidTable: If the index has no such label, or too few patients.
    """
    source = find_bundle(bundle)
    check_digests(source)
    config = read_config(source, "inference")
    _require_room(config, finding, beside)
    table = read_table(index)
    if beside is not None and finding not in table and beside in table:
        table[finding] = table[beside]
    require_columns(table, (finding, "patient_id"), what="index")
    table = normalise_index(table, [*config["findings"], finding])
    labelled = table[table[finding].isin([0, 1])]
    has_splits = (labelled["split"] == "train").any()
    learned = labelled[labelled["split"] == "train"] if has_splits else labelled
    judged = labelled[labelled["split"] == "val"] if has_splits else labelled.head(0)
    prevalence = _prevalence(learned, finding)
    model = BundleModel.load(source, runtime="torch", encoder=True)
    head = _learned(embedded(model, few_shots(learned, finding, shots, seed), workers), finding)
    one_film = judged.drop_duplicates("patient_id").reset_index(drop=True)
    auroc, known = Interval(math.nan), None
    if one_film[finding].nunique() == 2:
        kept = () if beside is None else (logit_column(beside),)
        seen = embedded(model, one_film, workers, keep=kept)
        auroc, known = _judged(head, seen, finding, beside)
    verified = _package(source, out, finding, head, prevalence)
    facts = (head.n, head.n_positive, head.variance, prevalence)
    return FewShot(finding, *facts, auroc, len(one_film), known, verified)


def _require_room(config: Mapping[str, Any], finding: str, beside: str | None) -> None:
    """Refuse a finding that this inference config cannot be given."""
    if finding in config["findings"]:
        raise SettingsError(
            f"The bundle has the finding '{finding}' already. For a site's own head beside it, "
            f"give --finding {finding}_here --beside {finding}."
        )
    if beside is not None and beside not in config["findings"]:
        raise SettingsError(
            f"The bundle has no finding '{beside}' to stand beside. Expected one of: "
            f"{', '.join(config['findings'])}."
        )
    if config["network_def"].get("exclusive"):
        raise InvalidBundle("The bundle's classes are exclusive, so no finding can be added.")


def _learned(rows: pd.DataFrame, finding: str) -> LinearHead:
    _check_patients(rows, finding)
    return fit_head(features_of(rows), rows[finding].to_numpy(np.float64), rows["patient_id"])


def _judged(
    head: LinearHead, films: pd.DataFrame, finding: str, beside: str | None
) -> tuple[Interval, Beside | None]:
    """AUROC of the new head, and of the one beside it on the same films."""
    scores, labels = head.logits(features_of(films)), films[finding].to_numpy(np.float64)
    auroc = delong(scores, labels)
    if beside is None:
        return auroc, None
    known = films[logit_column(beside)].to_numpy(np.float64)
    gain = delong_difference(scores, known, labels)
    return auroc, Beside(beside, delong(known, labels), gain)


def _prevalence(rows: pd.DataFrame, finding: str) -> float:
    """Share of positive patients, half a patient added to both sides."""
    positive = rows.groupby("patient_id")[finding].max() == 1
    return float((positive.sum() + 0.5) / (len(positive) + 1))


def _check_patients(rows: pd.DataFrame, finding: str) -> None:
    for value, what in ((1, "positive"), (0, "negative")):
        n = rows.loc[rows[finding] == value, "patient_id"].nunique()
        if n < _FEWEST_PATIENTS:
            raise InvalidTable(
                f"The {what} films of '{finding}' are of {n} patient{'s' * (n != 1)}; at least "
                f"{_FEWEST_PATIENTS} are needed. Label films of further patients.",
                reason="too_few_patients",
            )


def few_shots(rows: pd.DataFrame, finding: str, shots: int | None, seed: int) -> pd.DataFrame:
    """The films to learn from: all, or one film of so many positive and negative patients."""
    _check_patients(rows, finding)
    if shots is None:
        return rows.reset_index(drop=True)
    shuffled = rows.sample(frac=1.0, random_state=seed)
    positive = shuffled[shuffled[finding] == 1].drop_duplicates("patient_id")
    others = shuffled[~shuffled["patient_id"].isin(positive["patient_id"])]
    negative = others.drop_duplicates("patient_id")
    for part, what in ((positive, "positive"), (negative, "negative")):
        if len(part) < shots:
            raise SettingsError(
                f"Expected {shots} {what} patients of '{finding}', but the index has {len(part)}. "
                "Ask for fewer --shots, or label more films."
            )
    return pd.concat([positive.head(shots), negative.head(shots)], ignore_index=True)


def _package(
    source: Path, out: Path, finding: str, head: LinearHead, prevalence: float
) -> Verified:
    config = read_config(source, "inference")
    findings = config["findings"]
    inner = with_outputs(config["network_def"], findings)
    grown = {"_target_": "monai_cxr.networks.grown.grow", "network": inner, "n_added": 1}
    old = build_network(config)
    load_weights(old, source / WEIGHTS_NAME)
    path, _ = head_of(old)
    state = old.state_dict()
    row = torch.from_numpy(head.weight).to(state[f"{path}.weight"])[None]
    state[f"{path}.weight"] = torch.cat([state[f"{path}.weight"], row])
    bias = torch.tensor([head.bias]).to(state[f"{path}.bias"])
    state[f"{path}.bias"] = torch.cat([state[f"{path}.bias"], bias])
    calibrator = read_calibrator(source / CALIBRATION_NAME)
    added = _calibration(finding, head, prevalence)
    with staged_bundle(out) as staging:
        copy_bundle(source, staging, {"findings": [*findings, finding], "network_def": grown})
        write_weights(staging, state)
        write_calibrator(
            Calibrator((*calibrator.findings, added), calibrator.provenance),
            staging / CALIBRATION_NAME,
        )
        write_rules(rules_of(source), staging / OPERATING_POINTS_NAME)
        describe(staging)
        finish_package(staging, _manifest(source, finding, head, prevalence))
        verified = verify(staging)
    return replace(verified, name=out.name)


def _calibration(finding: str, head: LinearHead, prevalence: float) -> FindingCalibration:
    share = head.n_positive / head.n
    shift = math.log(prevalence / (1 - prevalence)) - math.log(share / (1 - share))
    return FindingCalibration(
        finding,
        "prior_shift",
        {"shift": (shift,)},
        head.n,
        head.n_positive,
        reason=f"Learned from {head.n} films, of which {head.n_positive} positive; moved to a "
        f"prevalence of {prevalence:.3f} of patients. No other calibration was fitted.",
    )


def _manifest(source: Path, finding: str, head: LinearHead, prevalence: float) -> dict[str, Any]:
    manifest = {"data": {}, **training_manifest(source)}
    facts = {"n": head.n, "n_positive": head.n_positive, "variance": head.variance}
    added = {**manifest.get("few_shot", {}), finding: {**facts, "prevalence": prevalence}}
    return {**manifest, "few_shot": added}
