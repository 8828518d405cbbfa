"""A member of a real cluster that is down, or lost its data, comes back; what speaks against it is said, with nothing changed."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.etcd_cluster import EtcdCluster

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.ctl import EtcdError
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.recover import look, remains, replace

ONE = pytest.mark.parametrize("cluster", ["3.5.16"], indirect=True)  # what is refused here is refused before etcd is asked


@pytest.fixture(params=["3.4.23", "3.5.16"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EtcdCluster]:
    """A healthy cluster with a key in it."""
    made = EtcdCluster(tmp_path, request.param)
    made.start()
    try:
        made.healthy()
        made.ctl("put", "key", "value")
        yield made
    finally:
        made.stop()


def told(cluster: EtcdCluster, name: str = "n3", **options: Any) -> dict[str, Any]:
    """The modules' parameters."""
    own = {"member": name, "peer_url": cluster.peers["n3"], "data_dir": str(cluster.folder / name)}
    return {**cluster.options, **own, "timeout": 1.0, "deadline": 15.0, **options}


def lose(cluster: EtcdCluster, name: str = "n3") -> None:
    """Kill a member and remove its data."""
    cluster.kill(name)
    shutil.rmtree(cluster.folder / name)


def listed(cluster: EtcdCluster) -> list[str]:
    """The ids that the cluster lists."""
    return sorted(f"{row['ID']:x}" for row in json.loads(cluster.ctl("member", "list", "--write-out", "json"))["members"])


def refused(cluster: EtcdCluster, says: str, **options: Any) -> None:
    """Replacing says why not, and the cluster's members are what they were."""
    before = listed(cluster)
    with pytest.raises(EtcdError, match=says):
        replace(told(cluster, **options))
    assert before == listed(cluster)


def test_a_member_is_looked_at(cluster: EtcdCluster) -> None:
    """It serves, is down with its data, or has lost it."""
    assert {"state": "serving", "version": cluster.version} == look(told(cluster))
    cluster.kill("n3")
    assert "stopped" == look(told(cluster))["state"]
    shutil.rmtree(cluster.folder / "n3")
    assert "empty" == look(told(cluster))["state"]
    assert "empty" == look(told(cluster, cert="/nowhere/node.crt"))["state"]


def test_lost_data_is_replaced_from_the_others(cluster: EtcdCluster) -> None:
    """The old entry goes, a new one comes, and the member has all the data again; asked again in between nothing is done twice."""
    before = listed(cluster)
    lose(cluster)
    dry = replace(told(cluster), dry=True)
    assert (True, None) == (dry["changed"], dry["id"])
    assert before == listed(cluster)
    found = replace(told(cluster))
    assert found["removed"] in before
    assert sorted([*(set(before) - {found["removed"]}), found["id"]]) == listed(cluster)
    again = replace(told(cluster))
    assert (False, found["id"], None) == (again["changed"], again["id"], again["removed"])
    cluster.state = "existing"
    cluster.start("n3")
    cluster.healthy()
    assert "value" == cluster.ctl("get", "key", "--print-value-only", "--consistency=s", member="n3").strip()


def test_a_start_that_failed_does_not_stand_in_the_way(cluster: EtcdCluster) -> None:
    """The database that it left has no log: it is moved aside, as the cluster says that the member never started."""
    lose(cluster)
    replace(told(cluster))
    left = cluster.folder / "n3/member/snap/db"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"nothing")
    moved = replace(told(cluster))["moved"]
    assert b"nothing" == (Path(moved) / "member/snap/db").read_bytes()
    assert "nothing" == remains(str(cluster.folder / "n3"))
    cluster.state = "existing"
    cluster.start("n3")
    cluster.healthy()


@ONE
def test_what_speaks_against_replacing(cluster: EtcdCluster) -> None:
    """Data that is there, somebody who listens, a log elsewhere, others that are down: each is said, and nothing is changed."""
    refused(cluster, "holds the data of a member")
    refused(cluster, "somebody listens at https://127.0.0.1", data_dir="/nowhere")
    cluster.kill("n3")
    port = int(cluster.peers["n3"].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        refused(cluster, f"somebody listens at https://127.0.0.1:{port}", data_dir="/nowhere")
    shutil.rmtree(cluster.folder / "n3/member/wal")
    refused(cluster, "a database and no log of n3")
    shutil.rmtree(cluster.folder / "n3")
    members = cluster.options["members"]
    refused(cluster, "no others to be recovered from", members=[one for one in members if one["name"] == "n3"])
    as_n4 = [{**one, "name": one["name"].replace("3", "4")} for one in members]
    refused(cluster, "the cluster lists n3 at .* where n4 is to be", name="n4", members=as_n4)
    cluster.kill("n2")
    with pytest.raises(EtcdError, match="n2: connection refused; expected all the others to answer"):
        replace(told(cluster))


@ONE
def test_two_of_four_are_no_majority(cluster: EtcdCluster) -> None:
    """Those that are there have to be a majority of all, of those too that the inventory does not know."""
    time.sleep(5.5)  # etcd wants its members connected for 5 s before it takes another in
    cluster.ctl("member", "add", "n4", "--peer-urls=https://127.0.0.1:9")
    cluster.kill("n3", added=1)
    shutil.rmtree(cluster.folder / "n3")
    with pytest.raises(EtcdError, match="2 of 4 members are there without it, expected 3"):
        replace(told(cluster))


@ONE
def test_data_of_a_member_that_was_removed(cluster: EtcdCluster) -> None:
    """Its data cannot bring it back: that is said before anything is started."""
    identity = next(
        row["ID"] for row in json.loads(cluster.ctl("member", "list", "--write-out", "json"))["members"] if row["name"] == "n3"
    )
    cluster.kill("n3")
    cluster.ctl("member", "remove", f"{identity:x}")
    with pytest.raises(EtcdError, match=r"the cluster lists no n3 \(its members: n1, n2\)"):
        look(told(cluster))
