"""An upgrade of a PostgreSQL cluster whose owner, and other programs on its nodes, have done things of their own."""

from __future__ import annotations

import shlex

import pytest

from tests.system.postgresql_cluster import NEW, OLD, Cluster, healthy

pytestmark = pytest.mark.slow  # an upgrade and a rollback

TAGS = "/etc/nodewise/postgresql/patroni.d/90-tags.yml"
THEIRS = "# of the rack\ntags:\n  zone: a   # the first one"
HOLD = "import fcntl, time; f = open('/var/lib/dpkg/lock-frontend', 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep({seconds})"


@pytest.fixture
def cluster(postgresql: Cluster) -> Cluster:
    """Three members on the old minor, without tags of their own."""
    postgresql.reset()
    return postgresql


def tag(cluster: Cluster, node: str, text: str) -> None:
    """Have a member's tags be what its owner writes, and wait until the primary sees it."""
    cluster.root(node, f"printf '%s\\n' {shlex.quote(text)} > {TAGS}; chown postgres {TAGS}; systemctl reload patroni; sleep 4")


def test_what_every_batch_needs_is_asked_first(cluster: Cluster) -> None:
    """Replicas that may not take over, and tags that cannot be read, are refused when planning, with nothing changed."""
    replicas = [name for name in cluster.names if name != cluster.leader()]
    for name in replicas:
        tag(cluster, name, "tags: {nofailover: true}")
    why = "; ".join(f"{name} has the tag nofailover" for name in replicas)
    said = f"{cluster.leader()} leads and no member may take over from it, which its upgrade needs: {why}"
    assert said in refused(cluster)
    cluster.root(replicas[0], f"rm {TAGS}; systemctl reload patroni")
    cluster.root(replicas[1], f"printf 'tags: {{nofailover: true' > {TAGS}")
    assert f"{replicas[1]}: settings: {TAGS} is not YAML: expected ',' or '}}'" in refused(cluster)
    cluster.root(replicas[1], f"rm {TAGS}; systemctl reload patroni; sleep 4")


def refused(cluster: Cluster) -> str:
    """Why an upgrade was refused, with nothing changed on any node."""
    before = cluster.look()
    ended = cluster.upgrade()
    assert "refused" == ended.outcome, ended.said
    assert before == cluster.look()
    return str(ended.summary["reason"])


def test_what_an_owner_wrote_is_read_and_what_others_hold_is_waited_for(cluster: Cluster) -> None:
    """Tags in YAML are to the letter what they were; who has dpkg's lock is named, and waited for before the replica is drained."""
    first = next(name for name in cluster.names if name != cluster.leader())
    tag(cluster, first, THEIRS)
    cluster.root(first, f"nohup python3 -c {shlex.quote(HOLD.format(seconds=75))} >/dev/null 2>&1 & sleep 1")
    ended = cluster.upgrade(nodewise_approve="")
    assert "upgraded" == ended.outcome, ended.said
    assert f"warning: {first}: /var/lib/dpkg/lock-frontend is held by python3 (pid " in ended.said
    assert "time       unknown, as no earlier run of" in ended.said
    waits = {one["node"]: one["duration_s"] for one in ended.journal("step", "end") if one["step"] == "wait"}
    assert set(cluster.names) == set(waits)
    assert waits[first] == max(waits.values())
    assert THEIRS == cluster.root(first, f"cat {TAGS}")
    assert {NEW} == cluster.versions()
    back = cluster.rollback()
    assert "rolled_back" == back.outcome, back.said
    assert "in the last run a batch took" in back.said
    assert {OLD} == cluster.versions()
    cluster.root(first, f"rm {TAGS}; systemctl reload patroni")
    healthy(cluster)
