"""Suites run by ansible-playbook as an operator runs them, the nodes being this machine: whatever scripts do, the counts add up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.integration.test_control_flow import FAR, Played
from tests.notes import NAMES

from nodewise.record.run import Run
from nodewise.record.summary import summary_of
from nodewise.smoke import session

ROOT = Path(__file__).resolve().parents[2]
GOOD = "#!/bin/sh\n"
SECRET = "correct horse/battery"  # noqa: S105  not one


class Smoked(Played):
    """The cluster of notes, with a folder of suites beside its inventory."""

    def suite(self, name: str, scripts: dict[str, str], declared: str = "") -> None:
        """Make a suite."""
        folder = self.folder / "suites" / name
        folder.mkdir(parents=True)
        for script, text in scripts.items():
            (folder / script).write_text(text)
            (folder / script).chmod(0o755)
        if declared:
            (folder / "suite.yml").write_text(declared)

    def smoke(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run playbooks/smoke.yml."""
        ended = self.upgrade(*words, playbook="smoke")
        assert "Traceback" not in ended.stdout + ended.stderr
        return ended

    def results(self, name: str = "s") -> dict[tuple[str, str], dict[str, Any]]:
        """The last run's results of a session by host and script."""
        told = json.loads((self.run_dir / "smoke" / name / "results.json").read_text())
        return {(one["host"], one["script"]): one for one in told["results"]}


@pytest.fixture
def smoked(tmp_path: Path) -> Smoked:
    """A healthy cluster, without suites."""
    return Smoked(tmp_path)


def test_all_passed(smoked: Smoked) -> None:
    """Each script runs on each host; the record has results, output, merged junit.xml and the counts."""
    smoked.suite("s", {"a": "#!/bin/sh\necho on $NODEWISE_HOST of $NODEWISE_MEMBERS\n", "b": "#!/bin/sh\nexit 77\n"})
    ended = smoked.smoke()
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    said = smoked.summary()
    assert ["passed", 6, 3, 0, 3] == [said["outcome"], *(said["smoke"][k] for k in ("expected", "passed", "failed", "skipped"))]
    assert "on n2 of n1 n2 n3\n" == (smoked.run_dir / "smoke/s/n2/a.out").read_text()
    cases = list(ElementTree.parse(smoked.run_dir / "junit.xml").getroot().iter("testcase"))  # noqa: S314  our own
    assert {"s.n1", "s.n2", "s.n3", "nodewise"} == {one.get("classname") for one in cases}


def test_check_mode_runs_nothing(smoked: Smoked, tmp_path: Path) -> None:
    """It says what would be run where and ends as planned; for a pinned suite it is no last run."""
    smoked.suite("s", {"a": f"#!/bin/sh\ntouch {tmp_path}/ran\n"}, "pinned: true\n")
    ended = smoked.smoke("--check")
    assert (0, "planned") == (ended.returncode, smoked.summary()["outcome"]), ended.stdout + ended.stderr
    assert "s: a on n1, n2, n3" in ended.stdout
    assert "planned: nothing was run in check mode; expected are 3 results" in ended.stdout
    assert [] == [path.name for path in (tmp_path / "ran", smoked.run_dir / "smoke") if path.exists()]


def test_scripts_that_do_what_they_should_not(smoked: Smoked) -> None:
    """Each fails with its reason, those beside it run, and the counts are those that were expected."""
    seconds = f"9{time.monotonic_ns()}"
    smoked.suite(
        "s",
        {
            "background": f"#!/bin/sh\nsleep {seconds} &\n",
            "good": GOOD,
            "interpreter": "#!/no/such/thing\n",
            "junk": "#!/bin/sh\nhead -c 4096 /dev/urandom; exit 3\n",
            "long": f"#!/bin/sh\n# smoke: timeout=0.5\ntrap '' TERM\nsetsid sleep {seconds} & while :; do sleep 0.1; done\n",
            "much": "#!/bin/sh\nhead -c 30000000 /dev/zero | tr '\\0' x; exit 1\n",
            "tap": "#!/bin/sh\necho 1..3; echo ok 1; echo not ok 2 - b\n",
            "vacant": "#!/bin/sh\n# smoke: expect=1\nexit 1\n",
        },
        "where: one\nscripts: {absent: {}}\n",
    )
    (smoked.folder / "suites/s/forgotten").write_text(GOOD)
    ended = smoked.smoke()
    assert 0 != ended.returncode
    reasons = {script: one["reason"] for (_, script), one in smoked.results().items()}
    expected = {
        "absent": "suite.yml speaks of it, and it is not there",
        "forgotten": "has no run bit",
        "interpreter": "its interpreter /no/such/thing is not on this host",
        "junk": "exit code 3",
        "long": "timeout: no end after 0.5 s; it ignored SIGTERM",
        "much": "exit code 1",
        "tap": "2 of 3 failed: b",
    }
    assert {name for name, reason in reasons.items() if reason} == expected.keys()
    assert [] == [name for name, text in expected.items() if text not in reasons[name]]
    assert [10, 3, 7, 1] == [smoked.summary()["smoke"][key] for key in ("expected", "passed", "failed", "timeouts")]
    assert 300_000 > (smoked.run_dir / "smoke/s/n1/much.out").stat().st_size
    found = subprocess.run(["pgrep", "-f", seconds], capture_output=True, text=True, check=False)
    assert "" == found.stdout


