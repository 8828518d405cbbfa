"""The upgrade's control flow, driven through ansible-playbook on a system of a user's own collection: nothing in it knows etcd."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

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
            "ansible_pipelining": True,
            "ansible_python_interpreter": sys.executable,
            "nodewise_deadline": 0.3,
        }

    def member(self, name: str, **fields: Any) -> dict[str, Any]:
        """A member's state, after the given fields were changed."""
        path = self.folder / f"{name}.json"
        state = {**(json.loads(path.read_text()) if path.exists() else {}), **fields}
        path.write_text(json.dumps(state))
        return state

    def command(self, *words: str, playbook: str = "upgrade") -> tuple[list[str], dict[str, str]]:
        """The words and the environment of ansible-playbook."""
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": f"{ROOT}:{ROOT}/tests/collections",
            "NODEWISE_RUN_DIR": str(self.run_dir),
            "ANSIBLE_BECOME_ASK_PASS": "false",
            "ANSIBLE_STDOUT_CALLBACK": "default",
        }
        program = str(Path(sys.executable).parent / "ansible-playbook")
        given = ["-i", str(self.folder / "hosts.yml"), "-e", "nodewise_approve=any", *words]
        return [program, f"playbooks/{playbook}.yml", *given], environment

    def upgrade(self, *words: str, playbook: str = "upgrade") -> subprocess.CompletedProcess[str]:
        """Run the playbook."""
        command, environment = self.command(*words, playbook=playbook)
        done = subprocess.PIPE
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=done,
            stderr=done,
            text=True,
            cwd=ROOT,
            env=environment,
            check=False,
            timeout=120,
        )

    def next_run(self) -> None:
        """A folder of its own for the next run."""
        self.run_dir = self.run_dir.with_name(f"{self.run_dir.name}+")

    def journal(self) -> list[dict[str, Any]]:
        """The records of the last run."""
        return journal.read(self.run_dir / "journal.jsonl")

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


def test_a_step_that_observes_fails_with_the_words_of_its_module(notes: Notes) -> None:
    """What changes and looks in one task is a change: that it failed is no observation that went wrong."""
    notes.member("n2", stubborn=True)
    ended = notes.upgrade("-e", "nodewise_to=1.1.0")
    assert ended.returncode != 0
    assert "n2: drain failed: n2 does not let go" in notes.summary()["reason"]
    assert notes.versions() == {"n1": "1.1.0", "n2": "1.0.0", "n3": "1.1.0"}
    drains = [r for r in notes.journal() if r["kind"] == "step" and r["step"] == "drain"]
    assert [("begin", None), ("end", False)] == [(r["phase"], r.get("ok")) for r in drains]


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


def test_what_does_not_come_back_is_brought_back_by_the_same_command(notes: Notes) -> None:
    """A node that fails on the new version and on the old one, too, is told as such; nobody else is touched."""
    notes.member("n1", breaks_on=["1.1.0", "1.0.0"])
    ended = notes.upgrade("-e", "nodewise_to=1.1.0")
    assert ended.returncode != 0
    assert notes.summary()["outcome"] == "held"
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


def test_two_hops_in_one_run(notes: Notes) -> None:
    """A target two minors away is reached in two rolls, each finished before the next."""
    ended = notes.upgrade("-e", "nodewise_to=1.2.0")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert notes.versions() == {"n1": "1.2.0", "n2": "1.2.0", "n3": "1.2.0"}
    assert notes.starts() == {"n1": 2, "n2": 2, "n3": 2}
    finalized = [r["seq"] for r in notes.journal() if r.get("step") == "finalize" and r["phase"] == "end" and r["ok"]]
    hops = [r["seq"] for r in notes.journal() if "hop" in r]
    assert len(finalized) == len(hops) == 2
    assert hops[0] < finalized[0] < hops[1] < finalized[1]


