"""The callback nodewise.cluster.live under a real ansible-playbook."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
JOURNAL = ROOT / "tests/cases/view/rolled_back.jsonl"

ORDINARY = [
    {"name": "Look", "ansible.builtin.command": "true", "changed_when": False},
    {"name": "Change", "ansible.builtin.command": "true"},
    {
        "name": "Rescue",
        "block": [{"name": "Fail inside", "ansible.builtin.command": "ls /no/such/folder"}],
        "rescue": [{"name": "Tell", "ansible.builtin.debug": {"msg": "rescued"}}],
    },
    {"name": "Fail at last", "ansible.builtin.command": "ls /nowhere"},
]
ONCE = {"run_once": True}
UPGRADE = [
    {"name": "Begin", "nodewise.cluster.begin": {"kind": "upgrade", "record": True, "to": "3.5.16"}, **ONCE},
    {
        "name": "Write",
        "ansible.builtin.shell": f"tail -n +2 {JOURNAL} >> {{{{ nodewise_run.dir }}}}/journal.jsonl",
        "run_once": True,
    },
    {"name": "Say how it ended", "nodewise.cluster.summary": {}, **ONCE},
]


def play(folder: Path, tasks: list[object], *arguments: str, view: str = "auto") -> tuple[int, str]:
    """The exit code and the output of a playbook with these tasks on two hosts that are this machine."""
    hosts = {name: {"ansible_connection": "local", "ansible_python_interpreter": sys.executable} for name in ("n1", "n2", "n3")}
    inventory = {"demo": {"hosts": hosts, "vars": {"nodewise_system": "etcd"}}}
    (folder / "inventory.yml").write_text(yaml.safe_dump(inventory))
    (folder / "play.yml").write_text(yaml.safe_dump([{"hosts": "demo", "gather_facts": False, "tasks": tasks}]))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NODEWISE_", "ANSIBLE_"))}
    environment |= {"ANSIBLE_STDOUT_CALLBACK": "nodewise.cluster.live", "ANSIBLE_HOME": str(folder / "home"), "NODEWISE_VIEW": view}
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "inventory.yml", "play.yml", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_an_ordinary_playbook(tmp_path: Path) -> None:
    """What changed is a line with its time, a failure two; what is ok or rescued is none; exit codes stay Ansible's."""
    code, said = play(tmp_path, ORDINARY, "--limit", "n1")
    assert code == 2
    lines = said.splitlines()
    assert lines[0].endswith("s): changed n1")
    assert "  Change (" in lines[0]
    assert lines[1] == "rescued"
    assert re.fullmatch(r"n1: Fail at last failed: .*non-zero return code\.?", lines[2])  # ansible-core 2.21 says it in a sentence
    assert lines[3:] == ["  ls: cannot access '/nowhere': No such file or directory"]


def test_a_run_is_followed(tmp_path: Path) -> None:
    """The journal's events are told until the end, then the summary, once; the play fails with the run."""
    code, said = play(tmp_path, UPGRADE)
    assert code == 2
    assert "n3  gate members_serving failed: a member does not serve" in said
    assert said.count("rolled_back: n3: switch failed") == 1
    assert said.index("rolled_back:") < said.index("n1  3.4.23  leader, serves") < said.index("record    ")
    assert "Traceback" not in said


def test_somebody_else_shows_the_run(tmp_path: Path) -> None:
    """With NODEWISE_VIEW=off nothing of the run is printed."""
    code, said = play(tmp_path, UPGRADE, view="off")
    assert (code, said) == (2, "")


@pytest.mark.parametrize("flag", ["-v", pytest.param("-vvv", marks=pytest.mark.slow)])
def test_verbose_is_ansibles_own(tmp_path: Path, flag: str) -> None:
    """With -v Ansible's default output is there, whole."""
    _code, said = play(tmp_path, ORDINARY, "--limit", "n1", flag)
    assert "TASK [Fail inside]" in said
    assert "PLAY RECAP" in said
