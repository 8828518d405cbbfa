"""The upgrade's control flow, driven through ansible-playbook on a system of a user's own collection: nothing in it knows etcd."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from nodewise import journal

ROOT = Path(__file__).parents[2]


NAMES = ("n1", "n2", "n3")
FAR = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}  # nobody listens there


class Notes:
    """Three members of the system `acme.demo.notes`, each a file that its module reads and writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_dir = folder / "run"
        for name in NAMES:
            role = "leader" if name == "n2" else "follower"
            self.member(name, version="1.0.0", role=role, data="same", serving=True, starts=0, started_at="1")
        self.inventory(notes={name: {} for name in NAMES})

    def inventory(self, **groups: dict[str, Any]) -> None:
        """Write the inventory: hosts with their variables, for each group."""
        told = {name: {"hosts": hosts, "vars": self.variables()} for name, hosts in groups.items()}
        (self.folder / "hosts.yml").write_text(json.dumps(told))

    def variables(self) -> dict[str, Any]:
        """What the group says of the system; the nodes are this machine."""
        return {
            "nodewise_system": "acme.demo.notes",
            "notes_folder": str(self.folder),
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "nodewise_deadline": 0.3,
        }

    def member(self, name: str, **fields: Any) -> dict[str, Any]:
        """A member's state, after the given fields were changed."""
        path = self.folder / f"{name}.json"
        state = {**(json.loads(path.read_text()) if path.exists() else {}), **fields}
        path.write_text(json.dumps(state))
        return state

    def upgrade(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the playbook."""
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": f"{ROOT}:{ROOT}/tests/collections",
            "NODEWISE_RUN_DIR": str(self.run_dir),
            "ANSIBLE_BECOME_ASK_PASS": "false",
            "ANSIBLE_STDOUT_CALLBACK": "default",
        }
        playbook = str(Path(sys.executable).parent / "ansible-playbook")
        command = [playbook, "-i", str(self.folder / "hosts.yml"), "playbooks/upgrade.yml", "-e", "nodewise_approve=any", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False, timeout=120)

    def summary(self) -> dict[str, Any]:
        """How the last run ended."""
        return dict(json.loads((self.run_dir / "summary.json").read_text()))

    def versions(self) -> dict[str, str]:
        """What each member runs."""
        return {name: self.member(name)["version"] for name in NAMES}

    def starts(self) -> dict[str, int]:
        """How often each was restarted."""
        return {name: self.member(name)["starts"] for name in NAMES}


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    """A healthy cluster."""
    return Notes(tmp_path)


def refused(notes: Notes, *words: str) -> str:
    """Run an upgrade that must be refused without a change, and return why."""
    ended = notes.upgrade(*words)
    assert ended.returncode != 0
    assert "Traceback" not in ended.stdout + ended.stderr
    assert notes.summary()["outcome"] == "refused"
    assert notes.starts() == {"n1": 0, "n2": 0, "n3": 0}
    return str(notes.summary()["reason"])


def test_every_member_is_taken_to_the_target_the_leader_last(notes: Notes) -> None:
    """Followers go first, the leader hands over to an upgraded member and goes last, and each restarts once."""
    ended = notes.upgrade("-e", "nodewise_to=1.1.0")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert notes.summary()["outcome"] == "upgraded"
    assert notes.versions() == {"n1": "1.1.0", "n2": "1.1.0", "n3": "1.1.0"}
    assert notes.starts() == {"n1": 1, "n2": 1, "n3": 1}
    assert not (notes.run_dir / "collected").exists()
    about = json.loads((notes.run_dir / "run.json").read_text())
    assert {"ansible_core", "command", "commit", "inventory", "nodewise", "python", "started_at"} <= about.keys()
    records = journal.read(notes.run_dir / "journal.jsonl")
    begun = [r["node"] for r in records if r.get("step") == "switch" and r["phase"] == "begin"]
    assert begun == ["n1", "n3", "n2"]
    assert notes.member("n1")["role"] == "leader"


def test_a_second_run_changes_nothing(notes: Notes) -> None:
    """With nothing to do the outcome is `unchanged` and no process restarts."""
    for name in ("n1", "n2", "n3"):
        notes.member(name, version="1.1.0")
    ended = notes.upgrade("-e", "nodewise_to=1.1.0")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert notes.summary()["outcome"] == "unchanged"
    assert notes.starts() == {"n1": 0, "n2": 0, "n3": 0}


def test_a_run_resumes_where_the_last_one_ended(notes: Notes) -> None:
    """A member that runs the target already is not touched again."""
    notes.member("n1", version="1.1.0")
    ended = notes.upgrade("-e", "nodewise_to=1.1.0")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert notes.starts() == {"n1": 0, "n2": 1, "n3": 1}


def test_check_mode_ends_with_the_plan(notes: Notes) -> None:
    """--check prints the plan, keeps it, and changes nothing."""
    ended = notes.upgrade("-e", "nodewise_to=1.1.0", "--check")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert notes.summary()["outcome"] == "planned"
    assert notes.starts() == {"n1": 0, "n2": 0, "n3": 0}
    assert (notes.run_dir / "plan.yaml").exists()
    assert "turn 1    n1" in ended.stdout


@pytest.mark.parametrize("name", ["n1", "n3"])
def test_a_node_that_fails_its_gates_is_put_back(notes: Notes, name: str) -> None:
    """The node in hand goes back to its old version; later members are never touched."""
    notes.member(name, breaks_on=["1.1.0"])
    ended = notes.upgrade("-e", "nodewise_to=1.1.0")
    assert ended.returncode != 0
    summary = notes.summary()
    assert summary["outcome"] == "rolled_back", summary
    assert name in summary["reason"]
    assert notes.member(name)["version"] == "1.0.0"
    assert notes.member(name)["serving"] is True
    assert notes.member("n2")["starts"] == 0
    assert summary["gates"]["failed"] > 0
    assert {"n1.txt", "n2.txt", "n3.txt"} == {path.name for path in (notes.run_dir / "collected").iterdir()}


def test_what_does_not_come_back_is_a_case_for_a_human(notes: Notes) -> None:
    """A node that fails on the new version and on the old one, too, needs a human; nobody else is touched."""
    notes.member("n1", breaks_on=["1.1.0", "1.0.0"])
    ended = notes.upgrade("-e", "nodewise_to=1.1.0")
    assert ended.returncode != 0
    assert notes.summary()["outcome"] == "needs_human"
    assert "could not be put back on 1.0.0" in notes.summary()["reason"]
    assert notes.starts()["n2"] == notes.starts()["n3"] == 0


@pytest.mark.parametrize(
    ("fields", "outcome"), [({}, "upgraded"), ({"started_at": "later"}, "rolled_back"), ({"serving": False}, "rolled_back")]
)
def test_the_canary_is_watched(notes: Notes, fields: dict[str, Any], outcome: str) -> None:
    """What restarts or stops serving while the first node is watched takes that node back."""

    def meddle() -> None:
        while not any(r.get("step") == "soak" for r in journal.read(notes.run_dir / "journal.jsonl")):
            time.sleep(0.05)
        notes.member("n1", **fields)

    meddler = threading.Thread(target=meddle, daemon=True)
    meddler.start()
    notes.upgrade("-e", "nodewise_to=1.1.0", "-e", "nodewise_soak=1")
    meddler.join(1)
    assert notes.summary()["outcome"] == outcome, notes.summary()["reason"]
    assert notes.starts() == ({"n1": 1, "n2": 1, "n3": 1} if outcome == "upgraded" else {"n1": 2, "n2": 0, "n3": 0})


def test_no_target(notes: Notes) -> None:
    """Without nodewise_to nothing begins."""
    assert "-e nodewise_to=" in refused(notes)


def test_unknown_version(notes: Notes) -> None:
    """A version that nobody knows is refused, with those that are known."""
    assert "known: 1.0.0, 1.1.0, 1.2.0" in refused(notes, "-e", "nodewise_to=9.9.9")


def test_skipping_a_minor(notes: Notes) -> None:
    """A path of two hops is refused, with the first of them to take."""
    assert "-e nodewise_to=1.1.0" in refused(notes, "-e", "nodewise_to=1.2.0")


def test_going_back(notes: Notes) -> None:
    """An older target is refused."""
    for name in ("n1", "n2", "n3"):
        notes.member(name, version="1.2.0")
    assert "older" in refused(notes, "-e", "nodewise_to=1.1.0")


def test_a_stopped_member(notes: Notes) -> None:
    """A member that does not serve is named, and no other is stopped."""
    notes.member("n3", serving=False)
    assert "n3" in refused(notes, "-e", "nodewise_to=1.1.0")


def test_diverged_data(notes: Notes) -> None:
    """Members with different data are refused, with their fingerprints."""
    notes.member("n3", data="other")
    assert "fingerprints_equal" in refused(notes, "-e", "nodewise_to=1.1.0")


def test_a_limit_that_leaves_members_out(notes: Notes) -> None:
    """--limit must not shrink what is looked at."""
    assert "n2, n3" in refused(notes, "-e", "nodewise_to=1.1.0", "--limit", "n1")


def test_a_limit_to_the_whole_cluster(notes: Notes) -> None:
    """--limit to all members is no shrinking."""
    assert notes.upgrade("-e", "nodewise_to=1.1.0", "--limit", "notes").returncode == 0


def test_an_unknown_cluster(notes: Notes) -> None:
    """A cluster that is not in the inventory is named, with those that are."""
    assert "it has notes" in refused(notes, "-e", "nodewise_to=1.1.0", "-e", "nodewise_cluster=other")


def test_two_clusters_and_none_named(notes: Notes) -> None:
    """Nothing is guessed between two clusters."""
    notes.inventory(notes={name: {} for name in NAMES}, more={"m1": {}})
    assert "more, notes" in refused(notes, "-e", "nodewise_to=1.1.0")


def test_an_unreachable_node(notes: Notes) -> None:
    """A node that cannot be reached is named, and nothing begins."""
    notes.inventory(notes={"n1": {}, "n2": {}, "n3": FAR})
    assert "n3 did not answer" in refused(notes, "-e", "nodewise_to=1.1.0")


def test_no_node_can_be_reached(notes: Notes) -> None:
    """A run in which nobody answers is judged, too."""
    notes.inventory(notes=dict.fromkeys(NAMES, FAR))
    refused(notes, "-e", "nodewise_to=1.1.0")


def test_a_cluster_that_cannot_lose_a_member(notes: Notes) -> None:
    """Two members need both: refused, until the outage is accepted."""
    notes.inventory(notes={"n1": {}, "n2": {}})
    assert "nodewise_accept_outage" in refused(notes, "-e", "nodewise_to=1.1.0")
    (notes.run_dir / "journal.jsonl").unlink()
    assert notes.upgrade("-e", "nodewise_to=1.1.0", "-e", "nodewise_accept_outage=true").returncode == 0


def test_a_gate_of_ones_own_takes_part(notes: Notes) -> None:
    """A gate of the inventory that says no takes the node back, as a built-in one does."""
    gate = json.dumps({"nodewise_gates": {"never": {"that": "`false`", "says": "never today"}}})
    assert notes.upgrade("-e", "nodewise_to=1.1.0", "-e", gate).returncode != 0
    assert notes.summary()["outcome"] == "rolled_back"
    assert "never today" in notes.summary()["reason"]
    assert notes.starts()["n2"] == notes.starts()["n3"] == 0


def test_staging_that_fails_on_one_node(notes: Notes) -> None:
    """A checksum that does not match on one node ends the run before anything changes."""
    assert "n3: " in refused(notes, "-e", "nodewise_to=1.1.0", "-e", "notes_bad_stage=n3")


def test_a_gate_of_ones_own_that_cannot_be_read(notes: Notes) -> None:
    """A gate in the inventory that does not parse is refused before anything begins."""
    gate = json.dumps({"nodewise_gates": {"mine": {"that": "length(", "says": "x"}}})
    assert "mine" in refused(notes, "-e", "nodewise_to=1.1.0", "-e", gate)


def test_the_folder_of_another_run(notes: Notes) -> None:
    """A record that is there already is never mistaken for that of this run."""
    assert notes.upgrade("-e", "nodewise_to=1.1.0").returncode == 0
    again = notes.upgrade("-e", "nodewise_to=1.2.0")
    assert again.returncode != 0
    assert "holds the record of another run" in again.stdout + again.stderr
    assert notes.versions() == {"n1": "1.1.0", "n2": "1.1.0", "n3": "1.1.0"}
