"""What holds for a whole cluster is made once, by its leader, on real Patroni daemons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.patroni_cluster import PatroniCluster

from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import PostgresqlError
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.setup import setup


@pytest.fixture(scope="module")
def cluster() -> Iterator[PatroniCluster]:
    """Two members."""
    made = PatroniCluster(("n1", "n2"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


def asked(cluster: PatroniCluster, member: str, word: str = "a word", **more: Any) -> dict[str, Any]:
    """Ask a member for a role and database of another name, and for a setting."""
    own = {"member": member, "user": "second", "database": "second", "socket_dir": str(cluster.folder / member), "deadline": 10.0}
    settings = {"ttl": 31, "postgresql": {"parameters": {"wal_keep_size": 0, "max_connections": 77}}}
    return setup({**cluster.options, **own, "settings": settings, "passwords": {"second": word}, "reload": True, **more})


def test_the_leader_makes_what_is_missing_and_once(cluster: PatroniCluster) -> None:
    """Another member changes nothing, and when all is there the leader changes nothing either; a new password is taken over."""
    assert asked(cluster, "n2") == {"changed": False, "leader": "n1", "changes": []}
    made = asked(cluster, "n1")["changes"]
    assert "settings postgresql.parameters.max_connections, ttl" == made[0]
    assert {"role second", "database second", "table nodewise.sentinel", "function nodewise.timeline_history"} <= set(made)
    assert asked(cluster, "n1") == {"changed": False, "leader": "n1", "changes": []}
    assert ["role second"] == asked(cluster, "n1", word="another")["changes"]


def test_what_was_made_can_be_used(cluster: PatroniCluster) -> None:
    """The role connects with its password alone, over TLS, and writes; settings that were not named are as they were."""
    asked(cluster, "n1", word="a:word")
    passfile = cluster.folder / "second"
    passfile.write_text("*:*:*:second:a\\:word\n")
    passfile.chmod(0o600)
    access = cluster.access
    access.user, access.database, access.passfile = "second", "second", str(passfile)
    leader = access.member("n1")
    access.sql(leader, "insert into nodewise.sentinel (run) values ('r')")
    assert 1 == access.sql(leader, "select to_json(count(*)) from nodewise.sentinel")
    kept = access.rest(leader, "GET", "/config")[1]
    assert (31, 1) == (kept["ttl"], kept["loop_wait"])
    passfile.write_text("*:*:*:second:another\n")
    with pytest.raises(PostgresqlError, match="password authentication failed"):
        access.sql(leader, "select to_json(1)")


def test_without_a_leader_it_says_so(cluster: PatroniCluster) -> None:
    """A Patroni that does not answer is named, with what to look at; what would be changed is said without waiting."""
    nowhere = [{**one, "rest": "https://127.0.0.1:9"} for one in cluster.options["members"]]
    with pytest.raises(PostgresqlError, match=r"Patroni of n1 knows no leader after 0 s .*journalctl"):
        asked(cluster, "n1", members=nowhere, deadline=0.3)
