"""What an operator has to say yes to: a plan, and its point of no return. The tests share a cluster and go in order."""

from __future__ import annotations

import time

import pytest
import yaml

from tests.simulation.bad_days import Day, bad_day
from tests.system.etcd_cluster import NEW, OLD, Cluster

pytestmark = pytest.mark.slow
SWITCH = "ln -sfn releases/{} /opt/nodewise/etcd/current && systemctl restart etcd"


@pytest.fixture(scope="module")
def cluster(etcd: Cluster) -> Cluster:
    """Three members that are upgraded last."""
    return etcd.reset()


def planned(day: Day) -> str:
    """The hash of the plan of now, from --check."""
    ended = day.cluster.upgrade("--check")
    assert "planned" == ended.outcome, ended.said
    return str(yaml.safe_load((ended.folder / "plan.yaml").read_text())["hash"])


def test_no_terminal_and_no_approval(cluster: Cluster) -> None:
    """Before its last member a run without an approval pauses, with both ways named; the way back takes all members back."""
    last = cluster.leader()
    others = [name for name in cluster.names if name != last]
    with bad_day(cluster, "no terminal, no approval; then rollback.yml") as day:
        ended = day.upgrade("paused", nodewise_approve="")
        assert "nobody approved it" in ended.said
        assert f"playbooks/rollback.yml -e nodewise_cluster={cluster.net.name}" in ended.said
        assert [OLD, NEW, NEW] == [cluster.version(name) for name in (last, *others)]
        assert "3.4" == cluster.acts_as(last)
        began = time.monotonic()
        day.ended(cluster.play("rollback"), "rolled_back", began=began)
        day.restarted = dict.fromkeys(others, 2)
    assert {OLD} == cluster.versions()


def test_a_plan_that_was_approved_before_something_changed(cluster: Cluster) -> None:
    """A member that somebody took to another version since is drift, and is named."""
    node = next(name for name in cluster.names if name != cluster.leader())
    with bad_day(cluster, "plan approved, cluster changed since") as day:
        plan = planned(day)
        cluster.root(node, SWITCH.format(NEW))
        day.refused(f"the cluster is not what plan {plan} was made for", node, NEW, nodewise_plan=plan)
        cluster.root(node, SWITCH.format(OLD))
        day.before[node] += 2  # by this test
    assert {OLD} == cluster.versions()


def test_a_plan_that_was_approved(cluster: Cluster) -> None:
    """The hash is the approval: of that plan, and of its point of no return."""
    with bad_day(cluster, "the approval is the plan's hash") as day:
        plan = planned(day)
        day.upgrade("upgraded", nodewise_plan=plan, nodewise_approve=plan)
        day.restarted = dict.fromkeys(cluster.names, 1)
    assert {NEW} == cluster.versions()


def test_again_when_it_is_done(cluster: Cluster) -> None:
    """Everything runs the target: unchanged, with --check too, and no process is restarted."""
    before = cluster.look()
    with bad_day(cluster, "run again when done") as day:
        for words in ([], ["--check"]):
            day.upgrade("unchanged", words=words)
    assert before == cluster.look()
