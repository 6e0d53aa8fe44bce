"""The alert rules: Prometheus' own tool tests them, and every metric they name is one the node has."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

import dicom_node.metrics
import index_service.metrics
from tests.servers import require

FOLDER = Path(__file__).parents[3] / "deploy" / "prometheus"
METRIC = re.compile(r"\bdicom_node_\w+")


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "--lint-fatal", "dicom-node.rules.yml"),
        ("test", "rules", "dicom-node.test.yml"),
    ],
)
def test_promtool_is_content(arguments: tuple[str, ...]) -> None:
    result = subprocess.run([require("promtool"), *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr


def known_metrics() -> set[str]:
    """The names of all samples of the node's processes."""
    assert dicom_node.metrics.INSTANCES
    families = [*REGISTRY.collect(), *index_service.metrics.ShardCollector(list).collect()]
    names = {family.name for family in families}
    return names | {name + suffix for name in names for suffix in ("_total", "_bucket", "_sum", "_count")}


def test_the_rules_name_metrics_the_node_has() -> None:
    rules = yaml.safe_load((FOLDER / "dicom-node.rules.yml").read_text())["groups"][0]["rules"]
    named = {name for rule in rules for name in METRIC.findall(rule["expr"])}
    assert len(named) >= 6
    assert named - known_metrics() == set()


def test_every_rule_is_tested_and_says_what_to_do() -> None:
    rules = yaml.safe_load((FOLDER / "dicom-node.rules.yml").read_text())["groups"][0]["rules"]
    tests = yaml.safe_load((FOLDER / "dicom-node.test.yml").read_text())["tests"]
    raised = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert {rule["alert"] for rule in rules} == raised
    assert all({"summary", "action"} == set(rule["annotations"]) for rule in rules)
