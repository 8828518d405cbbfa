"""The plays of an upgrade carry out what the engine decides, through ansible-playbook on a system of a user's own collection.

Nothing in it knows etcd. What is decided in which situation is tests/unit/test_control_flow.py, without a playbook.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.notes import NAMES, Notes

from nodewise.record import journal

ROOT = Path(__file__).parents[2]
FAR = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}  # nobody listens there
UP = ("-e", "nodewise_to=1.1.0")
LOST_S = 15  # in which an interrupt that was noticed ends a run: a switch takes longer
HUNG = 400  # seconds after which a run does not go on any more, however slow the machine


class Played(Notes):
    """The toy cluster, upgraded by playbooks; its nodes are this machine."""

    def variables(self) -> dict[str, Any]:
        """How ansible reaches the nodes, too, and a deadline that is soon over."""
        local = {"ansible_connection": "local", "ansible_pipelining": True, "ansible_python_interpreter": sys.executable}
        return {**super().variables(), **local, "nodewise_deadline": 0.3}

    def command(self, *words: str, playbook: str = "upgrade") -> tuple[list[str], dict[str, str]]:
        """The words and the environment of ansible-playbook."""
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": f"{ROOT}:{ROOT}/tests/collections",
            "NODEWISE_RUN_DIR": str(self.run_dir),
            "ANSIBLE_BECOME_ASK_PASS": "false",
            "ANSIBLE_STDOUT_CALLBACK": os.environ.get("ANSIBLE_STDOUT_CALLBACK", "default"),
        }
        program = str(Path(sys.executable).parent / "ansible-playbook")
        given = ["-i", str(self.folder / "hosts.yml"), "-e", "nodewise_approve=any", *words]
        return [program, f"playbooks/{playbook}.yml", *given], environment

    def upgrade(self, *words: str, playbook: str = "upgrade") -> subprocess.CompletedProcess[str]:
        """Run the playbook."""
        command, environment = self.command(*words, playbook=playbook)
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=ROOT, env=environment, check=False, timeout=HUNG
        )
        assert "Traceback" not in ended.stdout + ended.stderr
        return ended


@pytest.fixture
def notes(tmp_path: Path) -> Played:
    """A healthy cluster."""
    return Played(tmp_path)


def ends(notes: Played, outcome: str, *words: str, code: int = 0, playbook: str = "upgrade") -> str:
    """Run a playbook that has to end like this, and return the reason."""
    ended = notes.upgrade(*words, playbook=playbook)
    summary = notes.summary()
    assert (outcome, code) == (summary["outcome"], ended.returncode), ended.stdout + ended.stderr
    return str(summary["reason"])


def refused(notes: Played, *words: str, code: int = 2) -> str:
    """Run an upgrade that must be refused without a change, and return why."""
    reason = ends(notes, "refused", *words, code=code)
    assert dict.fromkeys(NAMES, 0) == notes.starts()
    return reason


def suite(notes: Played, *lines: str) -> list[str]:
    """Words for a suite of one core script, which knows the current node, and one basic script that passes."""
    folder = notes.folder / "suites" / "service"
    folder.mkdir(parents=True)
    for name, tier, body in (("core", "core", lines), ("basic", "basic", ("true",))):
        script = folder / name
        script.write_text("\n".join(["#!/bin/sh", f"# smoke: tier={tier}", *body]) + "\n")
        script.chmod(0o755)
    return ["-e", f"nodewise_suites={folder.parent}", "-e", "nodewise_suite=service"]


def test_every_member_is_taken_to_the_target_the_leader_last(notes: Played) -> None:
    """Followers go first, the leader hands over and goes last, each restarts once, and suites run between them and at the end."""
    ends(notes, "upgraded", *UP, *suite(notes, "true"))
    assert dict.fromkeys(NAMES, "1.1.0") == notes.versions()
    assert dict.fromkeys(NAMES, 1) == notes.starts()
    assert not (notes.run_dir / "collected").exists()
    about = json.loads((notes.run_dir / "run.json").read_text())
    assert {"ansible_core", "command", "commit", "inventory", "nodewise", "python", "started_at"} <= about.keys()
    begun = [r["node"] for r in notes.journal() if r.get("step") == "switch" and r["phase"] == "begin"]
    assert ["n1", "n3", "n2"] == begun
    assert "leader" == notes.member("n1")["role"]
    assert begun == [r["node"] for r in notes.journal() if r.get("step") == "suites" and r["phase"] == "end"]
    kept = [json.loads(path.read_text()) for path in sorted(notes.run_dir.glob("smoke/*/plan.json"))]
    assert [("core", 1)] * 3 + [("basic", 3)] == [(plan["tier"], len(plan["hosts"])) for plan in kept]


def test_what_leaves_the_version_as_it_is(notes: Played) -> None:
    """A restart, then settings, each through the same plays: every member once; a setting that breaks a member is put back."""
    ends(notes, "changed", playbook="restart")
    assert dict.fromkeys(NAMES, 1) == notes.starts()
    notes.next_run()
    ends(notes, "changed", "-e", "notes_setting=bold", playbook="configure")
    assert dict.fromkeys(NAMES, (2, "bold")) == {name: (notes.starts()[name], notes.member(name)["setting"]) for name in NAMES}
    notes.member("n1", breaks_on=["broken"])
    notes.next_run()
    ends(notes, "rolled_back", "-e", "notes_setting=broken", code=2, playbook="configure")
    assert dict.fromkeys(NAMES, "bold") == {name: (notes.folder / f"{name}.conf").read_text() for name in NAMES}
    assert dict.fromkeys(NAMES, "1.0.0") == notes.versions()


@pytest.mark.parametrize(
    ("words", "why", "longest"),
    [
        ((), "no target version was given; say which: -e nodewise_to=VERSION", 32),
        (("-e", "nodewise_to=9.9.9"), "9.9.9", 75),  # every node was looked at before
    ],
)
def test_a_refusal_is_short(notes: Played, words: tuple[str, ...], why: str, longest: int) -> None:
    """Ansible's own output ends with one failed task whose message is the reason, with nothing dumped around it."""
    ended = notes.upgrade(*words)
    lines = ended.stdout.splitlines()
    assert len(lines) <= longest, ended.stdout
    (fatal,) = [number for number, line in enumerate(lines) if line.startswith("fatal: ")]
    recap = next(number for number, line in enumerate(lines) if line.startswith("PLAY RECAP"))
    assert recap - fatal <= 6  # a reason may have two lines
    assert why in "\n".join(lines[fatal:recap])
    assert "localhost" not in "\n".join(lines[recap:]) or words


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_run_that_is_cut_short(notes: Played, number: signal.Signals) -> None:
    """Ctrl-C in a switch: what was under way is told, and the same command goes on. After a kill, that one says what is missing."""
    notes.member("n1", slow_s=20)
    command, environment = notes.command(*UP)
    running = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment, start_new_session=True
    )
    until = time.monotonic() + HUNG
    while not any(r.get("step") == "switch" for r in notes.journal() if (notes.run_dir / "journal.jsonl").exists()):
        assert time.monotonic() < until
        time.sleep(0.1)
    running.send_signal(number)
    with suppress(subprocess.TimeoutExpired):
        running.wait(LOST_S)
    if running.poll() is None:  # Python loses a Ctrl-C that comes in the middle of a fork, and an operator presses it again
        running.send_signal(number)
    said = running.communicate(timeout=HUNG)[0]
    notes.member("n1", slow_s=0)
    if number == signal.SIGINT:
        # ansible-core stumbles over a worker that has just ended (250), and over one that it is just forking (ended by the signal)
        assert running.returncode in (99, 250, -signal.SIGINT)
        assert ("interrupted", "interrupted") == tuple(map(notes.summary().get, ("outcome", "reason_code")))
        assert "interrupted: the run ended in the middle of switch of n1, whose end was not seen" in said
        assert f"to go on: ansible-playbook -i {notes.folder}/hosts.yml playbooks/upgrade.yml -e nodewise_cluster=notes" in said
    else:
        assert not (notes.run_dir / "summary.json").exists()
    killed = notes.run_dir.name
    notes.next_run()
    again = notes.upgrade(*UP)
    assert (0, "upgraded") == (again.returncode, notes.summary()["outcome"]), again.stdout
    assert (number == signal.SIGKILL) == (f"warning: run {killed} was killed and has no summary" in again.stdout)


