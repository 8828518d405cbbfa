# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role left on the nodes, as it should be."""

from __future__ import annotations

from testinfra.host import Host


def test_the_member_runs_now_and_at_boot(host: Host) -> None:
    """The unit is active and enabled."""
    unit = host.service("nats")
    assert unit.is_running
    assert unit.is_enabled


def test_the_process_is_unprivileged(host: Host) -> None:
    """It runs as its own user, without capabilities, and cannot gain any."""
    process = host.process.get(comm="nats-server")
    status = host.file(f"/proc/{process.pid}/status").content_string
    assert process.user == "nats"
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


def test_the_process_runs_from_the_release_that_is_linked(host: Host) -> None:
    """What runs is what the link says: the program of a wheel."""
    process = host.process.get(comm="nats-server")
    assert host.file("/opt/nodewise/nats/current").linked_to == "/opt/nodewise/nats/releases/2.10.25"
    assert host.check_output(f"readlink /proc/{process.pid}/exe") == "/opt/nodewise/nats/releases/2.10.25/files/bin/nats-server"


def test_the_unit_is_sandboxed(host: Host) -> None:
    """By its own figures systemd calls the unit's exposure low: below 2 of 10."""
    line = host.check_output("systemd-analyze security nats --no-pager | tail -1")
    assert float(line.split(":")[1].split()[0]) < 2.0
