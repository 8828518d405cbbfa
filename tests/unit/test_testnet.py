"""Testnets as far as they can be told without a node: what is refused, where state is, which ranges are free."""

from __future__ import annotations

import json
import os
import time
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from ansible.template import is_trusted_as_template
from click.testing import CliRunner

from ansible_collections.nodewise.cluster.plugins.inventory.testnet import _with_templates
from nodewise.cli.lifecycle import variables
from nodewise.cli.main import main
from nodewise.errors import SetupError, UsageError
from nodewise.simulation import scenario
from nodewise.testnet import home as home_of
from nodewise.testnet import image, inventory, provision, roles, ssh, state, subnets, tools
from nodewise.testnet.home import checkout, state_folder
from nodewise.testnet.state import Node

CASES = Path(__file__).parents[1] / "cases"
REFUSED = sorted((CASES / "testnet_refused").glob("*.json"))
SOURCES = sorted((CASES / "testnet_sources").glob("*.json"))
ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
podman1\t0000D50A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with nothing in it."""
    monkeypatch.setenv("NODEWISE_HOME", str(tmp_path))
    return tmp_path


def _testnet(name: str = "dev", nodes: int = 2, **fields: object) -> state.Testnet:
    made = tuple(Node(f"{name}-n{number}", f"10.213.0.{10 + number}") for number in range(1, nodes + 1))
    return state.Testnet(name, made, "10.213.0.0/24", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path.stem)
def test_refused(path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bad input ends with exit code 2 and at most two lines that say what was found and what to do; nothing is changed."""
    case = json.loads(path.read_text())
    if "path" in case:
        monkeypatch.setenv("PATH", case["path"])
        monkeypatch.setattr("nodewise.testnet.tools.SBIN", ())
    result = CliRunner().invoke(main, case["words"])
    assert result.exit_code == 2, result.output
    said = [line for line in result.stderr.splitlines() if not line.startswith(("Usage:", "Try ")) and line]
    assert len(said) in (1, 2)
    assert all(words in result.stderr for words in case["says"]), result.stderr
    assert not list(home.iterdir())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_sources(path: Path) -> None:
    """The node image is made from the machine's own Debian archives, whatever else its apt knows."""
    case = json.loads(path.read_text())
    assert case["sources"] == image.sources("\n".join(case["targets"]))


def test_routes_are_read_without_the_default_one() -> None:
    """A default route takes no address range; all other routes do."""
    assert [IPv4Network("192.0.2.0/24"), IPv4Network("10.213.0.0/24")] == subnets.routes(ROUTES)


def test_a_free_range_overlaps_with_none_that_is_taken() -> None:
    """Also a larger or smaller range of somebody else's makes ours move on."""
    taken = [IPv4Network("10.213.0.0/23"), IPv4Network("10.213.2.64/26")]
    assert IPv4Network("10.213.3.0/24") == next(subnets.free(taken))
    assert [] == list(subnets.free([IPv4Network("10.0.0.0/8")]))


def test_only_testnets_that_are_up_are_offered() -> None:
    """Half-made ones, and folders whose file a crash has torn, are left out."""
    _testnet("whole", status="up").save()
    _testnet("making").save()
    _testnet("torn", status="up").save()
    (state_folder("torn") / "testnet.json").write_text('{"name": "torn", "nod')
    assert ["making", "torn", "whole"] == state.names()
    assert ["whole"] == [testnet.name for testnet in state.ups()]
    with pytest.raises(UsageError, match=r"no testnet named making is up; up: whole"):
        state.load("making")


def test_a_testnet_survives_saving() -> None:
    """What was saved is what is loaded."""
    testnet = _testnet(system="etcd", version="3.4.23", status="up", created=1.5, variables={"nodewise_soak": 5})
    testnet.save()
    assert testnet == state.load("dev")


@pytest.mark.parametrize("name", ["n2", "dev-n2"])
def test_nodes_have_a_short_and_a_full_name(name: str) -> None:
    """Both find the same node."""
    assert Node("dev-n2", "10.213.0.12") == _testnet().node(name)


def test_an_unknown_node_is_answered_with_those_that_there_are() -> None:
    """The message names what was asked for and what could have been."""
    with pytest.raises(UsageError, match="testnet dev has no node 'n7'; it has dev-n1, dev-n2"):
        _testnet().node("n7")