@pytest.mark.slow
def test_check_mode_ends_with_the_plan(notes: Played) -> None:
    """--check prints the plan, keeps it, and changes nothing."""
    ended = notes.upgrade(*UP, "--check")
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    assert "planned" == notes.summary()["outcome"]
    assert dict.fromkeys(NAMES, 0) == notes.starts()
    assert (notes.run_dir / "plan.yaml").exists()
    assert "batch 1    n1" in ended.stdout


def test_a_node_that_fails_its_gates_is_put_back(notes: Played) -> None:
    """The current node goes back to its old version, evidence is kept, and the leader is never touched."""
    notes.member("n3", breaks_on=["1.1.0"])
    assert "n3" in ends(notes, "rolled_back", *UP, code=2)
    assert {"n1": 1, "n2": 0, "n3": 2} == notes.starts()
    assert notes.member("n3")["serving"]
    assert {"n1.txt", "n2.txt", "n3.txt"} == {path.name for path in (notes.run_dir / "collected").iterdir()}


def test_what_does_not_come_back_either_way(notes: Played) -> None:
    """A node whose undo fails, too, ends the run, and nobody else is touched."""
    notes.member("n1", breaks_on=["1.1.0", "1.0.0"])
    assert "could not be put back on 1.0.0" in ends(notes, "paused", *UP, code=2)
    assert notes.starts()["n2"] == notes.starts()["n3"] == 0


