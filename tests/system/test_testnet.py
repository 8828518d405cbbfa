"""Testnets, made and removed for real: by podman, on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nodewise.errors import SetupError
from nodewise.testnet import lifecycle, provision, ssh
from nodewise.testnet import state as known
from nodewise.testnet.home import checkout
from nodewise.testnet.podman import Podman
from nodewise.testnet.request import Request
from nodewise.testnet.state import load
from tests.conftest import COMMAND, Run

from . import traces

ETCDCTL = (
    "sudo /opt/nodewise/etcd/current/bin/etcdctl --cacert /etc/nodewise/etcd/ca.crt --cert /etc/nodewise/etcd/node.crt"
    " --key /etc/nodewise/etcd/node.key --endpoints https://$(hostname -i | cut -d ' ' -f 1):2379"
)
BIN = Path(sys.executable).parent
NewName = Callable[[], str]


def _nothing_left(name: str, home: Path, had: traces.Had = traces.NOTHING) -> None:
    assert traces.Traces() == traces.of(name, home, had)


def test_nodes_run_systemd_and_find_their_peers_by_name(cli: Run, pair: known.Testnet) -> None:
    """Each node is a whole machine of its inventory name, which its peers resolve and reach."""
    first, second = (node.name for node in pair.nodes)
    assert "running\n" == cli("exec", first, "--", "systemctl", "is-system-running", "--wait").stdout
    assert f"{second}\n" == cli("exec", second, "--", "hostname").stdout
    assert 0 == cli("exec", first, "--", "ping", "-c", "1", "-W", "2", second).returncode


def test_exec_ends_with_the_exit_code_of_the_command(cli: Run, pair: known.Testnet) -> None:
    """Of the command, also behind a short name of a node; words arrive as they were given."""
    assert 7 == cli("exec", "--name", pair.name, "n2", "--", "sh", "-c", "exit 7").returncode
    assert "a  b\n" == cli("exec", pair.nodes[0].name, "--", "echo", "a  b").stdout


def test_nodes_reach_the_outside(pair: known.Testnet) -> None:
    """They get at the mirror that this machine uses, whose name they resolve as this machine does."""
    targets = traces.output("apt-get", "indextargets", "--format", "$(ORIGIN) $(SITE)").splitlines()
    mirror = next(line.split()[1] for line in targets if line.startswith("Debian "))
    program = f"import urllib.request as r; print(r.urlopen('{mirror}/dists/bookworm/InRelease', timeout=20).status)"
    assert "200\n" == pair.run("n1", f'python3 -c "{program}"').stdout


def test_a_node_with_another_host_key_is_refused(pair: known.Testnet) -> None:
    """Host key checking is on: a key that the controller did not make is not trusted."""
    pinned = pair.known_hosts.read_text()
    keys = [line.split(maxsplit=1) for line in pinned.splitlines()]
    swapped = [f"{names} {key}\n" for (names, _), (_, key) in zip(keys, reversed(keys), strict=True)]
    ssh.close(pair.name)
    try:
        pair.known_hosts.write_text("".join(swapped))
        done = pair.run("n1", "true")
    finally:
        pair.known_hosts.write_text(pinned)
    assert 255 == done.returncode
    assert "Host key verification failed" in done.stderr
    assert 0 == pair.run("n1", "true").returncode


def test_status_tells_a_failed_unit_and_a_dead_node(cli: Run, new_name: NewName) -> None:
    """A node is only well when it runs, answers over SSH and has no failed unit; else the exit code is 1."""
    name = new_name()
    assert 0 == cli("up", "--name", name, "--nodes", "2").returncode
    well = cli("status", "--name", name)
    assert 0 == well.returncode, well.stdout
    load(name).run("n1", "sudo systemd-run --unit broken false; sleep 0.2")
    traces.podman("kill", f"{name}-n2")
    traces.podman("wait", f"{name}-n2")
    ill = cli("status", "--name", name)
    assert 1 == ill.returncode
    assert "broken.service" in ill.stdout
    assert "exited" in ill.stdout


def test_a_node_off_and_on(cli: Run, new_name: NewName) -> None:
    """Killed or shut down it is off, with its journal to be read; on again it has its disk and its address.

    All is known before one is touched.
    """
    name = new_name()
    assert 0 == cli("up", "--name", name, "--nodes", "2").returncode
    net = load(name)
    net.run("n2", "echo kept >kept; sync; echo the lazy dog | systemd-cat --identifier fable; sudo journalctl --sync")
    assert f"has no node '{name}-n3'" in cli("stop", f"{name}-n2", f"{name}-n3").stderr
    assert f"{name}-n2: stopped\n" == cli("stop", "--kill", "n2", "--name", name).stdout
    told = cli("status", "--name", name, "--json")
    assert (1, [True, False]) == (told.returncode, [node["ok"] for node in json.loads(told.stdout)])
    assert "fable" in cli("logs", f"{name}-n2", "--lines", "20").stdout
    assert (2, True) == (cli("logs", f"{name}-n2", "-f").returncode, "is not running" in cli("logs", f"{name}-n2", "-f").stderr)
    assert ["degraded"] == [one["state"] for one in json.loads(cli("list", "--json").stdout) if one["name"] == name]
    assert f"{name}-n2: started\n" == cli("start", f"{name}-n2").stdout
    assert "kept\n" == net.run("n2", "cat kept").stdout
    assert f"{name}-n1, {name}-n2: restarted\n" == cli("restart", f"{name}-n1", f"{name}-n2").stdout
    assert 0 == cli("status", "--name", name).returncode


def test_what_runs_now_is_listed(cli: Run, new_name: NewName) -> None:
    """It is asked of the nodes: what a testnet was made with, and what is on it now, may differ, and nodes may, too."""
    name = new_name()
    assert 0 == cli("up", "--name", name, "--nodes", "2").returncode
    for node, version in (("n1", "3.4.23"), ("n2", "3.5.16")):
        load(name).run(node, f"sudo mkdir -p /opt/nodewise/etcd && sudo ln -s {version} /opt/nodewise/etcd/current")
    said = [one["system"] for one in json.loads(cli("list", "--json").stdout) if one["name"] == name]
    assert ["etcd 3.4.23 and 3.5.16"] == said


def test_logs_are_the_journal_of_a_node(cli: Run, pair: known.Testnet) -> None:
    """What a program on the node logs is there."""
    pair.run("n2", "echo the quick brown fox | systemd-cat --identifier fable; sudo journalctl --sync")
    assert "the quick brown fox" in cli("logs", pair.nodes[1].name).stdout


def test_any_playbook_sees_the_testnet(pair: known.Testnet) -> None:
    """The inventory plugin offers it as a group; Ansible reaches its nodes with what stands there, and becomes root."""
    env = {**os.environ, "ANSIBLE_CONFIG": str(checkout() / "ansible.cfg"), "NODEWISE_TESTNET": pair.name}
    words = [str(BIN / "ansible"), pair.name, "--become", "-m", "ansible.builtin.command", "-a", "id -u"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=env, cwd=checkout())
    assert 0 == done.returncode, done.stdout + done.stderr
    assert [f"{node.name} | CHANGED | rc=0 >>\n0" in done.stdout for node in pair.nodes] == [True, True]


def test_without_a_testnet_the_inventory_is_empty_and_quiet(testnet_home: Path) -> None:
    """No testnet is no error and no warning."""
    env = {**os.environ, "ANSIBLE_CONFIG": str(checkout() / "ansible.cfg"), "NODEWISE_HOME": str(testnet_home / "none")}
    words = [str(BIN / "ansible-inventory"), "--list"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=env, cwd=checkout())
    assert "" == done.stderr
    assert {} == json.loads(done.stdout)["_meta"]["hostvars"]


def test_the_printed_inventory_is_one_that_ansible_reads(cli: Run, pair: known.Testnet, tmp_path: Path) -> None:
    """What `inventory` prints can be saved and used."""
    saved = tmp_path / "inventory.yml"
    saved.write_text(cli("inventory", "--name", pair.name).stdout)
    env = {**os.environ, "ANSIBLE_CONFIG": str(checkout() / "ansible.cfg")}
    words = [str(BIN / "ansible"), pair.name, "-i", str(saved), "-m", "ansible.builtin.ping"]
    assert 0 == subprocess.run(words, capture_output=True, check=False, env=env, cwd=checkout()).returncode


def test_testnets_are_made_side_by_side(cli: Run, new_name: NewName, testnet_home: Path) -> None:
    """Two that are made at once get ranges of their own; removing one leaves the other whole."""
    one, two = new_name(), new_name()
    ups = [subprocess.Popen([*COMMAND, "up", "--name", name, "--nodes", "2"]) for name in (one, two)]
    assert [0, 0] == [up.wait(120) for up in ups]
    first, second = load(one), load(two)
    assert first.subnet != second.subnet
    had = traces.had(first)
    assert 0 == cli("down", "--name", one).returncode
    _nothing_left(one, testnet_home, had)
    assert 0 == second.run("n1", f"ping -c 1 -W 2 {two}-n2").returncode


@pytest.mark.alone  # its shared connections end after a minute without use
def test_down_leaves_nothing_and_may_be_repeated(cli: Run, new_name: NewName, testnet_home: Path) -> None:
    """Containers, network, links, firewall rules, shared connections and state are gone; a second time there is nothing to do."""
    name = new_name()
    assert 0 == cli("up", "--name", name, "--nodes", "3").returncode
    had = traces.had(load(name))
    there = traces.of(name, testnet_home, had)
    assert 3 == len(there.containers)
    assert 4 == len(there.links)
    assert all([there.networks, there.rules, there.connections, there.folders]), there
    assert f"testnet {name} is removed\n" == cli("down", "--name", name).stdout
    _nothing_left(name, testnet_home, had)
    again = cli("down", "--name", name)
    assert 0 == again.returncode
    assert again.stdout.startswith(f"no testnet named {name}: nothing to remove")


def test_down_works_when_the_state_is_gone(cli: Run, new_name: NewName, testnet_home: Path) -> None:
    """What is labelled is found without the state folder, and so are the shared connections that had their sockets in it."""
    name = new_name()
    assert 0 == cli("up", "--name", name, "--nodes", "1").returncode
    had = traces.had(load(name))
    traces.output("rm", "-r", str(testnet_home / "testnets" / name))
    assert "half-made" in cli("list").stdout
    assert 0 == cli("down", "--name", name).returncode
    _nothing_left(name, testnet_home, had)


MOMENTS: dict[str, Callable[[str, Path], object]] = {
    "network": lambda name, home: traces.of(name, home).networks,
    "state": lambda name, home: (home / "testnets" / name / "testnet.json").exists(),
    "keys": lambda name, home: (home / "testnets" / name / "known_hosts").exists(),
    "container": lambda name, home: traces.of(name, home).containers,
    "connection": lambda name, home: traces.of(name, home).connections,
}


def _stopped(name: str, home: Path, moment: str, number: int) -> int:
    """Start an `up` of three nodes, send it a signal at a moment, and return its exit code."""
    up = subprocess.Popen([*COMMAND, "up", "--name", name, "--nodes", "3"])
    deadline = time.monotonic() + 60
    while not MOMENTS[moment](name, home):
        assert time.monotonic() < deadline, f"the moment never came: {moment}"
    assert up.poll() is None, "it had ended before"
    up.send_signal(number)
    return up.wait(60)


@pytest.mark.parametrize("moment", [one if one == "container" else pytest.param(one, marks=pytest.mark.slow) for one in MOMENTS])
def test_down_removes_what_a_killed_up_has_left(cli: Run, new_name: NewName, testnet_home: Path, moment: str) -> None:
    """Whenever it was killed, also while podman went on without it: `down` at once removes all, and `up` works again."""
    name = new_name()
    assert -signal.SIGKILL == _stopped(name, testnet_home, moment, signal.SIGKILL)
    refused = cli("up", "--name", name)
    assert 2 == refused.returncode
    assert f"testnet down --name {name}" in refused.stderr
    assert 0 == cli("down", "--name", name).returncode
    _nothing_left(name, testnet_home)
    time.sleep(1)  # what an orphan still makes would be there by now
    _nothing_left(name, testnet_home)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGTERM, signal.SIGHUP))]
)
def test_up_removes_what_it_made_when_it_is_interrupted(new_name: NewName, testnet_home: Path, number: int) -> None:
    """Ctrl-C, SIGTERM and a closed terminal."""
    name = new_name()
    assert 130 == _stopped(name, testnet_home, "container", number)
    _nothing_left(name, testnet_home)


def test_a_name_in_use_is_refused(cli: Run, pair: known.Testnet, testnet_home: Path) -> None:
    """From the same home and from another; the testnet that has the name is not touched."""
    refused = cli("up", "--name", pair.name)
    assert 2 == refused.returncode
    assert f"a testnet named {pair.name} exists (2 nodes)" in refused.stderr
    env = {**os.environ, "NODEWISE_HOME": str(testnet_home / "other")}
    for words in (["up", "--name", pair.name], ["down", "--name", pair.name]):
        elsewhere = cli(*words, env=env)
        assert 2 == elsewhere.returncode
        assert str(testnet_home) in elsewhere.stderr
    assert 0 == pair.run("n1", "true").returncode


def test_a_range_in_use_is_refused(cli: Run, pair: known.Testnet, new_name: NewName, testnet_home: Path) -> None:
    """Whether a network or a route of this machine has it; nothing is left of the attempt."""
    name = new_name()
    wide = f"{pair.subnet.rsplit('.', 2)[0]}.0.0/16"
    for subnet in (pair.subnet, wide):
        refused = cli("up", "--name", name, "--subnet", subnet)
        assert 2 == refused.returncode
        assert "overlaps with" in refused.stderr
        _nothing_left(name, testnet_home)


# Where nobody else has a container, nor is about to start one.
IN_A_NETWORK_OF_ITS_OWN = """
iptables-restore < {rules}
{more}
{python} -c 'from nodewise.testnet import firewall; firewall.clean()'
nft list ruleset
"""


@pytest.mark.parametrize(
    ("more", "left"),
    [
        ("", []),
        ("iptables -A FORWARD -s 10.1.1.1 -j ACCEPT", ["10.1.1.1"]),
        ("iptables -A NETAVARK_FORWARD -s 10.1.1.1 -j ACCEPT", ["10.1.1.1", "NETAVARK-HOSTPORT-DNAT"]),
        ("iptables -t nat -N NETAVARK-1D8721804F16F", ["NETAVARK-1D8721804F16F", "NETAVARK_FORWARD"]),
    ],
    ids=["idle", "other_rules", "forwards", "network"],
)
def test_the_skeleton_of_netavark_goes_when_nobody_uses_it(more: str, left: list[str]) -> None:
    """Idle chains and tables are removed; with a network's chain or rule in them all stays; rules of others always stay."""
    rules = Path(__file__).with_name("skeleton.rules")
    script = IN_A_NETWORK_OF_ITS_OWN.format(rules=rules, more=more, python=sys.executable)
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    words = [*sudo, "unshare", "--net", "--pid", "--fork", "--mount-proc", "sh", "-ec", script]
    ruleset = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert all(words in ruleset for words in left)
    assert left or not ruleset.strip()
    assert "NETAVARK" in " ".join(left) or "NETAVARK" not in ruleset