def test_the_inventory_pins_host_keys_and_marks_test_hosts() -> None:
    """Host key checking stays on, against the testnet's own file; faults may be tried on its hosts."""
    testnet = _testnet(system="etcd", version="3.4.23")
    group = inventory.tree([testnet])["dev"]
    assert {"dev-n1": {"ansible_host": "10.213.0.11"}, "dev-n2": {"ansible_host": "10.213.0.12"}} == group["hosts"]
    assert "StrictHostKeyChecking=yes" in group["vars"]["ansible_ssh_common_args"]
    assert str(testnet.known_hosts) in group["vars"]["ansible_ssh_common_args"]
    assert group["vars"]["nodewise_test_host"] is True
    assert ("etcd", "3.4.23") == (group["vars"]["nodewise_system"], group["vars"]["nodewise_version"])


def test_a_store_is_a_cluster_of_its_own_on_the_same_nodes() -> None:
    """It comes first, its hosts have names of their own, and what the user gave is not for it."""
    testnet = _testnet(system="postgresql", version="15.18", variables={"nodewise_synchronous": True})
    groups = inventory.tree([testnet])
    assert ["dev_store", "dev"] == list(groups)
    store, own = groups["dev_store"], groups["dev"]
    assert {"dev-n1-store": {"ansible_host": "10.213.0.11"}, "dev-n2-store": {"ansible_host": "10.213.0.12"}} == store["hosts"]
    assert ("etcd", "dev_store") == (store["vars"]["nodewise_system"], own["vars"]["nodewise_dcs"])
    assert store["vars"]["nodewise_pki_dir"] != own["vars"]["nodewise_pki_dir"]
    assert "nodewise_synchronous" not in store["vars"]
    assert own["vars"]["nodewise_synchronous"] is True


def test_what_a_role_wants_beside_it_is_its_own_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A role of another collection, too; a file that cannot be read is named, and a role that is gone wants nothing."""
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(tmp_path))
    declared = tmp_path / "ansible_collections/acme/storage/roles/ring/meta/testnet.yml"
    assert ["dev"] == list(inventory.tree([_testnet(system="acme.storage.ring")]))
    declared.parent.mkdir(parents=True)
    declared.write_text("beside: {tokens: {system: acme.demo.notes, version: 1.0.0, variable: nodewise_ring_tokens}}")
    groups = inventory.tree([_testnet(system="acme.storage.ring")])
    assert ["dev_tokens", "dev"] == list(groups)
    assert "dev_tokens" == groups["dev"]["vars"]["nodewise_ring_tokens"]
    assert "acme.demo.notes" == groups["dev_tokens"]["vars"]["nodewise_system"]
    declared.write_text("beside: {tokens: {system: acme.demo.notes}}")
    with pytest.raises(UsageError, match=r"ring/meta/testnet.yml cannot be read: .*missing required field `version`"):
        inventory.tree([_testnet(system="acme.storage.ring")])


def test_a_system_of_another_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its role is found by its FQCN where ANSIBLE_COLLECTIONS_PATH says, from the user's folder, and knows its versions."""
    monkeypatch.chdir(checkout() / "tests")
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", "collections:~/mine")
    provision.check("acme.demo.notes", "1.0.0")
    with pytest.raises(UsageError, match=r"no release '9' of acme.demo.notes; known: 1.0.0, 1.1.0, 1.2.0"):
        provision.check("acme.demo.notes", "9")
    expected = f"{checkout()}/tests/collections:{Path.home()}/mine"
    assert expected == provision.environment(_testnet(system="acme.demo.notes"))["ANSIBLE_COLLECTIONS_PATH"]


@pytest.mark.parametrize("name", ["swift", "acme.demo.swift", "acme.demo", "no.such.role"])
def test_a_system_without_a_role(name: str) -> None:
    """What was looked for is said in one line, with the systems that are known."""
    with pytest.raises(
        UsageError, match=rf"no system named '{name}', expected a role with meta/upgrade.yml; known: app, etcd, postgresql"
    ):
        provision.check(name, None)


def test_variables_are_yaml_and_versions_stay_texts() -> None:
    """A number with a point would lose its last zero."""
    given = ("nodewise_synchronous=true", "nodewise_patroni={ttl: 20}", "nodewise_patroni_version=4.10", "nodewise_pg_hba=")
    expected = {
        "nodewise_synchronous": True,
        "nodewise_patroni": {"ttl": 20},
        "nodewise_patroni_version": "4.10",
        "nodewise_pg_hba": None,
    }
    assert expected == variables(given)