@pytest.mark.slow
def test_a_step_that_fails_in_its_module(notes: Played) -> None:
    """The words of the module are the reason."""
    notes.member("n2", stubborn=True)
    assert "n2: drain failed: n2 does not let go" in ends(notes, "rolled_back", *UP, code=2)
    assert {"n1": "1.1.0", "n2": "1.0.0", "n3": "1.1.0"} == notes.versions()


def test_the_canary_is_watched(notes: Played) -> None:
    """A process that restarts while the first node is watched takes that node back."""

    def meddle() -> None:
        while not any(r.get("step") == "soak" for r in journal.read(notes.run_dir / "journal.jsonl")):
            time.sleep(0.05)
        notes.member("n1", started_at="later")

    meddler = threading.Thread(target=meddle, daemon=True)
    meddler.start()
    ends(notes, "rolled_back", *UP, "-e", "nodewise_soak=1", code=2)
    meddler.join(1)
    assert {"n1": 2, "n2": 0, "n3": 0} == notes.starts()


def test_a_member_is_recovered_and_taken_through_two_hops(notes: Played) -> None:
    """A member that is down is brought back first; then a target two minors away is reached in two rolls."""
    notes.member("n3", serving=False)
    ends(notes, "upgraded", "-e", "nodewise_to=1.2.0", "-e", "nodewise_recover=n3")
    assert dict.fromkeys(NAMES, "1.2.0") == notes.versions()
    assert {"n1": 2, "n2": 2, "n3": 3} == notes.starts()
    order = [r["seq"] for r in notes.journal() if r.get("step") in ("recover", "finalize") and r["phase"] == "end" and r["ok"]]
    hops = [r["seq"] for r in notes.journal() if "hop" in r]
    assert order[0] < hops[0] < order[1] < hops[1] < order[2]


@pytest.mark.slow
def test_a_member_that_cannot_be_recovered(notes: Played) -> None:
    """What does not come back ends the run, and nobody else is touched."""
    notes.member("n3", serving=False, breaks_on=["1.0.0"])
    assert "n3 did not come back" in ends(notes, "paused", *UP, "-e", "nodewise_recover=n3", code=2)
    assert {"n1": 0, "n2": 0, "n3": 1} == notes.starts()


def test_nobody_approved(notes: Played) -> None:
    """Without a terminal and without approval the run pauses before the last member; the playbook that goes back does."""
    said = notes.upgrade(*UP, "-e", "nodewise_approve=").stdout
    assert ("paused", "approval_needed") == tuple(map(notes.summary().get, ("outcome", "reason_code")))
    inventory, plan = f"ansible-playbook -i {notes.folder}/hosts.yml", notes.summary()["plan"]
    of = "-e nodewise_cluster=notes"
    assert f"to go past it: {inventory} playbooks/upgrade.yml {of} -e nodewise_to=1.1.0 -e nodewise_approve={plan}\n" in said
    assert f"to go back: {inventory} playbooks/rollback.yml {of}\n" in said
    assert {"n1": "1.1.0", "n2": "1.0.0", "n3": "1.1.0"} == notes.versions()
    notes.next_run()
    ends(notes, "rolled_back", playbook="rollback")
    assert dict.fromkeys(NAMES, "1.0.0") == notes.versions()
    assert {"n1": 2, "n2": 0, "n3": 2} == notes.starts()


