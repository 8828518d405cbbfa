# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A described service through its life on one testnet: the tests share it, go in order, and upgrade and remove it last."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.system.app_cluster import Greeter, Requests, example, haproxy, made


@pytest.fixture(scope="module")
def greeter(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Greeter]:  # noqa: ARG001  (in that home)
    """Three members of the example, as it is written."""
    variables = {**example(tmp_path_factory.mktemp("example")), "nodewise_http_url": "http://127.0.0.1:8080/greet/you"}
    with made(Greeter, tmp_path_factory.mktemp("runs"), variables) as three:
        yield three


def test_the_example_runs(greeter: Greeter) -> None:
    """Every member serves the version that was asked for, as its own user; provisioning again changes nothing."""
    assert {"1.0.0"} == greeter.versions()
    assert "Hello, you!" == greeter.get(greeter.names[0], 8080, "/greet/you")
    assert {"greeter"} == set(greeter.everywhere("ps -o user= -p $(systemctl show greeter -P MainPID)").values())
    before = greeter.look()
    assert 0 == greeter.play("provision").code
    assert before == greeter.look()


def test_status(greeter: Greeter) -> None:
    """It says what was seen."""
    ended = greeter.play("status")
    assert (0, True) == (ended.code, "is healthy: members_expected, members_serving" in ended.said)


@pytest.mark.slow
def test_a_wrong_description_is_refused(greeter: Greeter) -> None:
    """By its path, before anything is begun."""
    wrong = greeter.changed(ready={"htpp": {"port": 8080}})
    before, ended = greeter.look(), greeter.upgrade(nodewise_app=wrong)
    assert "nodewise_app.ready.htpp: there is no such field (did you mean http?)" in ended.said
    assert 0 != ended.code
    assert before == greeter.look()


@pytest.mark.slow
def test_a_secret_that_is_missing_is_refused(greeter: Greeter) -> None:
    """By the name of its variable, before anything is begun."""
    before, ended = greeter.look(), greeter.play("provision", nodewise_app=greeter.changed(secrets={"TOKEN": "vault_token"}))
    assert "nodewise_app.secrets names vault_token, which has no value on" in ended.said
    assert 0 != ended.code
    assert before == greeter.look()


@pytest.mark.slow
def test_a_release_that_the_configuration_is_not_for(greeter: Greeter) -> None:
    """It is refused before the first member is stopped, in the service's own words."""
    starts, ended = greeter.starts(), greeter.upgrade(nodewise_releases=greeter.offer(NEEDS="farewell"))
    assert ended.outcome in ("paused", "refused"), ended.said
    assert "farewell is missing" in ended.said
    assert starts == greeter.starts()
    assert {"1.0.0"} == greeter.versions()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"REFUSES": "it will not"}, "it will not"),
        ({"SAYS": "9.9.9"}, "runs 9.9.9, expected 1.1.0"),
        ({"ANSWERS": "500"}, "status 500, expected 200"),
    ],
    ids=["does not start", "lies about its version", "is healthy while requests fail"],
)
def test_a_bad_release_goes_back(change: dict[str, str], found: str, greeter: Greeter) -> None:
    """The first member is put back, no other is touched, and it is said what was found."""
    starts, ended = (
        greeter.starts(),
        greeter.upgrade(nodewise_releases=greeter.offer(**change), nodewise_suite="http", nodewise_deadline=30),
    )
    assert "rolled_back" == ended.outcome, ended.said
    assert found in ended.said
    assert "greeter, member" in (ended.folder / f"collected/{greeter.names[0]}.txt").read_text()
    assert {"1.0.0"} == greeter.versions()
    assert [name for name in greeter.names if starts[name] != greeter.starts()[name]] == greeter.names[:1]


BALANCER = haproxy("greeters", fall=2)