def test_nobody_approved(notes: Notes) -> None:
    """Without a terminal and without approval the run is held before the last member, with both ways open and named."""
    ended = notes.upgrade("-e", "nodewise_to=1.1.0", "-e", "nodewise_approve=")
    assert ended.returncode != 0
    assert notes.summary()["outcome"] == "held"
    assert "nodewise_approve=" in notes.summary()["reason"]
    assert "playbooks/rollback.yml" in notes.summary()["reason"]
    assert notes.versions() == {"n1": "1.1.0", "n2": "1.0.0", "n3": "1.1.0"}
    notes.next_run()
    assert notes.upgrade(playbook="rollback").returncode == 0
    assert notes.summary()["outcome"] == "rolled_back"
    assert notes.versions() == {"n1": "1.0.0", "n2": "1.0.0", "n3": "1.0.0"}
    assert notes.starts() == {"n1": 2, "n2": 0, "n3": 2}


@pytest.mark.parametrize(("answer", "outcome"), [("yes", "upgraded"), ("no", "held")])
def test_an_operator_at_the_terminal_is_asked(notes: Notes, answer: str, outcome: str) -> None:
    """On a terminal the point of no return is a question, and only yes is a yes."""
    command, environment = notes.command("-e", "nodewise_to=1.1.0", "-e", "nodewise_approve=")
    ours, theirs = pty.openpty()
    terminal = ["setsid", "--ctty", "--wait", *command]
    running = subprocess.Popen(
        terminal, cwd=ROOT, env=environment, stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    while running.poll() is None and not any(r.get("asks") for r in notes.journal()):
        time.sleep(0.1)
    time.sleep(1.5)  # the question comes after the record of it
    os.write(ours, f"{answer}\r".encode())
    running.wait(60)
    assert notes.summary()["outcome"] == outcome, notes.summary()["reason"]


def test_the_wrong_plan_was_approved(notes: Notes) -> None:
    """The hash of another plan approves nothing; that of this one does, also when the run is resumed."""
    notes.upgrade("-e", "nodewise_to=1.1.0", "-e", "nodewise_approve=0123")
    assert notes.summary()["outcome"] == "held"
    digest = yaml.safe_load((notes.run_dir / "plan.yaml").read_text())["hash"]
    assert f"0123 was approved, not {digest}" in notes.summary()["reason"]
    notes.next_run()
    assert notes.upgrade("-e", "nodewise_to=1.1.0", "-e", f"nodewise_approve={digest}").returncode == 0
    assert notes.starts() == {"n1": 1, "n2": 1, "n3": 1}


def test_a_plan_that_the_cluster_drifted_from(notes: Notes) -> None:
    """What differs is named; a leader that moved is no drift."""
    notes.upgrade("-e", "nodewise_to=1.1.0", "--check")
    digest = yaml.safe_load((notes.run_dir / "plan.yaml").read_text())["hash"]
    notes.next_run()
    gate = json.dumps({"nodewise_gates": {"mine": {"that": "`true`", "says": "never"}}})
    assert "gates: mine: was null" in refused(notes, "-e", "nodewise_to=1.1.0", "-e", f"nodewise_plan={digest}", "-e", gate)
    notes.next_run()
    assert "is not kept in" in refused(notes, "-e", "nodewise_to=1.1.0", "-e", "nodewise_plan=0123")
    notes.member("n2", role="follower")
    notes.member("n3", role="leader")
    notes.next_run()
    assert notes.upgrade("-e", "nodewise_to=1.1.0", "-e", f"nodewise_plan={digest}").returncode == 0


def test_the_change_window_closes(notes: Notes) -> None:
    """No node is begun after it, and the same command goes on tomorrow."""
    soon = (datetime.now().astimezone() + timedelta(seconds=15)).isoformat()
    slow = ["-e", "nodewise_soak=1", "-e", "notes_baseline=15", "-e", f"nodewise_until={soon}"]
    assert notes.upgrade("-e", "nodewise_to=1.1.0", *slow).returncode != 0
    assert notes.summary()["outcome"] == "held"
    assert "the change window closed at" in notes.summary()["reason"]
    assert notes.starts() == {"n1": 0, "n2": 0, "n3": 0}
    notes.next_run()
    assert notes.upgrade("-e", "nodewise_to=1.1.0").returncode == 0


def test_a_window_that_is_no_time(notes: Notes) -> None:
    """What cannot be read as a time is refused before anything is looked at."""
    assert "expected a time such as" in refused(notes, "-e", "nodewise_to=1.1.0", "-e", "nodewise_until=tonight")


def test_a_regression_of_the_canary(notes: Notes) -> None:
    """A canary that serves and passes all gates, but does worse than its baseline, goes back."""
    slow = {"notes_soak": {"probe": {"count": 20, "failed": 0, "p50_ms": 500.0, "p99_ms": 900.0, "max_ms": 999.0}}}
    notes.upgrade("-e", "nodewise_to=1.1.0", "-e", "nodewise_soak=1", "-e", json.dumps(slow))
    assert notes.summary()["outcome"] == "rolled_back"
    assert "no_regression" in notes.summary()["reason"]
    assert notes.starts() == {"n1": 2, "n2": 0, "n3": 0}


def test_data_that_differs_during_the_roll(notes: Notes) -> None:
    """Divergence is held, not taken back: no old version mends it."""
    notes.member("n1", forgets_on="1.1.0")
    notes.upgrade("-e", "nodewise_to=1.1.0")
    assert notes.summary()["outcome"] == "held"
    assert "the members' data differs at 1: n1 gone, n2 same, n3 same" in notes.summary()["reason"]
    assert notes.starts() == {"n1": 1, "n2": 0, "n3": 0}


def suite(notes: Notes, *lines: str) -> list[str]:
    """Words for a suite of one core script, which knows the node in hand, and one basic script that passes."""
    folder = notes.folder / "suites" / "service"
    folder.mkdir(parents=True)
    for name, tier, body in (("core", "core", lines), ("basic", "basic", ("true",))):
        script = folder / name
        script.write_text("\n".join(["#!/bin/sh", f"# smoke: tier={tier}", *body]) + "\n")
        script.chmod(0o755)
    return ["-e", f"nodewise_suites={folder.parent}", "-e", "nodewise_suite=service"]


def test_suites_run_between_the_nodes_and_at_the_end(notes: Notes) -> None:
    """Core scripts on each node after its change, those of tier basic on all in the end; all of it is in the record."""
    ended = notes.upgrade("-e", "nodewise_to=1.1.0", *suite(notes, "true"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert [r["node"] for r in notes.journal() if r.get("step") == "suites" and r["phase"] == "end"] == ["n1", "n3", "n2"]
    kept = [json.loads(path.read_text()) for path in sorted(notes.run_dir.glob("smoke/*/plan.json"))]
    assert [(plan["tier"], len(plan["hosts"])) for plan in kept] == [("core", 1)] * 3 + [("basic", 3)]


def test_a_node_that_fails_its_suite_is_put_back(notes: Notes) -> None:
    """A node that passes all gates and fails a script goes back, and nobody else is touched."""
    ended = notes.upgrade("-e", "nodewise_to=1.1.0", *suite(notes, 'test "$NODEWISE_HOST" != n1'))
    assert ended.returncode != 0
    assert notes.summary()["outcome"] == "rolled_back", notes.summary()["reason"]
    assert "service" in notes.summary()["reason"]
    assert notes.starts() == {"n1": 2, "n2": 0, "n3": 0}


def test_a_member_is_repaired_first(notes: Notes) -> None:
    """A member that is down is brought back on the old version, behind gates, and then upgraded as the others."""
    notes.member("n3", serving=False)
    assert "n3" in refused(notes, "-e", "nodewise_to=1.1.0")
    notes.next_run()
    ended = notes.upgrade("-e", "nodewise_to=1.1.0", "-e", "nodewise_repair=n3")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert notes.starts() == {"n1": 1, "n2": 1, "n3": 2}
    records = notes.journal()
    assert next(r["seq"] for r in records if r.get("step") == "repair") < next(r["seq"] for r in records if "turn" in r)


def test_a_member_that_cannot_be_repaired(notes: Notes) -> None:
    """What does not come back holds the run, and nobody else is touched."""
    notes.member("n3", serving=False, breaks_on=["1.0.0"])
    notes.upgrade("-e", "nodewise_to=1.1.0", "-e", "nodewise_repair=n3")
    assert notes.summary()["outcome"] == "held"
    assert "n3 did not come back" in notes.summary()["reason"]
    assert notes.starts() == {"n1": 0, "n2": 0, "n3": 1}


def test_groups_roll_side_by_side(notes: Notes) -> None:
    """Two independent groups: a canary alone, then one of each at a time, and the leaders last."""
    for name in ("m1", "m2", "m3"):
        role = "leader" if name == "m1" else "follower"
        notes.member(name, version="1.0.0", role=role, data="other", serving=True, starts=0, started_at="1")
    first = {name: {"nodewise_group": "a"} for name in NAMES}
    notes.inventory(notes={**first, **{name: {"nodewise_group": "b"} for name in ("m1", "m2", "m3")}})
    ended = notes.upgrade("-e", "nodewise_to=1.1.0")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert [r["nodes"] for r in notes.journal() if "turn" in r] == [["m2"], ["m3", "n1"], ["m1", "n3"], ["n2"]]
    assert all(notes.member(name)["starts"] == 1 for name in (*NAMES, "m1", "m2", "m3"))


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
    notes.next_run()
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


def test_a_component_is_upgraded_and_taken_back_on_its_own(notes: Notes) -> None:
    """Its versions are those that are planned, judged and remembered; the system itself is not touched."""
    for name in NAMES:
        notes.member(name, ink="7.0")
    assert 0 == notes.upgrade("-e", "nodewise_to=1.1.0").returncode
    notes.next_run()
    ended = notes.upgrade("-e", "nodewise_component=ink", "-e", "nodewise_to=7.1")
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    assert ("ink", "7.0", "7.1") == tuple(notes.summary()[key] for key in ("component", "from", "to"))
    assert ["7.1"] * 3 == [notes.member(name)["ink"] for name in NAMES]
    assert {"n1": 1, "n2": 1, "n3": 1} == notes.starts()
    notes.next_run()
    assert 0 == notes.upgrade("-e", "nodewise_component=ink", playbook="rollback").returncode
    assert ["7.0"] * 3 == [notes.member(name)["ink"] for name in NAMES]
    assert dict.fromkeys(NAMES, "1.1.0") == notes.versions()
    assert {"n1": 1, "n2": 1, "n3": 1} == notes.starts()


def test_an_unknown_component_is_refused_with_those_that_there_are(notes: Notes) -> None:
    """Nothing is guessed; the name of the system itself is no component."""
    assert "has ink" in refused(notes, "-e", "nodewise_component=paper", "-e", "nodewise_to=7.1")
    notes.next_run()
    assert 0 == notes.upgrade("-e", "nodewise_component=notes", "-e", "nodewise_to=1.1.0").returncode


def test_a_component_waits_for_the_end_of_anothers_upgrade(notes: Notes) -> None:
    """One that failed in the middle is ended or taken back first, and the refusal has both commands."""
    for name in NAMES:
        notes.member(name, ink="7.0")
    for name in NAMES:
        root = notes.folder / name
        root.mkdir()
        steps = [{"step": "switch", "ok": True}]
        record = {
            "run": "r0",
            "to": "1.1.0",
            "kind": "upgrade",
            "steps": steps,
            "outcome": "held",
            "from": "1.0.0",
            "path": ["1.1.0"],
        }
        (root / "state.json").write_text(json.dumps({"fence": 1, "lease": None, "upgrade": record}))
    said = refused(notes, "-e", "nodewise_component=ink", "-e", "nodewise_to=7.1")
    assert "is not at its end" in said
    assert "rollback.yml -e nodewise_cluster=notes" in said


def test_a_member_left_in_the_middle_of_its_turn_is_finished(notes: Notes) -> None:
    """Although it runs the target already; the others are not touched again."""
    assert 0 == notes.upgrade("-e", "nodewise_to=1.1.0").returncode
    notes.member("n3", unfinished=True)
    notes.next_run()
    assert 0 == notes.upgrade("-e", "nodewise_to=1.1.0").returncode
    assert "upgraded" == notes.summary()["outcome"]
    assert {"n1": 1, "n2": 1, "n3": 2} == notes.starts()


def test_data_is_verified_in_depth_where_that_is_asked_for(notes: Notes) -> None:
    """Every member's, at the end; damage that is found holds the run, as the members run the target already."""
    assert 0 == notes.upgrade("-e", "nodewise_to=1.1.0", "-e", "nodewise_verify=true").returncode
    notes.next_run()
    ended = notes.upgrade("-e", "nodewise_to=1.2.0", "-e", "nodewise_verify=true", "-e", "notes_damaged=n3")
    assert 2 == ended.returncode
    assert "held" == notes.summary()["outcome"]
    assert "page 7 is damaged" in notes.summary()["reason"]
