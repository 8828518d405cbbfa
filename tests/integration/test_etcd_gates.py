"""The gates of etcd on real clusters: each passes when all is well, and fires on the trouble that it is there for."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.integration.etcd_cluster import HEALTHY, ROLE, EtcdCluster

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.api import members_of
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.info import observe
from nodewise import pki
from nodewise.gates.context import context
from nodewise.gates.judgement import Judgement, judge
from nodewise.gates.vocabulary import builtin_gates, parse_gates
from nodewise.model import Observation
from nodewise.upgrade.declared import declaration

OLD, NEW = "3.4.23", "3.5.16"
NAMES = ["n1", "n2", "n3"]


def seen(cluster: EtcdCluster, **settled: Any) -> Observation:
    """What is observed, having waited for what is named."""
    return msgspec.convert(cluster.observe(**settled)["observation"], Observation)


def ask(gate: str, now: Observation, before: Observation | None = None, to: str = NEW, names: list[str] | None = None) -> Judgement:
    """One gate's answer."""
    defined = {**builtin_gates(), **parse_gates(declaration(ROLE).gates)}
    return judge(defined[gate], context(now, before or now, names or NAMES, to=to))


def passes(gate: str, now: Observation, before: Observation | None = None, to: str = NEW) -> None:
    """The gate is exactly true."""
    judgement = ask(gate, now, before, to)
    assert judgement.ok, str(judgement)


def fires(gate: str, *evidence: str, **asked: Any) -> None:
    """The gate is not true, and its evidence has these words."""
    judgement = ask(gate, **asked)
    assert not judgement.ok
    assert all(text in str(judgement) for text in evidence), str(judgement)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], EtcdCluster]]:
    """Starts healthy clusters with a key in them; they end with the test."""
    made: list[EtcdCluster] = []

    def start(version: str = OLD) -> EtcdCluster:
        folder = tmp_path / f"c{len(made)}"
        folder.mkdir()
        if made:  # one authority, so that the members of one cluster may be asked with the certificate of another
            shutil.copytree(made[0].folder / "pki", folder / "pki")
        made.append(EtcdCluster(folder, version))
        made[-1].start()
        made[-1].healthy()
        made[-1].ctl("put", "secret", "PLANTED-VALUE-A")
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.mark.parametrize("versions", [[OLD] * 3, [NEW] * 3, [NEW, OLD, OLD], [NEW, NEW, OLD]], ids=" ".join)
def test_fingerprints_equal(started: Callable[[str], EtcdCluster], versions: list[str]) -> None:
    """Idle and compacted at its head a healthy cluster passes, in every mix; one value that differs is found, who and where."""
    cluster = started(versions[2])
    for name, version in zip(NAMES, versions, strict=True):
        if version != cluster.versions[name]:
            cluster.restart(name, version)
            cluster.healthy()
    revision = seen(cluster, **HEALTHY).cluster.fingerprint_at
    cluster.ctl("compact", str(revision))
    healthy = seen(cluster, **HEALTHY)
    passes("fingerprints_equal", healthy)
    assert (revision, []) == (healthy.cluster.fingerprint_at, [error for one in healthy.members for error in one.errors])
    victim = next(name for name in NAMES if name != healthy.cluster.leader)
    cluster.alter(victim, "PLANTED-VALUE-A", "PLANTED-VALUE-B")
    now = seen(cluster, serving=True, leader=True)
    mine = next(one for one in now.members if one.name == victim)
    assert mine.fingerprint != healthy.cluster.fingerprint
    other = next(one for one in now.members if one.name != victim)
    evidence = (
        f'{{"name":"{victim}","fingerprint":"{mine.fingerprint}"',
        f'"at":{revision}',
        f"{other.name} has {other.fingerprint}",
    )
    fires("fingerprints_equal", *evidence, now=now)
    assert [f"fingerprint {mine.fingerprint} at revision {revision}"] == [error.split(",")[0] for error in mine.errors]