@pytest.fixture(scope="module")
def balanced(greeter: Greeter) -> list[str]:
    """HAProxy on the first two nodes, in front of all members; returns their addresses."""
    servers = "".join(f"  server {node.name} {node.address}:8080\n" for node in greeter.net.nodes)
    for name in greeter.names[:2]:
        greeter.root(name, "apt-get update -qq >&2; DEBIAN_FRONTEND=noninteractive apt-get install -yqq haproxy >&2")
        greeter.root(name, f"echo {base64.b64encode((BALANCER + servers).encode()).decode()} | base64 -d >/etc/haproxy/haproxy.cfg")
        greeter.root(name, "systemctl restart haproxy")
    return [node.address for node in greeter.net.nodes[:2]]


def told(addresses: list[str], send: str, says: str = "") -> list[dict[str, Any]]:
    """What each balancer is told or asked."""
    return [{"tcp": {"host": address, "port": 9999, "send": send}, "says": says} for address in addresses]


ASKED = """python3 -c 'import socket
line = socket.create_connection(("127.0.0.1", 9999))
line.sendall(b"show servers state greeters\\n")
print(line.makefile().read())'"""


def drain(addresses: list[str]) -> dict[str, Any]:
    """As docs/app.md has it, of both balancers."""
    return {
        "act": told(addresses, "set server greeters/{name} state drain"),
        "until": told(addresses, "show servers conn greeters", r"^greeters/{name} \S+ \S+ \S+ \S+ \S+ 0 "),
        "undo": told(addresses, "set server greeters/{name} state ready"),
        "back": told(addresses, "show servers state greeters", r" {name} \S+ 2 0 "),
        "deadline": 20,
    }


@pytest.mark.slow
def test_a_drain_that_never_ends(greeter: Greeter, balanced: list[str]) -> None:
    """After its deadline the member is brought back into service, and was never stopped; what was waited for is named."""
    endless = {**drain(balanced), "until": told(balanced, "show servers conn greeters", "never"), "deadline": 2}
    starts, ended = greeter.starts(), greeter.upgrade(nodewise_app=greeter.changed(drain=endless))
    assert "rolled_back" == ended.outcome, ended.said
    assert "drain: after 2 s it is still to come that" in ended.said
    assert starts == greeter.starts()
    assert "greeters" in greeter.root(greeter.names[0], ASKED)
    assert " 8 " not in greeter.root(greeter.names[0], ASKED)  # the state of a server that is drained


@pytest.mark.slow
@pytest.mark.parametrize("drained", [True, False], ids=["drained", "not drained"])
def test_requests_through_the_balancers(drained: bool, greeter: Greeter, balanced: list[str]) -> None:
    """None fails while members are changed, short ones and long ones; without the drain some do, as the balancers retry nothing."""
    first, second = balanced
    short = Requests([f"http://{address}/greet/x" for address in balanced])
    long = [Requests([f"http://{address}/greet/slowly"]) for address in (first, second, first)]
    with ExitStack() as stack:
        for asked in (short, *long):
            stack.enter_context(asked)
        ended = greeter.upgrade(nodewise_app=greeter.changed(**({"drain": drain(balanced)} if drained else {})))
    assert ("upgraded", {"1.1.0"}) == (ended.outcome, greeter.versions()), ended.said
    assert short.good > 200
    assert all(asked.good > 2 for asked in long)
    bad = [line for asked in (short, *long) for line in asked.bad]
    assert drained == (not bad), bad
    assert 0 == greeter.rollback().code


@pytest.mark.slow
def test_a_balancer_out_of_reach(greeter: Greeter) -> None:
    """It cannot say whom it can spare, so nothing is begun."""
    servers = {"tcp": {"host": greeter.net.nodes[0].address, "port": 9, "send": "x"}, "says": "x"}
    reason = greeter.refuse(nodewise_app=greeter.changed(balancer={"servers": servers}))
    assert "members_spared: the load balancer cannot spare a member, or could not be asked" in reason
    assert "connection refused" in reason


