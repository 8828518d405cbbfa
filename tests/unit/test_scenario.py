"""Scenarios as data, and the exit code of a rehearsal."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
import yaml

from nodewise.errors import SetupError, UsageError
from nodewise.simulation import scenario
from nodewise.simulation.harness import exit_code
from nodewise.simulation.schedule import plan
from nodewise.simulation.workloads.registry import workload_named
from nodewise.testnet import roles

SHIPPED = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_scenario_that_comes_with_nodewise(path: Path) -> None:
    """It is named like its file, is of a system that there is a role for, and is judged by every checker of its workload."""
    loaded = scenario.load(path.stem)
    assert path.stem == loaded.name
    assert loaded.cluster.system in roles.ours()
    assert set(workload_named(loaded.workload.name).checkers) <= set(loaded.safety)


@pytest.mark.parametrize(
    ("outcome", "verdict", "code"),
    [
        ("upgraded", "valid", 0),
        ("unchanged", "valid", 0),
        ("upgraded", "unknown", 3),
        ("upgraded", "invalid", 1),
        ("rolled_back", "valid", 1),
        ("paused", "unknown", 1),
        ("refused", "valid", 4),
        ("refused", "unknown", 4),
        ("refused", "invalid", 1),
    ],
)
def test_the_exit_code(outcome: str, verdict: str, code: int) -> None:
    """A promise that was broken comes first; an upgrade that was refused never began, which is the set-up's fault."""
    assert code == exit_code({"outcome": outcome, "verdict": verdict})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: x", "missing required field `cluster`"),
        ("{name: x, cluster: {system: etcd, version: '1'}, upgrade: {from: '1'}}", r"unknown field `from`"),
        ("{name: x, cluster: {system: etcd, nodes: 0}}", r"Expected `int` >= 1"),
        ("{name: x, cluster: {system: etcd}, workload: {clients: 0}}", r"Expected `int` >= 1"),
        ("{name: x, cluster: {system: etcd}, workload: {rate: 0}}", r"Expected `float` > 0"),
        ("{name: x, cluster: {system: etcd}, workload: {warmup: -1}}", r"Expected `float` >= 0"),
        ("{name: x, cluster: {system: etcd}, workload: {loop: opened}}", r"Invalid enum value 'opened'"),
    ],
)
def test_what_is_no_scenario(text: str, says: str, tmp_path: Path) -> None:
    """The file and the field are named."""
    path = tmp_path / "mine.yml"
    path.write_text(text)
    with pytest.raises(UsageError, match=rf"mine\.yml is no scenario: .*{says}"):
        scenario.load(str(path))


def test_a_folder_is_no_scenario(tmp_path: Path) -> None:
    """It is told in a line."""
    (tmp_path / "mine.yml").mkdir()
    with pytest.raises(UsageError, match=r"mine\.yml cannot be read: Is a directory"):
        scenario.load(str(tmp_path / "mine.yml"))


def test_a_checker_that_is_not_there(tmp_path: Path) -> None:
    """It is refused when the scenario is read, not once it has run."""
    path = tmp_path / "mine.yml"
    path.write_text("{name: x, cluster: {system: etcd}, safety: [durabel]}")
    with pytest.raises(UsageError, match=r"no checker 'durabel' \(did you mean durable\?\); there are: durable"):
        scenario.load(str(path))


def test_a_scenario_that_is_not_there() -> None:
    """Those that there are are listed."""
    with pytest.raises(
        UsageError,
        match=r"did you mean patroni\?\); there are: asymmetric-partition, .*, patroni, .*, rolling-upgrade, ",
    ):
        scenario.load("patron")


def test_a_workload_that_a_system_cannot_do() -> None:
    """What is lacking is named, and what the system can do."""
    bank = msgspec.structs.replace(scenario.load("patroni"), workload=scenario.WorkloadSpec("bank"), upgrade=None)
    assert "postgresql" == bank.on(None, None, None).cluster.system
    with pytest.raises(
        SetupError,
        match=r"patroni does not apply to etcd: etcd has no balances, deposit, transfer, which workload bank asks for; it can do: ",
    ):
        bank.on(None, "etcd", None)
    with pytest.raises(UsageError, match=r"no workload client for system 'ectd' \(did you mean etcd\?\)"):
        bank.on(None, "ectd", None)


def test_another_system() -> None:
    """Its own version and variables, with which nothing that it acknowledged may be lost; what the first one had is not for it."""
    patroni, etcd = scenario.load("patroni"), scenario.load("leader-isolated")
    assert {"nodewise_synchronous": True} == etcd.on(None, "postgresql", None).cluster.variables
    assert "" == etcd.on(None, "postgresql", None).cluster.version
    assert {} == msgspec.structs.replace(patroni, upgrade=None).on(None, "etcd", None).cluster.variables
    assert patroni.cluster == patroni.on(None, "postgresql", None).cluster


@pytest.mark.parametrize(
    ("name", "system", "says"),
    [
        (
            "lease-expiry",
            "postgresql",
            "lease-expiry does not apply to postgresql: postgresql has no acquire, ",
        ),
        ("rolling-upgrade", "postgresql", "rolling-upgrade does not apply to postgresql: it upgrades etcd to 3.5.16"),
    ],
)
def test_a_scenario_that_does_not_apply_to_another_system(name: str, system: str, says: str) -> None:
    """It says so, with exit code 4, before anything is made."""
    with pytest.raises(SetupError, match=says) as raised:
        scenario.load(name).on(None, system, None)
    assert 4 == raised.value.exit_code


def test_an_upgrade_to_a_version_that_there_is_not() -> None:
    """It is named with those that there are, before anything is made."""
    upgraded = msgspec.structs.replace(scenario.load("rolling-upgrade"), upgrade=scenario.UpgradeSpec("9.9.9"))
    with pytest.raises(UsageError, match=r"no release '9\.9\.9' of etcd; known: 3\.3\.25, "):
        upgraded.on(None, None, None)


def test_the_faults_in_the_docs() -> None:
    """The example of docs/simulation.md makes a plan."""
    block = (Path(__file__).parents[2] / "docs/simulation.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    assert ["cut", "deaf", "still"] == [event.id for event in plan(yaml.safe_load(block)["faults"], 5, 1)]


def test_the_table_in_the_docs() -> None:
    """Every scenario is in it, and what it calls valid on PostgreSQL, of another system, is what can be done there."""
    text = (Path(__file__).parents[2] / "docs/simulation.md").read_text()
    table = dict(re.findall(r"^\| `([\w-]+)` \|[^|]*\| (valid|its own system|does not apply)", text, re.MULTILINE))
    assert {path.stem for path in SHIPPED} == table.keys()
    for name, says in table.items():
        loaded = scenario.load(name)
        assert (says == "its own system") == (loaded.cluster.system == "postgresql")
        if says == "does not apply":
            with pytest.raises(SetupError, match="does not apply to postgresql"):
                loaded.on(None, "postgresql", None)
        else:
            loaded.on(None, "postgresql", None)
