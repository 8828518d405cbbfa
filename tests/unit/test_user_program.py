"""Clients that are a program of the user's own: what is understood, and what is made of one that fails."""

import shutil
import sys
from contextlib import closing
from pathlib import Path

import pytest

from nodewise.errors import UsageError
from nodewise.model import Operation
from nodewise.simulation.checkers.registry import judge, merge
from nodewise.simulation.workloads import program, register
from nodewise.simulation.workloads.client import Credentials
from nodewise.simulation.workloads.final import final_reads
from nodewise.simulation.workloads.history import History, read_history
from nodewise.simulation.workloads.load import Load, Shape
from nodewise.simulation.workloads.program import Programs, words

STORE = """#!{python}
import fcntl, json, sys
for line in sys.stdin:
    asked = json.loads(line)
    with open("{file}", "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        store = json.load(file)
        if asked["f"] not in ("open", "read"):
            store[asked["key"]] = asked["value"]
            file.seek(0)
            json.dump(store, file)
    print(json.dumps(dict(type="ok", value=store.get(asked.get("key")))), flush=True)
"""
WRITE = Operation(0, "invoke", "write", "k", "0.1", 0, "n1")


def programs(folder: Path, text: str) -> Programs:
    """Clients that run a script."""
    path = folder / "w"
    path.write_text(text)
    path.chmod(0o755)
    return Programs(words("./w", folder), {"n1": "http://n1", "n2": "http://n2"}, Credentials("a", "b", "c", "d"), folder / "log")


def test_a_program_that_does_its_work_is_judged(tmp_path: Path) -> None:
    """A load, and final reads key by key through each node, by processes of the user's program: valid."""
    (tmp_path / "store").write_text("{}")
    clients = programs(tmp_path, STORE.replace("{python}", sys.executable).replace("{file}", str(tmp_path / "store")))
    with History(tmp_path / "history.jsonl") as history:
        load = Load(clients, ["n1", "n2"], history, Shape("/p/", clients=2, keys=4, rate=2000)).start()
        while load.stats().ok < 60:
            assert not clients.trouble
        load.stop()
        final_reads(clients, ["n1", "n2"], history, "/p/")
    verdict = merge([*judge(read_history(history.path), register.checkers), *clients.verdicts()])
    assert "valid" == verdict.valid, verdict.says
    assert {"n1", "n2"} == {o.node for o in read_history(history.path) if o.final}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("echo disk on fire >&2; exit 3", "w died with exit code 3 (disk on fire) while it performed write of k"),
        ("kill -9 $$", "w died with exit code -9 while it performed write of k"),
        ("echo hello", "w answered write of k with what is no answer: JSON is malformed"),
        ('echo \'{"type": "okay"}\'', "w answered write of k with what is no answer: Invalid enum value 'okay'"),
        ("echo '[]'", "w answered write of k with what is no answer: Expected `object`, got `array`"),
        ("exec sleep 60", "w did not answer within 0.5 s while it performed write of k"),
    ],
)
def test_a_program_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, says: str) -> None:
    """Its operation is `info`, and the verdict unknown, in words; it is ended."""
    clients = programs(tmp_path, f'#!/bin/sh\nread -r line; echo \'{{"type": "ok"}}\'; read -r line; {body}\n')
    with closing(clients("n1")) as client:
        client.open()
        monkeypatch.setattr(program, "PATIENCE", 0.5)
        done = client.invoke(WRITE)
    assert "info" == done.type
    (verdict,) = clients.verdicts()
    assert "unknown" == verdict.valid
    assert verdict.says.startswith(says)


def test_a_program_that_cannot_connect(tmp_path: Path) -> None:
    """It says so itself: nothing was sent, and nothing is wrong with it."""
    clients = programs(tmp_path, '#!/bin/sh\nread -r line; echo \'{"type": "fail", "error": "no route"}\'\n')
    with closing(clients("n1")) as client, pytest.raises(ConnectionError, match="no route"):
        client.open()
    assert [] == clients.verdicts()


def test_a_program_that_always_fails_is_not_started_for_ever(tmp_path: Path) -> None:
    """After ten times it is left alone; what was wrong first is said, and how often."""
    clients = programs(tmp_path, f"#!/bin/sh\necho x >>{tmp_path}/started; exit 1\n")
    for _ in range(20):
        with closing(clients("n1")) as client, pytest.raises(ConnectionError):
            client.open()
    assert program.ENOUGH == len((tmp_path / "started").read_text().split())
    (verdict,) = clients.verdicts()
    assert "w died with exit code 1 while it performed open, and 9 times more" == verdict.says


@pytest.mark.parametrize("command", ["./none", "./plain", "'", "", "no-such-program-anywhere"])
def test_a_command_that_cannot_be_run(tmp_path: Path, command: str) -> None:
    """It is refused before anything is made."""
    (tmp_path / "plain").write_text("not executable")
    with pytest.raises(UsageError, match="workload command"):
        words(command, tmp_path)


def test_a_command_by_its_name() -> None:
    """It is found as a shell would, with its words."""
    assert [shutil.which("sh"), "-c", "a b"] == words("sh -c 'a b'", Path("/"))
