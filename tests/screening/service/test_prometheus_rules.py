"""Prometheus rules: each names a metric that the service gives, with a label that it has."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry, generate_latest

from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.ledger import open_ledger
from monai_cxr.screening.service.health import LedgerCollector, StoreResponses

RULES = Path(__file__).parents[3] / "deploy" / "prometheus-rules.yaml"


def test_rules_name_metrics_of_the_service(tmp_path):
    groups = yaml.safe_load(RULES.read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert all({"alert", "expr", "labels", "annotations"} <= set(rule) for rule in rules)
    registry = CollectorRegistry()
    with open_ledger(tmp_path / "l.sqlite") as ledger:
        registry.register(LedgerCollector(ledger, Spool(tmp_path / "spool", reserve_bytes=0)))
        registry.register(StoreResponses())
        given = set(re.findall(r"^# TYPE (\S+)", generate_latest(registry).decode(), re.MULTILINE))
    named = {name for rule in rules for name in re.findall(r"monai_cxr_\w+", rule["expr"])}
    assert "monai_cxr_alarms_open" in named
    assert named <= given