def test_without_a_system_the_inventory_names_none() -> None:
    """An empty testnet is no cluster of anything."""
    assert not {"nodewise_system", "nodewise_version"} & inventory.group_vars(_testnet()).keys()


def test_the_path_of_a_socket_is_never_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket's path ends at 108 bytes; where the home is too deep, sockets go to a short folder of their own."""
    monkeypatch.setenv("NODEWISE_HOME", str(tmp_path / ("x" * 80)))
    longest = ssh.control_dir("a" * 15) / "255.255.255.255.1234567890123456"
    assert len(os.fsencode(longest)) < 108
    assert ssh.control_dir("a") != ssh.control_dir("b")


def test_several_words_reach_the_program_as_they_are() -> None:
    """Words are quoted for the node's shell; a single one is a line for that shell."""
    node = Node("dev-n1", "10.213.0.11")
    assert "ls 'a b'" == ssh.command(_testnet(), node, ["ls", "a b"])[-1]
    assert "ls | wc" == ssh.command(_testnet(), node, ["ls | wc"])[-1]


def test_when_the_store_fails_the_other_playbook_ends(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are said as they are done; which cluster failed, with the reason and the log; nothing goes on behind our back."""
    program = home / "ansible-playbook"
    said: list[str] = []
    step = "echo '   29.3s  nodewise.cluster.release : Stage the release beside the running one (12.2 s): changed dev-n1, dev-n2'"
    program.write_text(f'#!/bin/sh\ncase "$*" in *_store) {step}; sleep 0.2; echo "[ERROR]: no room"; exit 2;; esac\nsleep 60\n')
    program.chmod(0o755)
    monkeypatch.setattr(provision.sys, "executable", str(home / "python"))
    began = time.monotonic()
    with pytest.raises(SetupError, match=r"provisioning dev_store failed: \[ERROR\]: no room\nAll of it: .*-dev_store.log"):
        provision.provision(_testnet(system="postgresql"), said.append)
    assert said == ["  dev_store: Stage the release beside the running one (12.2 s)"]
    assert 10 > time.monotonic() - began
    assert [] == [words for _, words in tools.processes() if str(program) in words]


def test_a_failed_playbook_is_told_by_its_first_error() -> None:
    """Of all the output, the line with the reason."""
    output = "PLAY [x]\n\nTASK [Stage]\n[ERROR]: Task failed: no such release\nOrigin: x.yml\nfatal: [n1]: FAILED!\n"
    assert "[ERROR]: Task failed: no such release" == provision.failure(output)
    assert "ansible-playbook said nothing" == provision.failure("\n")


def test_from_a_wheel_the_collection_is_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Playbooks, roles and scenarios come from the installed collection; what is kept lies in the user's cache."""
    monkeypatch.setattr(home_of, "SOURCES", tmp_path / "venv/lib")
    monkeypatch.setattr(roles, "SOURCES", tmp_path / "venv/lib")
    monkeypatch.setattr(home_of.sys, "path", [])
    for name in ("NODEWISE_HOME", "XDG_CACHE_HOME", "ANSIBLE_COLLECTIONS_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError, match=r"the collection nodewise.cluster is not installed here\.\nInstall it, .*\.tar\.gz"):
        checkout()
    installed = tmp_path / ".ansible/collections/ansible_collections/nodewise/cluster"
    installed.parent.mkdir(parents=True)
    installed.symlink_to(Path(__file__).parents[2])
    assert installed == checkout()
    assert tmp_path / ".cache/nodewise" == home_of.home()
    assert roles.environment()["ANSIBLE_COLLECTIONS_PATH"] == str(tmp_path / ".ansible/collections")
    assert scenario.load("rolling-upgrade").name == "rolling-upgrade"


def test_templates_in_variables_are_filled_in() -> None:
    """As those of group_vars are: whoever made the testnet wrote them. Ansible's inventory plugins give plain text otherwise."""
    found = _with_templates({"files": [{"content": "name: {{ inventory_hostname }}", "mode": 420}]})
    assert is_trusted_as_template(found["files"][0]["content"])
    assert 420 == found["files"][0]["mode"]
