"""A controller that dies wherever it may, and more of them than one. The tests share a cluster that is put back between them."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.simulation.bad_days import ROWS, Row, bad_day
from tests.simulation.killing import clones, kinds_of, serves, to_the_end
from tests.system.cluster import Cluster, in_a_switch

# The holder was on a machine that is not this one, and its lease is about to end.
ELSEWHERE = """cd /opt/nodewise/{system}; python3 -c '
import json, time
state = json.load(open("state.json"))
state["lease"]["controller"]["boot"] = "another"
state["lease"]["expires"] = time.time() + 20
json.dump(state, open("state.json", "w"))'"""


@pytest.fixture(scope="module", params=["etcd", pytest.param("postgresql", marks=pytest.mark.slow)])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Three members that are taken from the old version to the new one again and again."""
    shared: Cluster = request.getfixturevalue(request.param)
    return shared.reset()


@pytest.mark.slow
def test_killed_after_each_kind_of_entry(cluster: Cluster, tmp_path: Path) -> None:
    """Wherever it dies, the same command goes on, from the same checkout or another: no member is ever started twice.

    Killed when all is done but the last word, it finds that nothing is left to do: unchanged.
    """
    with bad_day(cluster, "none: an upgrade") as day:
        good = day.upgrade("upgraded")
        day.restarted = dict.fromkeys(cluster.names, 1)
    left = kinds_of(good)
    kinds, first, controllers = len(left), len(ROWS), clones(tmp_path)
    while left:
        before = len(left)
        one = not any("mixed_version_check" in kind for kind in left)  # what happens in the last batch, too, needs no other
        cluster.anew(new=2 if one else 0)
        with bad_day(cluster, "controller killed") as day:
            began = time.monotonic()
            day.ended(to_the_end(day, left, controllers), "upgraded", "unchanged", began=began)
            day.restarted = dict.fromkeys(cluster.names[2 if one else 0 :], 1)
        assert {cluster.new} == cluster.versions()
        assert len(left) < before, f"never written again: {left}"
    rows = ROWS[first:]
    name = f"controller killed at each of {kinds} kinds of entry"
    outcomes = " or ".join(sorted({row.outcome for row in rows}))
    ROWS[first:] = [Row(name, outcomes, sum(row.seconds for row in rows), rows[0].restarted, sum(row.lost for row in rows))]


def test_killed_in_the_middle_of_a_switch(cluster: Cluster) -> None:
    """It has judged nothing, and the node serves again by itself. The same command finishes it, and no member is started twice."""
    cluster.anew()
    with bad_day(cluster, "controller killed in a switch") as day:
        began, running = time.monotonic(), cluster.start()
        record = running.until(in_a_switch)
        assert record
        running.kill()
        assert not (running.folder / "summary.json").exists()
        serves(cluster, record["node"])
        day.ended(cluster.upgrade(), "upgraded", began=began)
        day.restarted = dict.fromkeys(cluster.names, 1)
    assert {cluster.new} == cluster.versions()


@pytest.mark.slow
def test_ctrl_c_in_a_switch(cluster: Cluster) -> None:
    """The run says in the middle of what it ended; the node serves again by itself, and the same command finishes it."""
    cluster.anew()
    with bad_day(cluster, "Ctrl-C in a switch") as day:
        began, running = time.monotonic(), cluster.start()
        record = running.until(in_a_switch)
        assert record
        running.process.send_signal(signal.SIGINT)
        ended = running.ended()
        assert ended.code in (99, 250)  # Ansible's own; 250 where it stumbles over a worker that has just ended
        day.outcomes.append(ended.outcome)
        assert ("interrupted", "interrupted") == (ended.outcome, ended.summary["reason_code"])
        assert f"in the middle of switch of {record['node']}, whose end was not seen" in str(ended.summary["reason"])
        assert "next      to look: ansible-playbook" in ended.said
        serves(cluster, record["node"])
        day.ended(cluster.upgrade(), "upgraded", began=began)
        day.restarted = dict.fromkeys(cluster.names, 1)
    assert {cluster.new} == cluster.versions()


@pytest.mark.slow
def test_killed_while_it_takes_the_lease(cluster: Cluster) -> None:
    """Workers outlive a controller that was killed and end their task: what they took is the controller's, and as dead as it is."""
    cluster.anew()
    with bad_day(cluster, "controller killed while it takes the lease") as day:
        began, running = time.monotonic(), cluster.start()
        assert running.until(lambda record: record.get("step") == "plan" and record["phase"] == "end")
        running.kill()
        time.sleep(5)
        day.ended(cluster.upgrade(), "upgraded", began=began)
        day.restarted = dict.fromkeys(cluster.names, 1)


@pytest.mark.slow
def test_two_operators_at_once(cluster: Cluster, tmp_path: Path) -> None:
    """Of two that begin at the same moment from two checkouts one upgrades the cluster; the other is told who does."""
    cluster.anew()
    controllers = clones(tmp_path)
    with bad_day(cluster, "two operators at once") as day:
        began = time.monotonic()
        both = [cluster.start(controller=next(controllers)) for _ in range(2)]
        first, second = sorted((running.ended() for running in both), key=lambda ended: ended.outcome)
        day.ended(second, "upgraded", began=began)
        day.ended(first, "refused", began=time.monotonic())
        assert second.folder.name in first.summary["reason"], first.said
        day.restarted = dict.fromkeys(cluster.names, 1)
    assert {cluster.new} == cluster.versions()


@pytest.mark.slow
def test_a_dead_holder(cluster: Cluster) -> None:
    """Of a run on another machine nobody knows whether it is dead: it is named with its expiry, and waited for."""
    cluster.anew()
    with bad_day(cluster, "holder of the lock dead") as day:
        running = cluster.start()
        record = running.until(in_a_switch)
        assert record
        running.kill()
        serves(cluster, record["node"])
        cluster.everywhere(ELSEWHERE.format(system=cluster.system))
        reason = str(day.upgrade("refused").summary["reason"])
        state = json.loads(cluster.root(cluster.names[0], f"cat /opt/nodewise/{cluster.system}/state.json"))
        until = time.strftime("%H:%M:%S", time.gmtime(state["lease"]["expires"]))
        assert [] == [word for word in (running.folder.name, until) if word not in reason], reason
        time.sleep(max(0.0, state["lease"]["expires"] - time.time()) + 1)
        day.upgrade("upgraded")
        day.restarted = dict.fromkeys(cluster.names, 1)
    assert {cluster.new} == cluster.versions()
