"""Who holds a node, by its own file: granted, refused, fenced; and the record of the upgrade that outlives its run."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.host import lock
from ansible_collections.nodewise.cluster.plugins.module_utils.node.state import (
    PASSED,
    StateError,
    change,
    fenced,
    path,
    read,
    write,
)

UPGRADE = {"plan": "p1", "kind": "upgrade", "to": "2", "path": ["2"], "from": "1", "cluster_version": "1"}


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The folder of a system on a node that nobody has changed yet."""
    monkeypatch.setattr(lock, "FOLDER", str(tmp_path / "run"))
    return str(tmp_path / "demo")


def ask(root: str, kind: str, run: str, fence: int = 1, **more: Any) -> dict[str, Any]:
    """What the node answers to a run."""
    given = {"run": run, "who": f"{run}@host", "controller": {}, "fence": fence, "ttl": 60.0, "over": [], "upgrade": {}, **more}
    return change(root, kind, given, 0)


def expire(root: str) -> None:
    """Have the node's clock pass the end of the lease."""
    state = read(root)
    state["lease"]["expires"] = time.time() - 1
    write(root, state)


def lease(run: str, fence: int = 1) -> dict[str, Any]:
    """What a run gives to the modules that change a node."""
    return {"run": run, "fence": fence, "ttl": 60.0, "step": "switch"}


def test_first_come(root: str) -> None:
    """A free node is granted; another run is told who holds it and until when, and what the node keeps is what is returned."""
    assert ask(root, "taken", "a")["granted"]
    denied = ask(root, "taken", "b", fence=2)
    assert not denied["granted"]
    assert ("a", "a@host") == (denied["holder"]["run"], denied["holder"]["who"])
    assert f"run a of a@host holds the cluster until {denied['holder']['expires_at']}" == denied["says"]
    assert denied["state"] == read(root)
    assert 0o644 == Path(path(root)).stat().st_mode & 0o777


@pytest.mark.parametrize(
    ("before", "fence", "more", "granted"),
    [
        ([("taken", "a", 5)], 6, {}, False),
        ([("taken", "a", 5)], 6, {"over": ["a"]}, True),
        ([("taken", "a", 5)], 5, {"over": ["a"]}, False),
        ([("taken", "a", 5), "expire"], 6, {}, True),
        ([("taken", "a", 5), "expire"], 5, {}, False),
        ([("taken", "a", 5), ("released", "a", 5)], 6, {}, True),
        ([("taken", "a", 5), ("released", "a", 5)], 5, {}, False),
        ([("taken", "a", 5), ("released", "a", 5)], 4, {}, False),
        ([("taken", "a", 5), ("withdrawn", "a", 5)], 5, {}, True),
        ([("taken", "a", 5), ("broken", "a", 5)], 6, {}, False),
        ([("taken", "a", 5), ("broken", "a", 5)], 7, {}, True),
        ([("taken", "b", 5)], 5, {}, True),
        ([("taken", "b", 5)], 4, {}, False),
        ([("taken", "b", 5), ("released", "b", 5)], 5, {}, True),
    ],
)
def test_taken_by_b(root: str, before: list[Any], fence: int, more: dict[str, Any], *, granted: bool) -> None:
    """Whether `b` is granted after others; one that looked before somebody else came and went is told to look again."""
    for one in before:
        if one == "expire":
            expire(root)
        else:
            kind, run, number = one
            assert ask(root, kind, run, number, upgrade={**UPGRADE, "to": run})["granted"]
    answer = ask(root, "taken", "b", fence, **more)
    assert granted == answer["granted"]
    assert granted or answer["says"] == PASSED or answer["holder"]


def test_kept_after_it_expired(root: str) -> None:
    """A lease that expired is renewed while nobody took it, never to an earlier end, and lost once somebody has."""
    ask(root, "taken", "a")
    expire(root)
    assert ask(root, "kept", "a", seconds=100.0)["granted"]
    assert read(root)["lease"]["expires"] > time.time() + 150
    assert ask(root, "kept", "a")["state"]["lease"]["expires"] > time.time() + 150
    expire(root)
    ask(root, "taken", "b", 2)
    lost = ask(root, "kept", "a")
    assert (False, "b") == (lost["granted"], lost["holder"]["run"])
    assert lost["says"].startswith("fenced: run b of b@host holds")
    assert "(fence 2, ours was 1)" in lost["says"]