@pytest.mark.slow
def test_members_that_are_changed_together_go_back_together(greeter: Greeter) -> None:
    """The canary is good; of the two that follow at once one does not start, and neither stays on the new version."""
    bad = greeter.offer(REFUSES="it will not", ONLY=greeter.names[2])
    ended = greeter.upgrade(nodewise_releases=bad, nodewise_max_unavailable="2", nodewise_deadline=30)
    assert "rolled_back" == ended.outcome, ended.said
    assert ["1.1.0", "1.0.0", "1.0.0"] == [greeter.version(name) for name in greeter.names]
    assert 0 == greeter.rollback().code


@pytest.mark.slow
def test_members_that_are_changed_together(greeter: Greeter) -> None:
    """A canary alone, then the two others at once."""
    ended = greeter.upgrade(nodewise_max_unavailable="2")
    assert ("upgraded", {"1.1.0"}) == (ended.outcome, greeter.versions()), ended.said
    first, *others = greeter.names
    assert [[first], others] == [record["nodes"] for record in ended.journal("note", "end") if "batch" in record]
    assert 0 == greeter.rollback().code


@pytest.mark.slow
def test_fewer_are_spared_than_were_foreseen(greeter: Greeter) -> None:
    """Two at once may be changed, and the balancer spares one of two servers: the batch that it takes more is taken, too."""
    servers = {"http": {"host": greeter.net.nodes[2].address, "port": 8080, "path": "/greet/up-up"}, "says": "up"}
    described = greeter.changed(balancer={"servers": servers, "least": 1})
    ended = greeter.upgrade(nodewise_max_unavailable="2", nodewise_app=described)
    assert ("upgraded", {"1.1.0"}) == (ended.outcome, greeter.versions()), ended.said
    assert [[name] for name in greeter.names] == [record["nodes"] for record in ended.journal("note", "end") if "batch" in record]
    assert 0 == greeter.rollback().code


def test_an_upgrade_under_requests(greeter: Greeter) -> None:
    """One member at a time, each judged by what its process says; the others answer all the while."""
    others = [f"http://{greeter.net.node(name).address}:8080/greet/x" for name in greeter.names[1:]]
    with Requests(others[:1]) as asked:
        ended = greeter.upgrade(nodewise_soak=2)
    assert ("upgraded", 0) == (ended.outcome, ended.code), ended.said
    assert {"1.1.0"} == greeter.versions()
    assert asked.good > 50
    assert "not seen" not in ended.said
    assert [[name] for name in greeter.names] == [record["nodes"] for record in ended.journal("note", "end") if "batch" in record]


@pytest.mark.slow
def test_a_member_that_lost_everything_is_recovered(greeter: Greeter) -> None:
    """It is brought back first, with its unit, files and release, and then the others are changed."""
    lost = greeter.names[1]
    greeter.root(lost, "systemctl stop greeter; rm -rf /opt/nodewise/greeter /etc/nodewise /etc/systemd/system/greeter.service")
    assert "members_serving" in str(greeter.upgrade(to="1.1.0").summary["reason"])
    ended = greeter.upgrade(nodewise_recover=[lost])
    assert ("upgraded", {"1.1.0"}) == (ended.outcome, greeter.versions()), ended.said


def test_a_rollback(greeter: Greeter) -> None:
    """The cluster goes back to the version before."""
    assert greeter.upgrade(to="1.1.0").outcome in ("upgraded", "unchanged")
    ended = greeter.rollback()
    assert ("rolled_back", {"1.0.0"}) == (ended.outcome, greeter.versions()), ended.said


def test_a_wipe_leaves_nothing(greeter: Greeter) -> None:
    """No unit, data, configuration or release."""
    assert 0 == greeter.play("wipe", nodewise_confirm=greeter.net.name).code
    places = "/opt/nodewise/greeter /etc/nodewise/greeter /var/lib/nodewise/greeter /etc/systemd/system/greeter.service"
    assert {""} == set(greeter.everywhere(f"ls -d {places} 2>/dev/null; true").values())
