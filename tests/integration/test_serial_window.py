"""How many remote tasks a node's batch costs: each is a round trip of 0.2 s and more, and batches come one after the other."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.test_control_flow import Played

ROOT = Path(__file__).resolve().parents[2]
NOTES = ROOT / "tests/collections/ansible_collections/acme/demo/roles/notes"
ETCD, POSTGRESQL = ROOT / "roles/etcd", ROOT / "roles/postgresql"
FOLLOWER, LEADER = 1, 2  # remote tasks, at most
REPLICA, PRIMARY = 3, 4
TASKS = 60  # of a whole upgrade, those of the controller and those that only include others among them
OBSERVATION = 1  # of each step, by the upgrade itself


def tasks(file: Path) -> Iterator[dict[str, Any]]:
    """The tasks of a file and of those that it imports from its role; one that cannot be counted is an error."""
    for task in yaml.safe_load(file.read_text()):
        imported = task.get("ansible.builtin.import_tasks")
        role = task.get("ansible.builtin.import_role")
        if imported:
            yield from tasks(Path(imported.replace("{{ role_path }}", str(file.parents[1]))))
        elif role:
            yield from tasks(ROOT / "roles" / role["name"].rpartition(".")[2] / f"tasks/{role['tasks_from']}.yml")
        else:
            assert not {"loop", "block", "ansible.builtin.include_tasks", "ansible.builtin.include_role"} & set(task), task
            yield task


def batch(role: Path, *, leader: bool) -> int:
    """Remote tasks of a node's batch, from what its role declares."""
    steps = [
        step for step in yaml.safe_load((role / "meta/upgrade.yml").read_text())["steps"] if leader or step.get("only") != "leader"
    ]
    files = [role / f"tasks/{step['verb']}.yml" for step in steps if step.get("verb")]
    looks = [step for step in steps if step.get("after") and not step.get("observes")]
    return sum(len(list(tasks(file))) for file in files) + OBSERVATION * len(looks)


def test_an_etcd_follower() -> None:
    """A follower costs one round trip: its switch, which observes the cluster."""
    assert batch(ETCD, leader=False) <= FOLLOWER


def test_an_etcd_leader() -> None:
    """A leader costs one more: it hands over first."""
    assert batch(ETCD, leader=True) <= LEADER


def test_a_postgresql_replica() -> None:
    """A replica costs three: it is taken out of use, switched, and put back; the last two observe the cluster."""
    assert batch(POSTGRESQL, leader=False) <= REPLICA


def test_a_postgresql_primary() -> None:
    """A primary costs one more: it hands over first, and all are observed in the same."""
    assert batch(POSTGRESQL, leader=True) <= PRIMARY


def test_a_batch_costs_what_its_role_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted at the connection while an upgrade runs: the upgrade adds one observation a step and no other remote task."""
    notes, counted = Played(tmp_path), tmp_path / "counted"
    settings = {
        "COUNTED_FILE": counted,
        "ANSIBLE_CONNECTION_PLUGINS": ROOT / "tests/integration/connections",
        "ANSIBLE_PIPELINING": "1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    # On a slow machine the last look of a batch may be too old for the next one, which is no cost of a batch.
    ended = notes.upgrade("-e", "nodewise_to=1.1.0", "-e", "ansible_connection=counted", "-e", "upgrade_fresh=600")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("TASK [") <= TASKS
    expected = {"n1": batch(NOTES, leader=False), "n3": batch(NOTES, leader=False), "n2": batch(NOTES, leader=True)}
    assert expected == in_the_roll(notes, counted)
    assert expected["n1"] == FOLLOWER + OBSERVATION  # its switch is a module of its own


def in_the_roll(notes: Played, counted: Path) -> Counter[str]:
    """Commands a host, from the beginning of the roll to its end."""
    journal = [json.loads(line) for line in (notes.run_dir / "journal.jsonl").read_text().splitlines()]
    began, ended = (next(r["t"] for r in journal if (r.get("step"), r["phase"]) == ("roll", phase)) for phase in ("begin", "end"))
    lines = [line.split() for line in counted.read_text().splitlines()]
    return Counter(host for at, host in lines if began <= int(at) <= ended)