@pytest.mark.slow
def test_a_system_of_another_collection(cli: Run, new_name: NewName) -> None:
    """It is provisioned by its role alone: no file of ours knows it. A second time changes nothing."""
    name = new_name()
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": "tests/collections"}
    words = ["--nodes", "1", "--system", "acme.demo.notes", "--version", "1.0.0", "--var", "nodewise_ink_version=7.0"]
    made = cli("up", "--name", name, *words, env=env, cwd=checkout())
    assert 0 == made.returncode, made.stderr
    member = f"cat /var/lib/notes/{name}-n1.json"
    first = load(name).run("n1", member).stdout
    assert {"version": "1.0.0", "ink": "7.0", "starts": 1, "serving": True}.items() <= json.loads(first).items()
    play = [str(BIN / "ansible-playbook"), "playbooks/provision.yml", "-e", f"nodewise_cluster={name}"]
    again = subprocess.run(
        play, capture_output=True, text=True, check=False, cwd=checkout(), env={**env, **provision.environment(load(name))}
    )
    assert 0 == again.returncode, again.stdout
    assert first == load(name).run("n1", member).stdout


@pytest.mark.slow
def test_what_was_staged_is_put_in_place_and_verified(new_name: NewName, testnet_home: Path) -> None:
    """The second of two alike stages nothing; what was damaged meanwhile is staged anew, and kept as it should be."""
    folder = testnet_home / "staged"
    folder.unlink(missing_ok=True)  # a link to that of all runs

    def stages() -> bool:
        said: list[str] = []
        net = lifecycle.up(Request(new_name(), 1, system="etcd", version="3.5.16"), said.append)
        assert "is healthy" in net.run("n1", f"{ETCDCTL} endpoint health 2>&1").stdout
        lifecycle.down(net.name)
        return any("Stage the release" in line for line in said)

    assert [True, False] == [stages(), stages()]
    (archive,) = folder.iterdir()
    content = archive.read_bytes()
    at = content.index(b"\x7fELF") + 4096
    archive.write_bytes(content[:at] + b"damaged!" + content[at + 8 :])
    assert [True, False] == [stages(), stages()]
    assert 1 == len(list(folder.iterdir()))