@pytest.mark.slow
def test_a_fact_cache_does_not_give_a_paused_run_to_the_next(notes: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """With facts kept in files, a run that paused is followed by one that goes through."""
    monkeypatch.setenv("ANSIBLE_CACHE_PLUGIN", "jsonfile")
    monkeypatch.setenv("ANSIBLE_CACHE_PLUGIN_CONNECTION", str(notes.folder / "facts"))
    ends(notes, "paused", *UP, "-e", "nodewise_approve=", code=2)
    assert "nodewise_lease" in next((notes.folder / "facts").glob("*n1")).read_text()
    notes.next_run()
    ends(notes, "upgraded", *UP)
    assert dict.fromkeys(NAMES, "1.1.0") == notes.versions()


@pytest.mark.parametrize(("answer", "outcome"), [("yes", "upgraded"), pytest.param("no", "paused", marks=pytest.mark.slow)])
def test_an_operator_at_the_terminal_is_asked(notes: Played, answer: str, outcome: str) -> None:
    """On a terminal the point of no return is a question, and only yes is a yes."""
    command, environment = notes.command(*UP, "-e", "nodewise_approve=")
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
    assert outcome == notes.summary()["outcome"], notes.summary()["reason"]


@pytest.mark.slow
def test_a_node_that_fails_its_suite_is_put_back(notes: Played) -> None:
    """A node that passes all gates and fails a script goes back, and nobody else is touched."""
    assert "service" in ends(notes, "rolled_back", *UP, *suite(notes, 'test "$NODEWISE_HOST" != n1'), code=2)
    assert {"n1": 2, "n2": 0, "n3": 0} == notes.starts()


def test_templates_in_the_inventory(notes: Played) -> None:
    """One may name another host; one of somebody else's, which cannot be filled in here, is not looked at."""
    named = {"nodewise_change": "CHG of {{ hostvars['n2'].inventory_hostname }}", "theirs": "{{ of_another_tool }}"}
    notes.inventory(notes=dict.fromkeys(NAMES, named))
    ends(notes, "planned", *UP, "--check")


@pytest.mark.slow
def test_groups_roll_side_by_side(notes: Played) -> None:
    """Two independent groups: a canary alone, then one of each at a time, and the leaders last."""
    others = ("m1", "m2", "m3")
    for name in others:
        role = "leader" if name == "m1" else "follower"
        notes.member(name, version="1.0.0", role=role, data="other", serving=True, starts=0, started_at="1")
    hosts = {
        **{name: {"nodewise_quorum_group": "a"} for name in NAMES},
        **{name: {"nodewise_quorum_group": "b"} for name in others},
    }
    notes.inventory(notes=hosts)
    ends(notes, "upgraded", *UP)
    assert [["m2"], ["m3", "n1"], ["m1", "n3"], ["n2"]] == [r["nodes"] for r in notes.journal() if "batch" in r]
    assert [1] * 6 == [notes.member(name)["starts"] for name in (*NAMES, *others)]


@pytest.mark.slow
def test_a_component_is_upgraded_on_its_own(notes: Played) -> None:
    """Its versions are those that are planned and judged; the system itself is not touched."""
    for name in NAMES:
        notes.member(name, ink="7.0")
    ends(notes, "upgraded", "-e", "nodewise_component=ink", "-e", "nodewise_to=7.1")
    assert ["7.1"] * 3 == [notes.member(name)["ink"] for name in NAMES]
    assert dict.fromkeys(NAMES, 0) == notes.starts()


@pytest.mark.parametrize("jams", ["", *(pytest.param(how, marks=pytest.mark.slow) for how in ("gate", "suite", "again"))])
def test_steps_of_the_cluster(notes: Played, jams: str) -> None:
    """One member does what comes before the first node and after the last; what fails is taken back, and no node is touched.

    So is what old members fail their suites after; also where it was done before.
    """
    for name in NAMES:
        notes.member(name, page="1.0")
    notes.cluster(width=2 if jams == "again" else 1, narrow=True, stays="width" if jams == "gate" else "")
    words = ["-e", "nodewise_component=page", "-e", "nodewise_to=1.1"]
    words += suite(notes, "exit 1" if jams in ("suite", "again") else "exit 0")
    if jams:
        reason = ends(notes, "rolled_back", *words, code=2)
        assert "It was taken back, and 2 gates hold as before" in reason
        assert jams == "gate" or "core" in reason
        assert ["1.0"] * 3 == [notes.member(name)["page"] for name in NAMES]
        assert 1 == notes.cluster()["width"]
        return
    ends(notes, "upgraded", *words)
    hosts = [json.loads(path.read_text())["hosts"] for path in sorted(notes.run_dir.glob("smoke/*/plan.json"))]
    # All on the wide pages, each new one beside an old one, and all in the end.
    assert [3, 2, 2, 1, 3] == [len(names) for names in hosts]
    assert ["1.1"] * 3 == [notes.member(name)["page"] for name in NAMES]
    assert (2, False, 2) == tuple(map(notes.cluster().get, ("width", "narrow", "changes")))


def test_a_step_of_the_cluster_that_fails_gives_every_node_back(notes: Played) -> None:
    """One member does it for all, and when that fails Ansible takes all for failed; the next run need not wait for their leases."""
    for name in NAMES:
        notes.member(name, page="1.0")
    notes.cluster(width=1, narrow=True, jams="width")
    words = ["-e", "nodewise_component=page", "-e", "nodewise_to=1.1"]
    assert "width is jammed" in ends(notes, "intervention_required", *words, code=2)
    states = {name: json.loads((notes.folder / name / "state.json").read_text()) for name in NAMES}
    assert dict.fromkeys(NAMES) == {name: state.get("lease") for name, state in states.items()}


@pytest.mark.slow
def test_data_is_verified_in_depth_where_that_is_asked_for(notes: Played) -> None:
    """Every member's, at the end; damage that is found holds the run, as the members run the target already."""
    reason = ends(notes, "paused", *UP, "-e", "nodewise_deep_check=true", "-e", "notes_damaged=n3", code=2)
    assert "page 7 is damaged" in reason
    assert dict.fromkeys(NAMES, "1.1.0") == notes.versions()


@pytest.mark.slow
def test_a_limit_that_leaves_members_out(notes: Played) -> None:
    """--limit must not shrink what is looked at."""
    assert "n2, n3" in refused(notes, *UP, "--limit", "n1")


def test_no_node_can_be_reached(notes: Played) -> None:
    """A run in which nobody answers is judged, too, and says who did not."""
    notes.inventory(notes=dict.fromkeys(NAMES, FAR))
    assert f"{', '.join(NAMES)} did not answer" in refused(notes, *UP, code=4)  # Ansible's own, for hosts out of reach


@pytest.mark.parametrize(
    ("words", "env", "says"),
    [
        (("--tags", "switch"), {}, "--tags: no part of this playbook may be left out"),
        (("--skip-tags", "backup"), {}, "--skip-tags: no part"),
        ((), {"ANSIBLE_INJECT_FACT_VARS": "false"}, "ANSIBLE_INJECT_FACT_VARS=true before the command"),
        (("--start-at-task", "Say how it ended"), {}, "there is no run: nodewise.cluster.begin must be the first task"),
    ],
)
def test_what_would_leave_out_a_part(
    notes: Played, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], env: dict[str, str], says: str
) -> None:
    """A run over which Ansible would do nothing, or half, and end well: it fails in one line, and nothing is begun."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    ended = notes.upgrade(*UP, *words)
    assert 2 == ended.returncode
    assert says in ended.stdout + ended.stderr
    assert dict.fromkeys(NAMES, 0) == notes.starts()


SETTINGS = {
    "strategy": {"ANSIBLE_STRATEGY": "free"},
    "any errors are fatal": {"ANSIBLE_ANY_ERRORS_FATAL": "true"},
    "facts are gathered": {"ANSIBLE_GATHERING": "implicit"},
    "another output": {"ANSIBLE_STDOUT_CALLBACK": "minimal"},
    "tags": {"ANSIBLE_RUN_TAGS": "all"},
    "no colour, no cows, no pipelining": {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_PIPELINING": "false", "ANSIBLE_FORKS": "1"},
    "no output": {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline", "ANSIBLE_LOG_PATH": "/dev/null"},
    "mappings are merged": {"ANSIBLE_HASH_BEHAVIOUR": "merge"},
    "another way to be root": {"ANSIBLE_BECOME_METHOD": "su", "ANSIBLE_BECOME": "true"},
    "private variables": {"ANSIBLE_PRIVATE_ROLE_VARS": "true", "ANSIBLE_ERROR_ON_UNDEFINED_VARS": "false"},
    "quiet": {"ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false", "ANSIBLE_DISPLAY_OK_HOSTS": "false", "ANSIBLE_FORCE_HANDLERS": "true"},
    "another language": {"LC_ALL": "C.UTF-8", "LANG": "tr_TR.UTF-8", "LANGUAGE": "tr"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_others(notes: Played, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A node that fails goes back, and nobody else is touched, whatever somebody's ansible.cfg says."""
    for variable, value in SETTINGS[name].items():
        monkeypatch.setenv(variable, value)
    notes.member("n3", breaks_on=["1.1.0"])
    assert "n3" in ends(notes, "rolled_back", *UP, code=2)
    assert {"n1": 1, "n2": 0, "n3": 2} == notes.starts()


