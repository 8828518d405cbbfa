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
BLOCK = re.compile(r"^```\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECONDS = 1200  # of one command on a busy machine


def block(page: str, word: str) -> list[str]:
    """The lines of the first block of a page that has a word in it, without those that show output."""
    found = next(text for text in BLOCK.findall((checkout() / page).read_text()) if word in text)
    return [line for line in found.splitlines() if line[:1].strip()]


def typed(line: str, name: str) -> str:
    """What a line of the documentation prints, typed in the checkout; it must end well."""
    words = re.sub(r"\bdev\b", name, line).replace("testnet up", f"testnet up --name {name}")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "NODEWISE_TESTNET": name}
    command = ["bash", "-c", words]
    done = subprocess.run(command, cwd=checkout(), env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert 0 == done.returncode, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.mark.slow
def test_the_readme(new_name: NewName) -> None:
    """A testnet, a plan, the upgrade that it approves, a suite, the status: what the README says to try."""
    name = new_name()
    (up,) = (line for line in block("README.md", "make demo") if "--system etcd" in line)
    assert f"testnet {name} is up" in typed(up, name)
    look, upgrade, _back, smoke, status = (line.replace("-i inventory ", "") for line in block("README.md", "nodewise_approve"))
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
