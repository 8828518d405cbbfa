"""The quick starts of the documentation, typed as they stand there: only the testnet has a name that nobody else has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nodewise.testnet.home import checkout

NewName = Callable[[], str]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = 1200  # of one command on a busy machine


def block(page: str, word: str) -> list[str]:
    """The lines of the first block of a page that has a word in it, without those that show output."""
    found = next(text for kind, text in BLOCK.findall((checkout() / page).read_text()) if not kind and word in text)
    return [line for line in found.splitlines() if line[:1].strip()]


def typed(line: str, name: str, code: int = 0, **others: str) -> str:
    """What a line of the documentation prints, typed in the checkout; it must end with `code`.

    `others` are testnets that the page calls otherwise: its name, and the one that nobody else has.
    """
    words = re.sub(r"testnet up(?!.*--name)", "testnet up --name dev", line.replace("-i inventory ", ""))
    for called, named in {"dev": name, **others}.items():
        words = re.sub(rf"\b{called}\b", named, words)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "NODEWISE_TESTNET": name}
    command = ["bash", "-c", f"set -e; {words}"]
    done = subprocess.run(
        command,
        cwd=checkout(),
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert code == done.returncode, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def record(said: str) -> str:
    """The folder of the record that a run named last."""
    return re.findall(r"runs/[\w.-]+", said)[-1]


@pytest.mark.slow
def test_the_readme(new_name: NewName) -> None:
    """A testnet, a plan, the upgrade that it approves, a suite, the status: what the README says to try."""
    name = new_name()
    (up,) = (line for line in block("README.md", "make demo") if "--system etcd" in line)
    assert f"testnet {name} is up" in typed(up, name)
    look, upgrade, *others = block("README.md", "nodewise_approve")
    smoke, status = (next(line for line in others if f"playbooks/{book}.yml" in line) for book in ("smoke", "status"))
    digest = re.search(r"plan (\w{12}): upgrade of", typed(look, name))
    assert digest
    assert "upgraded: every member runs 3.5.16" in typed(
        re.sub(r"nodewise_approve=\w+", f"nodewise_approve={digest[1]}", upgrade), name
    )
    assert " 0 failed" in typed(smoke, name)
    assert f"{name} is healthy" in typed(status, name)


@pytest.mark.slow
def test_postgresql(new_name: NewName) -> None:
    """Each upgrade changes what runs, and the way back takes it back."""
    name = new_name()
    up, minor, patroni, back, smoke = block("docs/postgresql.md", "testnet up")
    typed(up, name)
    assert "upgraded: every member runs 15.20" in typed(minor, name)
    assert "upgraded: every member runs 4.0.11" in typed(patroni, name)
    assert "rolled_back" in typed(back, name)
    assert " 0 failed" in typed(smoke, name)


@pytest.mark.slow
def test_a_service_of_ones_own(new_name: NewName, tmp_path: Path) -> None:
    """The example is written, has nothing wrong, and is provisioned, upgraded, taken back and wiped."""
    name = new_name()
    init, lint, up, upgrade, back, wipe = (
        line.replace("greeter/", f"{tmp_path}/greeter/").replace("init greeter", f"init {tmp_path}/greeter")
        for line in block("docs/app.md", "app init")
    )
    typed(init, name)
    typed(lint, name)
    assert f"testnet {name} is up" in typed(up, name)
    assert "upgraded: every member runs 1.1.0" in typed(upgrade, name)
    assert "rolled_back" in typed(back, name)
    typed(wipe, name)
    assert "" == typed(f"testnet exec {name}-n1 -- systemctl list-units --quiet 'greeter*'", name).strip()


@pytest.mark.slow
def test_testnets(new_name: NewName) -> None:
    """All that a testnet can do, in the order of its page."""
    name, lab, pg = new_name(), new_name(), new_name()
    page = block("docs/testnets.md", "testnet list")
    assert 14 == len(page)
    said: dict[str, str] = {}
    for line in page:
        rehearsed = next((text for words, text in said.items() if words.startswith("testnet run rolling-upgrade")), "")
        run = record(rehearsed) if "<run-id>" in line else ""
        said[line] = typed(line.replace("runs/<run-id>", run), name, lab=lab, pg=pg)
    assert "upgraded: every member runs 3.5.16" in next(text for line, text in said.items() if "upgrade.yml" in line)
    assert "no testnets" in typed("testnet list", name)


@pytest.mark.slow
def test_operations(new_name: NewName) -> None:
    """The status, the plan with each of its options, the upgrade, and the way back, which is refused by then."""
    name = new_name()
    typed("testnet up --nodes 3 --system etcd --version 3.4.23", name)
    status, look, upgrade, back = block("docs/operations.md", "nodewise_approve")
    assert f"{name} is healthy" in typed(status, name)
    digest = re.search(r"plan (\w{12}): upgrade of", typed(look, name))
    assert digest
    for option in block("docs/operations.md", "-e nodewise_plan=HASH"):
        if not re.search("nodewise_(recover|component|deep_check)=", option):  # not for a sound cluster of etcd
            typed(f"{look.partition('#')[0]} {option.replace('HASH', digest[1])}", name)
    upgraded = typed(re.sub(r"nodewise_approve=\w+", f"nodewise_approve={digest[1]}", upgrade), name)
    assert "upgraded: every member runs 3.5.16" in upgraded
    assert "cannot be taken back" in typed(back, name, code=2)  # past its point of no return, and says what is left


@pytest.mark.slow
def test_smoke(new_name: NewName) -> None:
    """Suites on a cluster of the inventory, and on a testnet."""
    name = new_name()
    typed("testnet up --nodes 3 --system etcd --version 3.4.23", name)
    for line in block("docs/smoke.md", "nodewise smoke"):
        assert ("--check" in line) or " 0 failed" in typed(line, name)


@pytest.mark.slow
def test_simulation(new_name: NewName) -> None:
    """A scenario, its plan, its record judged and performed again, and a plan rehearsed."""
    name = new_name()
    up, dry, own, heal = block("docs/simulation.md", "--dry-run")
    run = record(typed(up, name))
    typed(dry, name)
    typed(own.replace("my/scenario.yml", "scenarios/one-node-isolated.yml"), name)
    typed(heal, name)
    asked = (line for line in block("docs/simulation.md", "--checker durable") if ".edn" not in line)
    for line in asked:
        assert "invalid" not in typed(re.sub(r"runs/[\w-]+", run, line), name)
    for line in block("docs/simulation.md", "testnet replay")[:2]:
        typed(re.sub(r"runs/[\w-]+", run, line), name)