def test_a_locale_without_utf_8(notes: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ansible itself refuses to begin, in one line that says what it needs."""
    monkeypatch.setenv("LC_ALL", "C")
    ended = notes.upgrade(*UP)
    assert ended.returncode not in (0, 2)
    (line,) = (ended.stdout + ended.stderr).strip().splitlines()
    assert "requires the locale encoding to be UTF-8" in line
    assert not notes.run_dir.exists()
    assert dict.fromkeys(NAMES, 0) == notes.starts()


@pytest.mark.slow
def test_a_folder_for_modules_that_runs_no_programs(notes: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """A remote_tmp on a file system with noexec, and modules as files in it: they are Python's to run."""
    place = notes.folder / "noexec"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", place], check=True)
    try:
        for variable, value in {"ANSIBLE_REMOTE_TEMP": str(place), "ANSIBLE_PIPELINING": "false"}.items():
            monkeypatch.setenv(variable, value)
        ends(notes, "upgraded", *UP)
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
    assert dict.fromkeys(NAMES, "1.1.0") == notes.versions()


def elsewhere(notes: Played, place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the upgrade from another folder, with a home of its own, and a record wherever it belongs."""
    environment = {**notes.command()[1], "HOME": str(notes.folder), "XDG_STATE_HOME": ""}
    for own in ("NODEWISE_RUN_DIR", "ANSIBLE_CONFIG"):
        environment.pop(own, None)
    command = [notes.command()[0][0], str(ROOT / "playbooks/upgrade.yml"), *UP, *words]
    return subprocess.run(
        command, cwd=place, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def test_from_the_root_of_the_file_system(notes: Played) -> None:
    """Nothing is written there: the record is the user's own, and the run is as any other."""
    before = set(Path("/").iterdir())
    ended = elsewhere(notes, Path("/"), "-i", str(notes.folder / "hosts.yml"), "--check")
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    (record,) = (notes.folder / ".local/state/nodewise/runs").iterdir()
    assert "planned" == json.loads((record / "summary.json").read_text())["outcome"]
    assert before == set(Path("/").iterdir())


def test_a_folder_that_everybody_may_write_to(notes: Played) -> None:
    """Ansible passes over its ansible.cfg, and so finds no cluster: that is said, with what to do."""
    place = notes.folder / "open"
    place.mkdir()
    (place / "ansible.cfg").write_text("[defaults]\ninventory = ../hosts.yml\n")
    place.chmod(0o777)
    ended = elsewhere(notes, place)
    assert 2 == ended.returncode
    assert f"Ansible does not read {place}/ansible.cfg, as everybody may write to that folder: chmod o-w" in ended.stdout


def test_a_variable_that_is_misspelt(notes: Played) -> None:
    """With -e it is refused, with the nearest; nothing is begun."""
    assert "there is no variable nodewise_soack (did you mean nodewise_soak?)" in refused(notes, *UP, "-e", "nodewise_soack=60")


def test_staging_that_fails_on_one_node(notes: Played) -> None:
    """A checksum that does not match on one node ends the run before anything changes."""
    assert "n3: " in refused(notes, *UP, "-e", "notes_bad_stage=n3")


def test_a_backup_that_fails_on_one_node(notes: Played) -> None:
    """It is refused, and nothing is staged anywhere."""
    assert "secure failed on n2: no space left on device" in refused(notes, *UP, "-e", "notes_bad_backup=n2")
    assert "stage" not in [record.get("step") for record in notes.journal()]