def test_a_host_that_cannot_be_reached(smoked: Smoked) -> None:
    """Its scripts have failed, the others' have not."""
    smoked.suite("s", {"a": GOOD, "b": GOOD})
    smoked.inventory(notes={"n1": {}, "n2": FAR, "n3": {}})
    assert 0 != smoked.smoke().returncode
    assert [6, 4, 2, 4] == [smoked.summary()["smoke"][key] for key in ("expected", "passed", "failed", "reported")]
    assert "did not report: the host cannot be reached" in smoked.results()["n2", "a"]["reason"]


@pytest.mark.slow
def test_no_host_can_be_reached(smoked: Smoked) -> None:
    """The run has an end and a summary, in which all have failed."""
    smoked.suite("s", {"a": GOOD})
    smoked.inventory(notes=dict.fromkeys(NAMES, FAR))
    assert 0 != smoked.smoke().returncode
    assert ["failed", 3, 3] == [smoked.summary()["outcome"], *(smoked.summary()["smoke"][key] for key in ("expected", "failed"))]


@pytest.mark.slow
def test_a_module_that_cannot_run(smoked: Smoked) -> None:
    """A host without Python has not reported, and says why."""
    smoked.suite("s", {"a": GOOD})
    smoked.inventory(notes={"n1": {}, "n2": {"ansible_python_interpreter": "/no/python"}, "n3": {}})
    assert 0 != smoked.smoke().returncode
    assert "did not report" in smoked.results()["n2", "a"]["reason"]
    assert [3, 2, 1] == [smoked.summary()["smoke"][key] for key in ("expected", "passed", "failed")]


