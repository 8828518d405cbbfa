"""Bad days of a service of one's own, on one cluster under load: values in PostgreSQL, two balancers. The tests go in order."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.bad_days import Day, bad_day, fault
from tests.simulation.balanced import Balanced, balanced, drain_nginx, nginx
from tests.system.app_cluster import Requests
from tests.system.cluster import until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balanced]:  # noqa: ARG001  (in that home)
    """Three members that survive what is done to them; with one value that there always is."""
    with balanced(tmp_path_factory.mktemp("releases"), tmp_path_factory.mktemp("runs")) as three:
        put(f"http://{three.net.nodes[0].address}:8080/values/before")
        yield three


def troubled(cluster: Balanced, name: str) -> AbstractContextManager[Day]:
    """A bad day with as many values as can be read back one by one."""
    return bad_day(cluster, name, rate=20)


def put(url: str) -> None:
    """Have a value."""
    urllib.request.urlopen(urllib.request.Request(url, b"value", method="PUT"), timeout=10).close()  # noqa: S310  (http)


@contextmanager
def asked(balancers: list[str], port: int) -> Iterator[list[Requests]]:
    """Clients of the balancers: of short requests, which need the database, and of long ones."""
    urls = [f"http://{address}:{port}" for address in balancers]
    clients = [Requests([f"{url}/values/before" for url in urls]), *(Requests([f"{url}/slowly"]) for url in [*urls, urls[0]])]
    with ExitStack() as stack:
        for one in clients:
            stack.enter_context(one)
        yield clients


@pytest.mark.parametrize(
    ("day_is", "change", "found"),
    [
        ("health is good while requests fail", {"ANSWERS": "500"}, "status 500, expected 200"),
        ("version endpoint lies", {"SAYS": "9.9.9"}, "runs 9.9.9, expected 1.1.0"),
    ],
    ids=["requests fail", "version lies"],
)
def test_a_release_that_says_it_is_well(cluster: Balanced, day_is: str, change: dict[str, str], found: str) -> None:
    """The first member goes back, by what it was asked and not by its health; nobody else was touched."""
    with troubled(cluster, day_is) as day:
        ended = day.upgrade("rolled_back", nodewise_releases=cluster.offer(**change), nodewise_deadline=20, nodewise_suite="http")
        assert found in ended.said
        day.restarted = {cluster.names[0]: 2}
    assert {"1.0.0"} == cluster.versions()
    assert set(cluster.servers().values()) == {"2 0"}


def test_a_drain_that_never_ends(cluster: Balanced) -> None:
    """A client holds on to its connection: after the deadline the member is back in service, never stopped, and that is named."""
    drain = {**cluster.changed()["drain"], "deadline": 3}
    with troubled(cluster, "a drain that never ends") as day, holding(cluster):
        ended = day.upgrade("rolled_back", nodewise_app=cluster.changed(drain=drain))
        assert "drain: after 3 s it is still to come that" in ended.said
        assert f"values/{cluster.names[0]}" in ended.said
    assert set(cluster.servers().values()) == {"2 0"}


@contextmanager
def holding(cluster: Balanced) -> Iterator[None]:
    """Clients that always have a request open at every member."""
    with ExitStack() as stack:
        for _number in range(15):
            stack.enter_context(Requests([f"http://{cluster.balancers[0]}/very-slowly"]))
        yield


def test_settings_that_are_nonsense(cluster: Balanced) -> None:
    """The service refuses them before its first member is stopped, and the former ones are back."""
    files = cluster.everywhere("sha256sum /etc/nodewise/values/*")
    with troubled(cluster, "a configuration template renders nonsense") as day:
        began = time.monotonic()
        nonsense = cluster.with_settings("{{ '{' }}\"port\": {{ none }}")
        ended = day.ended(cluster.play("configure", nodewise_app=nonsense), "refused", "rolled_back", began=began)
        assert "JSONDecodeError" in ended.said
    assert files == cluster.everywhere("sha256sum /etc/nodewise/values/*")


def test_a_secret_that_is_missing(cluster: Balanced) -> None:
    """It is named, by an upgrade and by a change of settings, and nothing is begun."""
    app = cluster.changed(secrets={"PGPASSWORD": "vault_values", "TOKEN": "vault_token"})
    with troubled(cluster, "a secret is missing") as day:
        before, began = cluster.look(), time.monotonic()
        for playbook in ("upgrade", "configure"):
            ended = cluster.play(playbook, nodewise_app=app, nodewise_to=cluster.new)
            assert "nodewise_app.secrets names vault_token, which has no value on" in ended.said
            assert 0 != ended.code
        day.outcomes.append("refused")
        day.seconds = time.monotonic() - began
        assert before == cluster.look()


DOMAINS: dict[str, Any] = {"nodewise_failure_domain": "{{ 'a' if inventory_hostname.endswith('n1') else 'b' }}"}


def test_two_members_of_a_failure_domain_are_down(cluster: Balanced) -> None:
    """Both are named, and the last one that serves is not touched."""
    first, *down = cluster.names
    with troubled(cluster, "two members of a failure domain down") as day:
        with ExitStack() as stack:
            for node in down:
                stack.enter_context(fault(cluster, "stop", target=node))
            reason = day.refused("members_serving", *down, **DOMAINS)
            assert f'"name":"{first}"' not in reason
        until(lambda: set(cluster.servers().values()) == {"2 0"})
        day.restarted = dict.fromkeys(down, 1)  # by this test


def test_a_balancer_that_is_out_of_reach(cluster: Balanced) -> None:
    """Whom it can spare is not known, so nothing is begun."""
    first = cluster.names[0]
    with troubled(cluster, "the load balancer out of reach") as day:
        cluster.root(first, "systemctl stop haproxy")
        reason = day.refused("members_spared")
        assert "connection refused" in reason
        cluster.root(first, "systemctl start haproxy")
        until(lambda: set(cluster.servers().values()) == {"2 0"})


HALFWAY = "/var/lib/nodewise/values/allowed"


def test_a_bootstrap_that_ran_halfway(cluster: Balanced) -> None:
    """What was not done is named; run again it is done, and then it is not done any more."""
    first = cluster.names[0]
    once = {
        "act": [
            {"http": {"port": 8080, "method": "PUT", "path": "/values/one", "body": "first"}},
            {"command": f"/usr/bin/test -e {HALFWAY}"},
            {"http": {"port": 8080, "method": "PUT", "path": "/values/two", "body": "second"}},
        ],
        "until": [{"http": {"port": 8080, "path": "/values/two"}, "says": "second"}],
        "deadline": 3,
    }
    app = cluster.changed(bootstrap=once)
    with troubled(cluster, "a bootstrap that ran halfway") as day:
        ended = cluster.play("provision", nodewise_app=app)
        assert 0 != ended.code
        assert "bootstrap: act 2 of 3 failed" in ended.said
        assert "first" == cluster.get(first, 8080, "/values/one")
        cluster.root(first, f"touch {HALFWAY}")
        ended = cluster.play("provision", nodewise_app=app)
        assert 0 == ended.code, ended.said
        assert "second" == cluster.get(first, 8080, "/values/two")
        cluster.root(first, f"rm {HALFWAY}")
        assert 0 == cluster.play("provision", nodewise_app=app).code
        day.outcomes += ["failed", "provisioned"]


def reads(cluster: Balanced) -> bool:
    """Whether every member has its database."""
    try:
        return all(cluster.get(name, 8080, "/values/before") for name in cluster.names)
    except OSError:
        return False


BOOT = "cut -d' ' -f22 /proc/1/stat"


def test_restarted_configured_and_rebooted(cluster: Balanced) -> None:
    """Each member once, drained before: new processes and a new setting under load, in which no request fails, and new boots."""
    boots = cluster.everywhere(BOOT)
    with troubled(cluster, "none: restarted, configured and rebooted") as day:
        with asked(cluster.balancers, 80) as clients:
            day.ended(cluster.play("restart"), "changed", began=time.monotonic())
            app = cluster.with_settings('{"port": 8080, "said": "more"}')
            day.ended(cluster.play("configure", nodewise_app=app), "changed", began=time.monotonic())
        assert [] == [line for client in clients for line in client.bad]
        assert {'{"port": 8080, "said": "more"}'} == set(cluster.everywhere("cat /etc/nodewise/values/values.json").values())
        day.restarted = dict.fromkeys(cluster.names, 2)
        assert day.restarted == day.restarts()
    ended = cluster.play("reboot", nodewise_patch="true", nodewise_app=app)
    assert "changed" == ended.outcome, ended.said
    assert not {name for name, boot in cluster.everywhere(BOOT).items() if boot == boots[name]}
    cluster.everywhere(f"echo {cluster.net.nodes[0].address} database >>/etc/hosts")  # which the node of a testnet forgets
    until(lambda: reads(cluster))


def test_requests_through_nginx(cluster: Balanced) -> None:
    """The same with nginx, which has no way to be told: a member that is drained sends its requests on to the next one."""
    address = nginx(cluster)
    app = cluster.changed(drain=drain_nginx(address), balancer=None)
    with troubled(cluster, "none: upgraded and back, through nginx") as day:
        with asked([address], 81) as clients:
            day.upgrade("upgraded", nodewise_app=app)
            day.ended(cluster.rollback(nodewise_app=app), "rolled_back", began=time.monotonic())
        day.restarted = dict.fromkeys(cluster.names, 2)
    assert all(client.good > 2 for client in clients)
    assert [] == [line for client in clients for line in client.bad]


def test_requests_through_the_balancers(cluster: Balanced) -> None:
    """No request fails while members are upgraded; on the way back, without the drain, some do, and the test finds them."""
    with troubled(cluster, "none: upgraded through balancers; a drain that is skipped on the way back") as day:
        with asked(cluster.balancers, 80) as clients:
            day.upgrade("upgraded")
        assert {"1.1.0"} == cluster.versions()
        assert all(client.good > 2 for client in clients)
        assert [] == [line for client in clients for line in client.bad]
        with asked(cluster.balancers, 80) as clients:
            ended = cluster.rollback(nodewise_app=cluster.changed(drain=None, balancer=None))
        day.ended(ended, "rolled_back", began=time.monotonic())
        assert [line for client in clients for line in client.bad]
        day.restarted = dict.fromkeys(cluster.names, 2)
    assert {"1.0.0"} == cluster.versions()


# The last one: a process that systemd started again by itself while the former file was written is refused by the next upgrade.
def test_settings_with_which_it_does_not_start(cluster: Balanced) -> None:
    """What no check finds is found when the first member does not start: it is put back, and nobody else was touched."""
    files = cluster.everywhere("sha256sum /etc/nodewise/values/*")
    with troubled(cluster, "a setting with which it does not start") as day:
        began = time.monotonic()
        wrong = cluster.with_settings('{"port": 80}')  # it may not
        ended = day.ended(cluster.play("configure", nodewise_app=wrong), "rolled_back", began=began)
        assert "Permission denied" in ended.said
        day.restarted = day.restarts()
        assert {cluster.names[0]} == set(day.restarted)
    assert files == cluster.everywhere("sha256sum /etc/nodewise/values/*")
