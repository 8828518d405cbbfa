# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The search for an order: against one that tries them all, on recordings with known verdicts, and within its budget."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from nodewise.cli.check import MODELS
from nodewise.errors import UsageError
from nodewise.model import Operation
from nodewise.simulation.checkers import linearizable as checker
from nodewise.simulation.checkers.linearizable import NAMES, by_name, judged, linearizable
from nodewise.simulation.checkers.models import CAS, LIST, REGISTER
from nodewise.simulation.histories.read import read_any
from tests.unit.tried import KINDS, READS, drawn, tried

HISTORIES = Path(__file__).parents[1] / "cases" / "histories"
SHARED = Path("/work/shared/data/histories")
SEEDS = st.integers(0, 10**9)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=300, deadline=None)
@given(seed=SEEDS)
def test_the_verdict_is_that_of_trying_every_order(name: str, seed: int) -> None:
    """On small histories, right ones and wrong ones, with answers that were lost, the search and trying all orders agree."""
    history = drawn(seed, name)
    verdict = by_name(history, name)
    if verdict.valid == "unknown":
        assert "nothing to judge" in verdict.says
    else:
        assert ("valid" if tried(history, name) else "invalid") == verdict.valid, verdict.says


@pytest.mark.parametrize("name", ["register", "cas-register", "kv-append", "mutex"])
@settings(max_examples=150, deadline=None)
@given(seed=SEEDS)
def test_the_window_is_wrong_by_itself(name: str, seed: int) -> None:
    """Without the reads that are not shown, an invalid history is invalid all the same."""
    history = drawn(seed, name)
    verdict = by_name(history, name)
    if verdict.valid == "invalid":
        assert all(one in history for one in verdict.operations)
        shown = [one for one in history if one.f not in READS or one in verdict.operations]
        assert "invalid" == by_name(shown, name).valid


CASES = json.loads((HISTORIES / "verdicts.json").read_text())


@pytest.mark.parametrize("file", CASES)
def test_a_recording_has_its_verdict_ten_times(file: str) -> None:
    """Real recordings get the verdicts that others reached, and the same words each time."""
    model = "kv-append" if file.startswith("kv") else "cas-register"
    verdicts = [by_name(read_any(HISTORIES / file), model) for _ in range(10)]
    assert {CASES[file]} == {verdict.valid for verdict in verdicts}
    assert 1 == len({verdict.says for verdict in verdicts})


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the recordings are in {SHARED}, which is not here")
def test_all_recordings_have_their_verdicts() -> None:
    """The same of all that there are."""
    known = json.loads((SHARED / "verdicts.json").read_text())
    found = {file: linearizable([*read_any(SHARED / file)]).valid for file in known}
    assert known == found


def register(*moves: tuple[int, str, str, Any]) -> list[Operation]:
    """A history of one register, from (process, type, f, value)."""
    return [Operation(process, kind, f, "k", value, time) for time, (process, kind, f, value) in enumerate(moves)]  # type: ignore[arg-type]


STALE = register(
    (0, "invoke", "write", 1),
    (0, "ok", "write", 1),
    (1, "invoke", "read", None),
    (1, "ok", "read", 1),
    (0, "invoke", "write", 2),
    (0, "ok", "write", 2),
    (1, "invoke", "read", None),
    (1, "ok", "read", 1),
)


def test_the_smallest_window_and_what_was_legal() -> None:
    """Of a stale read only the write before it is shown, with the value that would have been right."""
    verdict = linearizable(STALE)
    assert ("invalid", STALE[4:]) == (verdict.valid, verdict.operations)
    assert "the read of 1 of k by process 1 fits no order: 2 would have been legal" == verdict.says


def hard(key: str, clients: int, start: int) -> list[Operation]:
    """A list to which all append at once, and that nobody reads: any order will do, and there are many; then one that cannot be."""
    begun = [Operation(start + n, "invoke", "append", key, f"{n}", n) for n in range(clients)]
    ended = [replace(one, type="ok", time=100 + one.time) for one in begun]
    read = Operation(start, "invoke", "read", key, None, 300)
    return [*begun, *ended, read, replace(read, type="ok", value="nobody", time=301)]


SLOW = dataclasses.replace(LIST, goals=None)  # without the rule that makes lists quick


def test_out_of_budget_is_unknown() -> None:
    """A search that did not come to its end says so, and does not guess."""
    verdict = judged(hard("k", 9, 0), SLOW, budget=2000)
    assert ("unknown", True) == (verdict.valid, "undecided after 2,000 steps" in verdict.says)


def test_a_broken_key_is_found_behind_a_hard_one() -> None:
    """Keys are searched in turns: one that would take for ever does not hide the one that is wrong."""
    wrong = [
        replace(
            one, process=one.process + 50, key="wrong", f={"write": "append"}.get(one.f, one.f), value=one.value and f"{one.value}"
        )
        for one in STALE
    ]
    wrong[-1].value = "7"
    verdict = judged([*hard("hard", 11, 0), *wrong], SLOW, budget=20_000)
    assert ("invalid", True) == (verdict.valid, " of wrong by " in verdict.says)


def test_the_budget_counts_steps_and_not_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the first slice is, a verdict is the same."""
    for size in (1, 7, 5000):
        monkeypatch.setattr(checker, "SLICE", size)
        assert "invalid" == linearizable(STALE).valid


def test_reads_of_a_replica_are_left_out() -> None:
    """A read that may be behind is no answer to judge by."""
    assert "valid" == linearizable([*STALE[:-1], replace(STALE[-1], stale=True)]).valid


def test_nothing_to_judge_is_unknown() -> None:
    """A history in which nothing was answered is neither right nor wrong."""
    assert {"unknown"} == {by_name([], name).valid for name in NAMES}
    assert "unknown" == by_name(STALE[:1], "register").valid


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("register", "cas-register")])
def test_a_history_of_another_model_is_refused(name: str) -> None:
    """An operation that a model does not know is told, and nothing is judged."""
    with pytest.raises(UsageError, match=f"the history has (write|read), which model {name} does not know; it knows"):
        by_name(STALE, name)


def test_models_that_are_mixed_are_refused() -> None:
    """A history of two kinds of object fits no model."""
    mixed = [*STALE, *(replace(one, process=9, f="acquire") for one in STALE[:2])]
    for name in NAMES:
        with pytest.raises(UsageError):
            by_name(mixed, name)


def test_the_simplest_model_is_taken() -> None:
    """Without compare-and-set it is a register."""
    assert (REGISTER, CAS) == (checker.fitting({"read", "add"}), checker.fitting({"read", "cas"}))


def test_the_command_knows_every_model() -> None:
    """The words of `nodewise check --model`, which imports nothing until it is asked."""
    assert set(NAMES) == set(MODELS)
