"""What the role left on the nodes, as it should be."""

from __future__ import annotations

from testinfra.host import Host

CONFIG = "/etc/nodewise/etcd"


def test_the_member_runs_now_and_at_boot(host: Host) -> None:
    """The unit is active and enabled."""
    unit = host.service("etcd")
    assert unit.is_running
    assert unit.is_enabled


def test_the_process_is_unprivileged(host: Host) -> None:
    """It runs as its own user, without capabilities, and cannot gain any."""
    process = host.process.get(comm="etcd")
    status = host.file(f"/proc/{process.pid}/status").content_string
    assert process.user == "etcd"
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


def test_the_process_runs_from_the_release_that_is_linked(host: Host) -> None:
    """What runs is what the link says."""
    process = host.process.get(comm="etcd")
    assert host.file("/opt/nodewise/etcd/current").linked_to == "/opt/nodewise/etcd/releases/3.4.23"
    assert host.check_output(f"readlink /proc/{process.pid}/exe").startswith("/opt/nodewise/etcd/releases/3.4.23/")


def test_the_key_is_the_members_alone(host: Host) -> None:
    """Nobody else reads the private key or the data."""
    assert (0o600, "etcd") == (host.file(f"{CONFIG}/node.key").mode, host.file(f"{CONFIG}/node.key").user)
    assert (0o700, "etcd") == (host.file("/var/lib/nodewise/etcd").mode, host.file("/var/lib/nodewise/etcd").user)


def test_clients_without_a_certificate_are_refused(host: Host) -> None:
    """The member listens, and speaks only to those that its authority knows."""
    assert host.socket("tcp://0.0.0.0:2379").is_listening or host.socket("tcp://:::2379").is_listening
    etcdctl = "ETCDCTL_API=3 /opt/nodewise/etcd/current/bin/etcdctl --endpoints https://127.0.0.1:2379 --command-timeout 2s"
    own = f"--cacert {CONFIG}/ca.crt --cert {CONFIG}/node.crt --key {CONFIG}/node.key"
    assert host.run(f"{etcdctl} --cacert {CONFIG}/ca.crt get nodewise").failed
    assert host.run(f"{etcdctl} {own} get nodewise").succeeded


def test_the_unit_is_sandboxed(host: Host) -> None:
    """By its own figures systemd calls the unit's exposure low: below 2 of 10."""
    line = host.check_output("systemd-analyze security etcd --no-pager | tail -1")
    assert float(line.split(":")[1].split()[0]) < 2.0