def test_when_provisioning_fails_nothing_is_left(cli: Run, new_name: NewName, testnet_home: Path) -> None:
    """When the playbook fails, its first error is told, the nodes are removed and the log stays."""
    name = new_name()
    nowhere = {**os.environ, "ANSIBLE_SSH_EXECUTABLE": "/bin/false"}
    failed = cli("up", "--name", name, "--nodes", "1", "--system", "etcd", "--version", "3.4.23", env=nowhere)
    assert 4 == failed.returncode
    assert f"provisioning {name} failed: " in failed.stderr
    assert "Traceback" not in failed.stderr
    assert (testnet_home / "logs" / f"provision-{name}.log").exists()
    _nothing_left(name, testnet_home)


@pytest.mark.parametrize("kept", [True, False])
def test_what_failed_is_kept_where_that_is_asked_for(
    new_name: NewName, testnet_home: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    """Nodes that are not reached in time are evidence: with keep_failed they are there, else what their journals say."""
    name, said = new_name(), list[str]()
    wait = ssh.wait_reachable

    def too_late(net: known.Testnet, node: known.Node, deadline: float, stop: threading.Event) -> None:
        """By then its systemd has logged something."""
        wait(net, node, deadline, stop)
        wait(net, node, 0.0, stop)

    monkeypatch.setattr(ssh, "wait_reachable", too_late)
    with pytest.raises(SetupError, match="was not reachable over SSH"):
        lifecycle.up(Request(name, nodes=1, keep_failed=kept), said.append)
    there = [node.name for node in lifecycle.of(name, Podman().nodes())]
    assert ([f"{name}-n1"] if kept else []) == there
    word = f"kept what was made of testnet {name}; remove it with: testnet down --name {name}"
    assert kept == (word in said)
    log = testnet_home / "logs" / f"{name}-n1.log"
    assert kept == (f"the nodes' journals are in {log.parent}: {log.name}" not in said)
    assert kept or "systemd" in log.read_text()
    lifecycle.down(name)
    assert [] == lifecycle.of(name, Podman().nodes())
