"""Whose lease it is, as the controller sees it: whether a holder is gone, and whether all members granted it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from nodewise.upgrade import lease

HOLDER = {"run": "r1", "who": "ann@desk", "expires": 0.0}
YES: dict[str, Any] = {"granted": True}
NO = {"granted": False, "holder": HOLDER, "says": "held"}
FULL = {"granted": False, "holder": None, "says": "no space"}


def test_a_living_process_is_not_dead() -> None:
    """A living process holds what it took; one that was killed is dead, also while nobody has asked for its end."""
    assert not lease.dead(lease.me(os.getpid()))
    with subprocess.Popen(["sleep", "60"]) as other:
        controller = lease.me(other.pid)
        assert not lease.dead(controller)
        other.send_signal(signal.SIGKILL)
        until = time.monotonic() + 5
        while not (zombie := " Z " in Path(f"/proc/{other.pid}/stat").read_text()) and time.monotonic() < until:
            time.sleep(0.01)
        assert zombie
        assert lease.dead(controller)
    assert lease.dead(controller)


@pytest.mark.parametrize(
    ("differs", "dead"),
    [
        ({"began": 1}, True),
        ({"began": 1, "boot": "another"}, False),
        ({"began": 1, "pids": "pid:[1]"}, False),
        ({"began": None}, False),
    ],
)
def test_only_what_is_known(differs: dict[str, Any], *, dead: bool) -> None:
    """A number that another process has now is dead; of another machine, boot or namespace nothing is known."""
    assert dead == lease.dead({**lease.me(os.getpid()), **differs})
    assert not lease.dead({})


def test_number_and_holders_that_are_gone() -> None:
    """The next number is higher than any member's; holders that are gone are named, living ones are not."""
    gone = {**lease.me(os.getpid()), "began": 1}
    states = [
        None,
        {},
        {"fence": 7, "lease": {"run": "x", "controller": gone}},
        {"fence": 3, "lease": {"run": "y", "controller": lease.me(os.getpid())}},
    ]
    assert (8, ["x"]) == (lease.fence(states), lease.over(states))
    assert 1 == lease.fence([None, {}])


@pytest.mark.parametrize(
    ("answers", "majority", "says"),
    [
        ([YES, YES, YES], True, ""),
        ([YES, YES, NO], True, "run r1 of ann@desk holds the cluster until 1970-01-01T00:00:00+00:00 (n3)"),
        ([YES, NO, NO], False, "(n2, n3)"),
        ([YES, FULL, NO], False, "run r1 of ann@desk"),
        ([YES, FULL, None], False, "n2: no space; n3: no answer"),
        ([None, None, None], False, "n1, n2, n3: no answer"),
    ],
)
def test_verdict(answers: list[Any], says: str, *, majority: bool) -> None:
    """Ours only when every member says so; else two lines, with the holder when there is one and what to do."""
    members = ["n1", "n2", "n3"]
    answered = dict(zip(members, answers, strict=True))
    verdict = lease.verdict(answered, members)
    assert majority == lease.majority(answered, members)
    assert (says in verdict) if says else not verdict
    assert len(verdict.splitlines()) == (2 if says else 0)
    assert ("nodewise_confirm=r1" in verdict) == (NO in answers)


def test_half_is_no_majority() -> None:
    """With two of four, another run may have as many."""
    assert not lease.majority({"n1": YES, "n2": YES}, ["n1", "n2", "n3", "n4"])