@pytest.mark.slow
def test_all_skipped_is_no_pass(smoked: Smoked) -> None:
    """Nothing was tried, and the run says so."""
    smoked.suite("s", {"a": "#!/bin/sh\nexit 77\n"})
    ended = smoked.smoke()
    assert 0 != ended.returncode
    assert "nothing was tried" in ended.stdout
    assert "failed" == smoked.summary()["outcome"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["nodewise_suite=nothing"], "no suite 'nothing'; there are: "),
        pytest.param(["nodewise_suite=empty"], "has no executables", marks=pytest.mark.slow),
        pytest.param(["nodewise_suite=odd"], "where is 'moon'; expected each, one, versions, controller", marks=pytest.mark.slow),
        pytest.param(
            ["nodewise_suite=late", "nodewise_tier=basic"],
            "nothing to run: no script of tier basic in late",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_refused(smoked: Smoked, words: list[str], reason: str) -> None:
    """What cannot be run is refused with the reason, before anything is."""
    smoked.suite("empty", {})
    smoked.suite("odd", {"a": GOOD}, "where: moon\n")
    smoked.suite("late", {"a": GOOD}, "tier: full\n")
    assert 0 != smoked.smoke(*(part for word in words for part in ("-e", word))).returncode
    assert "refused" == smoked.summary()["outcome"]
    assert reason in smoked.summary()["reason"]


def test_a_refusal_in_the_view(smoked: Smoked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the callback that shows a run the reason is told once, then where the record is; no other run is offered."""
    monkeypatch.setenv("ANSIBLE_STDOUT_CALLBACK", "nodewise.cluster.live")
    ended = smoked.smoke("-e", "nodewise_suite=nothing")
    assert (2, 1) == (ended.returncode, ended.stdout.count("no suite 'nothing'"))
    assert ended.stdout.splitlines()[-1].startswith("record    ")
    assert "playbooks/upgrade" not in ended.stdout


def test_secrets_are_masked_everywhere(smoked: Smoked) -> None:
    """A script sees a secret of the inventory's; no file of the record and no line of the output has it."""
    script = '#!/bin/sh\necho "it is $TOKEN"; echo "$TOKEN" > "$NODEWISE_ARTIFACTS/kept"; [ "${#TOKEN}" = 21 ]\n'
    smoked.suite("s", {"a": script, "b": "#!/bin/sh\necho $TOKEN >&2; exit 1\n"}, "secrets: {TOKEN: my_token}\nwhere: one\n")
    ended = smoked.smoke("-e", json.dumps({"my_token": SECRET}), "-vvv")
    assert "pass" == smoked.results()["n1", "a"]["status"]
    assert "it is ********\n" == (smoked.run_dir / "smoke/s/n1/a.out").read_text()
    assert "********\n" == (smoked.run_dir / "smoke/s/n1/a/kept").read_text()
    kept = [path for path in smoked.run_dir.rglob("*") if path.is_file() and path.name != "run.json"]  # run.json has our own -e
    assert [] == [path for path in kept if b"battery" in path.read_bytes()]
    assert "battery" not in ended.stdout.replace(json.dumps({"my_token": SECRET}), "")


@pytest.mark.parametrize(
    ("value", "reason"),
    [({}, "which is not defined"), pytest.param({"my_token": "abc"}, "cannot be masked", marks=pytest.mark.slow)],
)
def test_a_secret_that_cannot_be_used(smoked: Smoked, value: dict[str, str], reason: str) -> None:
    """Nothing is run without it, and each result says so."""
    smoked.suite("s", {"a": GOOD}, "secrets: {TOKEN: my_token}\n")
    assert 0 != smoked.smoke("-e", json.dumps(value)).returncode
    assert reason in smoked.results()["n3", "a"]["reason"]


def test_a_retry_that_passes_is_flaky(smoked: Smoked) -> None:
    """Only where it was asked for; it is counted and shown, with what it failed by before."""
    state = smoked.folder / "tried"
    script = f"#!/bin/sh\n# smoke: retries=1\n[ -e {state} ] && exit 0\ntouch {state}; echo too early >&2; exit 1\n"
    smoked.suite("s", {"a": script, "b": "#!/bin/sh\n# smoke: retries=2\nexit 1\n", "c": "#!/bin/sh\nexit 1\n"}, "where: one\n")
    ended = smoked.smoke()
    found = {script: [one["status"], one["attempts"], one["flaky"]] for (_, script), one in smoked.results().items()}
    assert {"a": ["pass", 2, True], "b": ["fail", 3, False], "c": ["fail", 1, False]} == found
    assert 1 == smoked.summary()["smoke"]["flaky"]
    assert "failed before: exit code 1, expected 0: too early" in ended.stdout
    assert "too early\n" == (smoked.run_dir / "smoke/s/n1/a.attempt1.err").read_text()


def test_where_suites_run(smoked: Smoked) -> None:
    """On each, on one, on one of each version, on the controller."""
    smoked.member("n3", version="1.1.0")
    for where in ("each", "one", "versions", "controller"):
        smoked.suite(where, {"a": GOOD}, f"where: {where}\n")
    ended = smoked.smoke()
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    hosts = {one["suite"]: one["hosts"] for one in smoked.summary()["smoke"]["sessions"]}
    assert {"each": [*NAMES], "one": ["n1"], "versions": ["n1", "n3"], "controller": ["controller"]} == hosts


@pytest.mark.slow
def test_tier_and_slow(smoked: Smoked) -> None:
    """A tier takes in those before it; slow scripts can be left out."""
    scripts = {tier: f"#!/bin/sh\n# smoke: tier={tier}\n" for tier in ("core", "basic", "full", "stress")}
    smoked.suite("s", {**scripts, "slow": "#!/bin/sh\n# smoke: slow\n"}, "where: one\n")
    smoked.smoke("-e", "nodewise_tier=full", "-e", "nodewise_skip_slow=true")
    assert {"core", "basic", "full"} == {script for _, script in smoked.results()}


def test_one_host_after_the_other(smoked: Smoked) -> None:
    """A serial suite is never on two hosts at once; scripts run at once where suite and operator allow it."""
    lock = smoked.folder / "lock"
    smoked.suite("alone", {"a": f"#!/bin/sh\nmkdir {lock} || exit 1\nsleep 0.3\nrmdir {lock}\n"}, "serial: true\n")
    meet = "#!/bin/sh\n# smoke: timeout=10\ntouch $NODEWISE_SCRIPT.on\nwhile [ ! -e $OTHER.on ]; do sleep 0.1; done\n"
    both = {"x": meet.replace("$OTHER", "y"), "y": meet.replace("$OTHER", "x")}
    smoked.suite("together", both, "parallel: true\nwhere: one\n")
    ended = smoked.smoke("-e", "nodewise_parallel=true", "-e", "nodewise_workers=2")
    assert 0 == ended.returncode, ended.stdout + ended.stderr


def test_a_large_suite(smoked: Smoked) -> None:
    """One that does not go with the task is copied, and nothing of it stays."""
    smoked.suite("s", {"a": "#!/bin/sh\n[ $(wc -c < data) = 2000000 ]\n"}, "where: one\n")
    (smoked.folder / "suites/s/data").write_bytes(os.urandom(2_000_000))
    ended = smoked.smoke()
    assert 0 == ended.returncode, ended.stdout + ended.stderr


def test_the_module_alone(smoked: Smoked) -> None:
    """A play of one's own gets typed results, and fails as the suite does."""
    smoked.suite("s", {"a": "#!/bin/sh\necho 1..1; echo ok 1 - fine\n", "b": "#!/bin/sh\nexit 1\n"})
    play = [
        {
            "hosts": "n1",
            "gather_facts": False,
            "tasks": [
                {"nodewise.cluster.smoke": {"suite": str(smoked.folder / "suites/s")}, "register": "it", "ignore_errors": True},
                {"ansible.builtin.copy": {"content": "{{ it | to_json }}", "dest": str(smoked.folder / "it.json")}},
            ],
        }
    ]
    (smoked.folder / "play.yml").write_text(json.dumps(play))
    command, environment = smoked.command()
    command[1] = str(smoked.folder / "play.yml")
    subprocess.run(command, check=True, env=environment, cwd=ROOT, capture_output=True)
    it = json.loads((smoked.folder / "it.json").read_text())
    assert [True, 2, 1, 1] == [it["failed"], it["expected"], it["passed"], it["failed_scripts"]]
    assert "1 of 2 failed, the first b: exit code 1, expected 0" == it["msg"]
    assert [{"name": "fine", "status": "pass"}] == it["results"][0]["cases"]


UPGRADE = """
- hosts: all:localhost
  gather_facts: false
  tasks:
    - nodewise.cluster.begin: {kind: upgrade, to: "2", record: true}
      run_once: true
    - ansible.builtin.meta: end_host
      when: inventory_hostname not in nodewise_run.members
    - ansible.builtin.include_tasks: node.yml
      loop: [n1, n2, n3]
    - ansible.builtin.copy: {content: "{{ hurt | default('none') }}", dest: "FOLDER/{{ inventory_hostname }}.after"}
"""
NODE = """
- when: inventory_hostname == item
  block:
    - ansible.builtin.include_role: {name: nodewise.cluster.smoke, tasks_from: run, rolespec_validate: false}
      vars: {smoke_hosts: ["{{ item }}"], smoke_about: "{{ item }}", smoke_required: false}
  rescue:
    - ansible.builtin.set_fact: {hurt: "{{ ansible_failed_result.msg }}"}
"""


def test_between_the_nodes_of_an_upgrade(smoked: Smoked) -> None:
    """The role runs on the current node alone; where its suite fails, that node is rescued, and no other one is."""
    smoked.suite("s", {"a": "#!/bin/sh\n[ $NODEWISE_HOST != n2 ]\n"})
    smoked.suite("later", {"a": "#!/bin/sh\nexit 1\n"}, "tier: basic\n")
    smoked.suite("here", {"a": GOOD}, "where: controller\n")
    (smoked.folder / "play.yml").write_text(UPGRADE.replace("FOLDER", str(smoked.folder)))
    (smoked.folder / "node.yml").write_text(NODE)
    command, environment = smoked.command()
    command[1] = str(smoked.folder / "play.yml")
    ended = subprocess.run(command, check=False, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    after = [(smoked.folder / f"{name}.after").read_text() for name in NAMES]
    assert ["none", True, "none"] == [after[0], "s: smoke_passed: scripts failed" in after[1], after[2]]
    totals = session.totals(smoked.run_dir)
    assert [6, 5, 1] == [totals[key] for key in ("expected", "passed", "failed")]
    assert [("n1", True), ("n2", False), ("n3", True)] == [
        (one["about"], one["ok"]) for one in totals["sessions"] if one["suite"] == "s"
    ]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_playbook_that_ends_early(smoked: Smoked, how: signal.Signals) -> None:
    """On Ctrl-C, and even when it is killed, scripts end with the playbook, and the run is known as interrupted."""
    seconds = f"9{time.monotonic_ns()}"
    smoked.suite("s", {"a": f"#!/bin/sh\ntrap '' INT TERM HUP\nsleep {seconds}\n"})
    command, environment = smoked.command(playbook="smoke")
    running = subprocess.Popen(
        command,
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    until(lambda: len(pids(seconds)) == 3)
    os.killpg(running.pid, signal.SIGINT) if how == signal.SIGINT else running.kill()
    running.wait(30)
    until(lambda: not pids(seconds))
    file = smoked.run_dir / "summary.json"
    assert (how == signal.SIGINT) == file.exists()
    assert "interrupted" == (json.loads(file.read_text()) if file.exists() else summary_of(Run(smoked.run_dir)))["outcome"]


def pids(word: str) -> list[str]:
    """The processes that sleep for so long."""
    found = subprocess.run(["pgrep", "-fx", f"sleep {word}"], capture_output=True, text=True, check=False)
    return found.stdout.split()


def until(reached: Any, seconds: float = 40) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.1)