def test_learners_and_strangers(started: Callable[[str], EtcdCluster]) -> None:
    """A learner is no member to count on, and who is in the cluster and not in the inventory is named; so is the reverse."""
    cluster = started(OLD)
    healthy = seen(cluster, **HEALTHY)
    passes("no_learners", healthy)
    passes("members_expected", healthy)
    fires("members_expected", '"absent":["n4"]', now=healthy, names=[*NAMES, "n4"])
    time.sleep(5.5)  # etcd wants its members connected for 5 s before it takes another in
    cluster.ctl("member", "add", "n4", "--learner", "--peer-urls=https://127.0.0.1:9")
    now = seen(cluster)
    (stranger,) = {one.name for one in now.members} - set(NAMES)
    fires("no_learners", stranger, now=now)
    fires("members_expected", f'"unexpected":["{stranger}"]', now=now)


def test_a_host_of_the_inventory_that_is_no_member(started: Callable[[str], EtcdCluster]) -> None:
    """A host that the cluster does not list is absent, down or not; a member that is down is not."""
    cluster = started(OLD)
    with_n4 = {**cluster.options, "members": [*cluster.options["members"], {"name": "n4", "url": "https://127.0.0.1:9"}]}
    now = msgspec.convert(observe({**with_n4, "settled": {}})["observation"], Observation)
    fires("members_expected", '"absent":["n4"]', now=now, names=[*NAMES, "n4"])
    cluster.kill("n3")
    down = seen(cluster)
    passes("members_expected", down)
    fires("members_serving", "n3", now=down)


def test_a_member_of_another_cluster(started: Callable[[str], EtcdCluster]) -> None:
    """Where an address leads into another cluster, the members are not all of one."""
    cluster, other = started(OLD), started(OLD)
    healthy = seen(cluster, **HEALTHY)
    passes("one_cluster", healthy)
    fires("one_cluster", str(healthy.cluster.id), now=seen(other, **HEALTHY), before=healthy)
    cluster.urls["n3"] = other.urls["n3"]
    fires("one_cluster", "n3 says", now=seen(cluster), before=healthy)


def test_a_member_that_is_behind(started: Callable[[str], EtcdCluster]) -> None:
    """Cut off from its peers while others write, a member that still answers says how far it is behind."""
    cluster = started(OLD)
    if seen(cluster, **HEALTHY).cluster.leader == "n3":
        cluster.restart("n3", OLD)
    passes("caught_up", seen(cluster, **HEALTHY))
    pki.node(cluster.folder / "others", "others", "n3", ["127.0.0.1"])
    cluster.certify("n3", cluster.folder / "others")
    for name in ("n1", "n2"):  # their connections to n3 end, and it gets no new ones
        cluster.restart(name, OLD)
    until = time.monotonic() + 30
    while not all(one.serving for one in seen(cluster).members if one.name != "n3"):
        assert time.monotonic() < until
        time.sleep(0.1)
    write(cluster, 1100)
    now = seen(cluster)
    lag = next(one.lag for one in now.members if one.name == "n3")
    assert lag is not None
    assert 1100 <= lag
    fires("caught_up", f'{{"name":"n3","lag":{lag}}}', now=now)


def write(cluster: EtcdCluster, count: int) -> None:
    """Write that often, some at a time."""

    def some(part: int) -> None:
        one = members_of(cluster.options)[part % 2]
        one.version()
        for _ in range(count // 10):
            one.call("kv/put", {"key": "aw==", "value": "dg=="})
        one.close()

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(some, range(10)))


def test_the_version_that_the_cluster_acts_as(started: Callable[[str], EtcdCluster]) -> None:
    """Mixed it acts as the old version, and has not moved; with all on the new one it has, which is no plan to another version."""
    cluster = started(OLD)
    before = seen(cluster, **HEALTHY)
    for name in ("n1", "n2"):
        cluster.restart(name, NEW)
        mixed = seen(cluster, **HEALTHY)
        passes("cluster_version_as_planned", mixed, before)
        fires("cluster_moved", '"found":"3.4"', now=mixed, before=before)
    cluster.restart("n3", NEW)
    now = seen(cluster, **HEALTHY, cluster_version="3.5")
    passes("cluster_version_as_planned", now, before)
    passes("cluster_moved", now, before)
    # The same cluster, which in the middle of a way to 3.5.30 (or of one that stays on 3.4) would have moved too early.
    fires("cluster_version_as_planned", '"before":"3.4","now":"3.5"', now=now, before=before, to="3.5.30")
    fires("cluster_moved", '"expected":"3.4.99","found":"3.5"', now=now, before=before, to="3.4.99")
