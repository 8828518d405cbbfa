"""Patroni's REST API with client certificates, with a password, with both and without TLS: observed, drained and handed over."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.postgresql_cluster import HBA
from tests.integration.test_postgresql_gates import DECLARED, HEALTHY, ask, errors, fires, look
from tests.integration.test_postgresql_steps import Cluster as Steps
from tests.integration.test_postgresql_suite import Suite

from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.drain import drain, rejoin
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.handover import hand_over

pytestmark = pytest.mark.slow  # every Patroni restarts for each way

TLS = ("cafile", "certfile", "keyfile", "verify_client")


class Cluster(Steps):
    """Members whose REST API is set up as a test says; `given` replaces what modules are given."""

    given: dict[str, Any]

    @property
    def options(self) -> dict[str, Any]:
        """Parameters of the modules."""
        return {**super().options, **self.given}

    def own_file(self, name: str) -> Path:
        """Patroni's own configuration of a member."""
        return self.folder / f"{name}.yml" / "10-node.yml"

    def set_up(self, *without: str, given: dict[str, Any], **rest: Any) -> None:
        """Have every REST API lack some settings and have others, and modules be given something else."""
        for name in self.addresses:
            told = self.configuration(name, HBA)
            told["restapi"] = {key: value for key, value in told["restapi"].items() if key not in without} | rest
            self.own_file(name).write_text(json.dumps(told))
            self.signal(name, signal.SIGKILL)  # Patroni alone: PostgreSQL goes on
            self.processes[name].wait()
            self.run(name)
        self.given = given


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three members."""
    made = Cluster()
    made.given = {}
    try:
        made.start()
        yield made
    finally:
        made.stop()


def certificate(cluster: Cluster) -> None:
    """Everything takes a client certificate, and no password is asked for."""
    cluster.set_up("authentication", verify_client="required", given={"rest_auth": ""})


def both(cluster: Cluster) -> None:
    """A certificate, and for changes a password, which is read in Patroni's own file."""
    cluster.set_up(verify_client="required", given={"rest_auth": str(cluster.own_file("n1"))})


def password(cluster: Cluster) -> None:
    """TLS, and a password alone."""
    cluster.set_up("verify_client", given={"cert": None, "key": None})


def plain(cluster: Cluster) -> None:
    """No TLS, and a password."""
    members = [{**one, "rest": one["rest"].replace("https:", "http:")} for one in Steps.options.fget(cluster)["members"]]
    cluster.set_up(*TLS, given={"members": members})


@pytest.mark.parametrize("way", [certificate, both, password, plain], ids=lambda way: way.__name__)
def test_what_the_rest_api_asks_for(cluster: Cluster, way: Any) -> None:
    """All gates hold, a replica is drained and comes back, the role is handed over, and the suite agrees."""
    way(cluster)
    seen = look(cluster, HEALTHY)
    assert [] == [str(one) for gate in DECLARED.ready if not (one := ask(gate, seen)).ok]
    old, new = cluster.leader, cluster.others()[0]
    assert drain(cluster.on(new))["changed"]
    assert rejoin(cluster.on(new))["changed"]
    assert new == hand_over(cluster.on(old, candidate=new))["leader"]
    look(cluster, HEALTHY)
    if way is not plain:
        assert {} == {pair: why for pair, why in Suite(cluster).failed().items() if pair[1] == "60-patroni"}


def test_no_certificate(cluster: Cluster) -> None:
    """Where a certificate is asked for and none is shown nothing is known, and every member says why."""
    certificate(cluster)
    look(cluster, HEALTHY)
    cluster.given |= {"cert": None, "key": None}
    now = look(cluster)
    fires("members_serving", now=now)
    fires("rest_takes_changes", now=now)
    assert "a client certificate may be required" in errors(now, "n1")


def test_no_password(cluster: Cluster, tmp_path: Path) -> None:
    """Members that can be observed, and would take no change, are found before anything is changed. No secret is told."""
    cluster.set_up(given={"rest_auth": ""})
    now = look(cluster, HEALTHY)
    fires("rest_takes_changes", '"name":"n1"', "401", "nodewise_rest_auth", now=now)
    wrong = tmp_path / "rest"
    wrong.write_text(json.dumps({"username": "patroni", "password": "WRONG-SECRET"}))
    now = look(cluster, HEALTHY, rest_auth=str(wrong))
    fires("rest_takes_changes", "401", now=now)
    assert "WRONG-SECRET" not in str(now)
    assert [] == [str(one) for gate in DECLARED.ready if gate != "rest_takes_changes" and not (one := ask(gate, now)).ok]