def test_released(root: str) -> None:
    """Giving back keeps number and record, with how it ended; giving back what is another's changes nothing and is no error."""
    ask(root, "taken", "a", upgrade=UPGRADE)
    assert not ask(root, "released", "b", outcome="upgraded")["changed"]
    assert ask(root, "released", "a", outcome="paused", reason="why")["granted"]
    state = read(root)
    assert (1, None) == (state["fence"], state["lease"])
    assert ("paused", "why", "1") == tuple(state["upgrade"][key] for key in ("outcome", "reason", "from"))


def test_withdrawn(root: str) -> None:
    """A run that did not get the cluster leaves the node as it was, number and record included."""
    ask(root, "taken", "a", 1, upgrade=UPGRADE)
    ask(root, "released", "a", 1, outcome="upgraded")
    before = read(root)
    ask(root, "taken", "b", 2, upgrade={**UPGRADE, "to": "3"})
    ask(root, "taken", "b", 2, upgrade={**UPGRADE, "to": "3"})
    assert ask(root, "withdrawn", "b", 2)["granted"]
    assert before == read(root)


def test_broken(root: str) -> None:
    """Only the lease of exactly the run that was named is taken away; whatever that run still tries is refused."""
    ask(root, "taken", "a")
    assert not ask(root, "broken", "b")["granted"]
    assert "a" == read(root)["lease"]["run"]
    assert ask(root, "broken", "a")["granted"]
    assert not ask(root, "kept", "a")["granted"]
    with (
        pytest.raises(StateError, match=r"fenced: nobody holds .* \(fence 2, ours was 1\); nothing was changed"),
        fenced(root, 0, "switch", lease("a")),
    ):
        pytest.fail("was let in")


@pytest.mark.parametrize(
    ("outcome", "to", "kept"),
    [
        (None, "2", True),
        ("paused", "2", True),
        ("intervention_required", "2", True),
        ("refused", "2", True),
        ("paused", "3", False),
        ("upgraded", "2", False),
        ("unchanged", "2", False),
        ("rolled_back", "2", False),
    ],
)
def test_originals(root: str, outcome: str | None, to: str, *, kept: bool) -> None:
    """A run that goes on with one that did not end keeps what that one found at its beginning; any other begins anew."""
    ask(root, "taken", "a", upgrade=UPGRADE)
    with fenced(root, 0, "release_switch to 2", lease("a"), "2"):
        pass
    ask(root, "released", "a", outcome=outcome)
    now = {**UPGRADE, "to": to, "from": "1.5", "plan": "p2"}
    upgrade = ask(root, "taken", "b", 2, upgrade=now)["state"]["upgrade"]
    assert ("b", None, "") == (upgrade["run"], upgrade["outcome"], upgrade["reason"])
    assert (("1", "p1", 1) if kept else ("1.5", "p2", 0)) == (upgrade["from"], upgrade["plan"], len(upgrade["steps"]))


def test_waiting_for_a_holder_that_goes(root: str) -> None:
    """A run waits as long as it says for a holder that is about to give the node back, and no longer."""
    ask(root, "taken", "a")
    state = read(root)
    state["lease"]["expires"] = time.time() + 0.3
    write(root, state)
    assert not ask(root, "taken", "b", 2)["granted"]
    assert ask(root, "taken", "b", 2, wait_s=5.0)["granted"]


def test_a_change_under_a_lease(root: str) -> None:
    """A change renews the lease and is kept as a step, before it begins and after it, with how it ended."""
    ask(root, "taken", "a", upgrade=UPGRADE)
    expire(root)
    with fenced(root, 0, "release_switch to 2", lease("a"), "2"):
        assert [{"step": "switch", "version": "2", "ended": None, "ok": None}] == steps(root)
    with pytest.raises(ValueError, match="broke"), fenced(root, 0, "release_switch to 2", {**lease("a"), "step": ""}):
        raise ValueError("broke")
    assert [("switch", True), ("release_switch", False)] == [(step["step"], step["ok"]) for step in read(root)["upgrade"]["steps"]]
    assert read(root)["lease"]["expires"] > time.time() + 50


