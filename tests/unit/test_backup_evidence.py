"""Backups of other tools are believed only when what a command says proves one. pgBackRest's answers are those of a real one."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.evidence import EvidenceError, ask

CASES = sorted((Path(__file__).parents[1] / "cases" / "backup_evidence").glob("*.json"))
LIMIT = 0.5


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_evidence(path: Path) -> None:
    """A command's output is exactly this backup, or is refused with what was found and what to do."""
    case = json.loads(path.read_text())
    if "refused" not in case:
        assert case["expected"] == evidence(case)
        return
    with pytest.raises(EvidenceError) as refusal:
        evidence(case)
    assert case["refused"] in str(refusal.value)
    assert "\n" not in str(refusal.value)


def evidence(case: dict[str, Any]) -> dict[str, Any]:
    """What is made of a case's output."""
    printed = case.get("prints", "")
    text = printed if isinstance(printed, str) else json.dumps(printed)
    command = case.get("command") or f"printf '%s\\n' {shlex.quote(text)}"
    return ask(command, case["max_age"], case["system"], case["now"], LIMIT)
