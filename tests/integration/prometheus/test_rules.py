"""Each rule says what its cases say, and each case fails when its rule is broken."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.prometheus import configuration
from infra.runtime import binary, ensure

CASES = sorted((Path(__file__).parent / "cases").glob("*.yml"))


def _rules() -> list[tuple[str, dict[str, Any]]]:
    """(file's name, rule) of every rule."""
    return [
        (path.name, rule)
        for path in sorted(configuration.RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


def _name(rule: dict[str, Any]) -> str:
    return str(rule.get("alert") or rule["record"])


def _case_of(name: str) -> Path:
    """The file of cases that names the rule; every rule has one."""
    found = [path for path in CASES if name in path.read_text()]
    assert found, f"no case for {name}"
    return found[0]


def _promtool(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(binary("promtool")), *map(str, words)], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module", autouse=True)
def _promtool_is_here() -> None:
    ensure(["prometheus", "alertmanager"])


def test_prometheus_takes_the_configuration_and_the_rules(tmp_path: Path) -> None:
    file = tmp_path / "prometheus.yml"
    file.write_text(configuration.prometheus("127.0.0.1:8500", ["127.0.0.1:9093"], "127.0.0.1:9090"))
    done = _promtool("check", "config", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "alerts.yml" in done.stdout


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_rules_say_what_their_cases_say(case: Path) -> None:
    done = _promtool("test", "rules", case)
    assert done.returncode == 0, done.stdout + done.stderr


def _silent(rule: dict[str, Any]) -> None:
    """Never says anything."""
    rule["expr"] = f"({rule['expr'].strip()}) and on () vector(0) > 1"


def _hasty(rule: dict[str, Any]) -> None:
    """Says something always."""
    rule["expr"] = "vector(1)"
    rule.pop("for", None)


BREAKS = [_silent, _hasty]


@pytest.mark.parametrize("broken", BREAKS, ids=lambda function: function.__name__.strip("_"))
@pytest.mark.parametrize("name", [_name(rule) for _, rule in _rules()])
def test_a_broken_rule_is_noticed(name: str, broken: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    text = _case_of(name).read_text()
    case = yaml.safe_load(text)
    case["rule_files"] = [
        str(_copy_with(name, broken, text, path, tmp_path)) for path in configuration.RULES.glob("*.yml")
    ]
    copy = tmp_path / "case.yml"
    copy.write_text(yaml.safe_dump(case))
    assert _promtool("test", "rules", copy).returncode != 0, f"{name} can be broken without a case that fails"


def _copy_with(name: str, broken: Callable[[dict[str, Any]], None], case: str, path: Path, folder: Path) -> Path:
    """Of the rules that the case is about, as others only take time."""
    document = yaml.safe_load(path.read_text())
    for group in document["groups"]:
        group["rules"] = [rule for rule in group["rules"] if _name(rule) in case]
    for rule in (rule for group in document["groups"] for rule in group["rules"]):
        if _name(rule) == name:
            broken(rule)
    copy = folder / path.name
    copy.write_text(yaml.safe_dump(document, sort_keys=False))
    return copy