def steps(root: str) -> list[dict[str, Any]]:
    """The steps that are kept, without when they began."""
    return [{key: value for key, value in step.items() if key != "began"} for step in read(root)["upgrade"]["steps"]]


@pytest.mark.parametrize("own", [{}, lease("b"), lease("a", 2), lease("a", 0)])
def test_a_change_of_others(root: str, own: dict[str, Any]) -> None:
    """Without the run and the number of the lease nothing is changed, in two lines at most."""
    ask(root, "taken", "a", upgrade=UPGRADE)
    before = read(root)
    with pytest.raises(StateError, match="nothing was changed") as refused, fenced(root, 0, "switch", own):
        pytest.fail("was let in")
    assert len(str(refused.value).splitlines()) <= 2
    assert before == read(root)


def test_a_change_outside_of_an_upgrade(root: str) -> None:
    """Where nobody holds the node, or its lease has expired, a change needs no lease, and none is made for it."""
    with fenced(root, 0, "release_stage of 1", {}):
        pass
    assert {} == read(root)
    ask(root, "taken", "a")
    with fenced(root, 0, "looking", None):
        pass
    expire(root)
    with fenced(root, 0, "release_stage of 1", {}):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"fence": 1}', '{"fence": "1", "lease": null, "upgrade": null}'])
def test_unreadable_is_not_free(root: str, content: str) -> None:
    """A file that is torn or of another shape is never read as a node that nobody holds."""
    Path(root).mkdir()
    Path(path(root)).write_text(content)
    for act in (lambda: ask(root, "taken", "a"), lambda: fenced(root, 0, "switch", {}).__enter__()):
        with pytest.raises(StateError, match="nobody knows who holds the cluster"):
            act()
    assert content == Path(path(root)).read_text()


def test_written_whole(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses, the old state stays and no part of a new one is left; the error is one line."""
    ask(root, "taken", "a")
    before = Path(path(root)).read_text()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateError, match=r"state\.json could not be written: No space left on device"):
        ask(root, "kept", "a")
    assert [before, path(root)] == [Path(path(root)).read_text(), *map(str, Path(root).iterdir())]
    assert json.loads(before)["lease"]["run"] == "a"


def test_each_component_keeps_its_own_record(root: str) -> None:
    """The upgrade of another component begins a record of its own, and the one before stays beside it to be taken back."""
    ask(root, "taken", "r1", upgrade=UPGRADE)
    ask(root, "released", "r1", outcome="upgraded")
    ask(root, "taken", "r2", 2, upgrade={**UPGRADE, "to": "9", "component": "sidecar"})
    state = read(root)
    assert ("9", "2") == (state["upgrade"]["to"], state["others"][""]["to"])
    ask(root, "released", "r2", 2, outcome="paused")
    ask(root, "taken", "r3", 3, upgrade=UPGRADE)
    state = read(root)
    assert ("2", "paused") == (state["upgrade"]["to"], state["others"]["sidecar"]["outcome"])


def test_a_lease_that_is_withdrawn_leaves_every_record_as_it_was(root: str) -> None:
    """Of a run that did not get the cluster nothing stays, whichever component it was about."""
    ask(root, "taken", "r1", upgrade=UPGRADE)
    ask(root, "released", "r1", outcome="upgraded")
    before = read(root)
    ask(root, "taken", "r2", 2, upgrade={**UPGRADE, "to": "9", "component": "sidecar"})
    ask(root, "withdrawn", "r2", 2)
    assert before == read(root)


def test_a_change_after_an_upgrade_is_no_step_of_it(root: str) -> None:
    """Provisioning and the like hold the node, too; what they do is not kept as a step of the last upgrade."""
    assert ask(root, "taken", "up", upgrade=UPGRADE)["granted"]
    with fenced(root, 0, "switch", lease("up"), "2"):
        pass
    assert ask(root, "released", "up", outcome="paused", reason="")["granted"]
    before = read(root)["upgrade"]
    assert 1 == len(before["steps"])
    assert ask(root, "taken", "provision", fence=2)["granted"]
    with fenced(root, 0, "switch", lease("provision", 2), "2"):
        pass
    with pytest.raises(OSError, match="no"), fenced(root, 0, "switch", lease("provision", 2), "2"):
        raise OSError("no")
    assert before == read(root)["upgrade"]
