"""The molecule scenarios of the roles, each as one test, and what makes one fail."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodewise.testnet.lifecycle import down
from nodewise.testnet.podman import Podman

CHECKOUT = Path(__file__).parents[2]
ROLES = sorted(path.name for path in (CHECKOUT / "roles").iterdir())
QUICK = "node"  # takes the least time
Molecule = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def prefix(testnet_home: Path) -> Iterator[str]:  # noqa: ARG001  (testnets are made in that home)
    """What the names of testnets begin with: nobody else's. Those that a scenario left up are removed."""
    made = f"t{secrets.token_hex(2)}"
    yield made
    for role in ROLES:
        down(made + role)


@pytest.fixture
def molecule(prefix: str, tmp_path: Path) -> Molecule:
    """Runs molecule with words, to its end."""
    programs = Path(sys.executable).parent
    ours = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "ANSIBLE_HOME": str(CHECKOUT / ".cache/ansible"),
        "MOLECULE_EPHEMERAL_DIRECTORY": str(tmp_path),
        "MOLECULE_PREFIX": prefix,
        "NO_COLOR": "1",
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(programs / "molecule"), *words, "--no-command-borders"],
            cwd=CHECKOUT,
            env={**os.environ, **ours},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )

    return run


def test_each_role_has_a_scenario() -> None:
    """A role without one, and a scenario that was moved away, do not pass for tested."""
    assert ROLES == sorted(path.parent.name for path in (CHECKOUT / "molecule").glob("*/molecule.yml"))


@pytest.mark.parametrize(("given", "expected"), [("", "--all"), ("-s node", "-s node"), ("--shared-state", "--all --shared-state")])
def test_make_runs_what_is_named_or_all(given: str, expected: str) -> None:
    """Molecule takes --all for more than any scenario that is named beside it."""
    command = ["make", "--dry-run", "--no-print-directory", "test-molecule", f"ARGS={given}"]
    said = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    assert f"molecule test {expected}" == " ".join(said.splitlines()[-1].split())


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ROLES)
def test_the_scenario_passes(molecule: Molecule, scenario: str) -> None:
    """Made from nothing; checked, converged, checked and converged again without a change; verified, removed."""
    done = molecule("test", "-s", scenario)
    assert 0 == done.returncode, done.stdout[-6000:]
    # molecule passes over a playbook that is not there, and over a verifier without tests, with a warning only
    for action in ("check", "converge", "idempotence", "verify", "destroy"):
        assert f"{scenario} > {action}: Executed: Successful" in done.stdout, done.stdout[-6000:]
    assert " passed in " in done.stdout


@pytest.mark.slow
def test_a_scenario_fails_when_the_role_does_not_keep_its_word(molecule: Molecule, prefix: str) -> None:
    """A user that can log in fails verify; a node that changes fails check mode, and idempotence when no task owns up to it."""

    def root(line: str) -> None:
        subprocess.run(Podman().exec_command(f"{prefix}{QUICK}-n1", ["sh", "-c", line]), check=True)

    def failed(action: str) -> str:
        done = molecule(action, "-s", QUICK)
        assert 0 != done.returncode, done.stdout
        return done.stdout

    assert 0 == molecule("converge", "-s", QUICK).returncode
    assert 0 == molecule("verify", "-s", QUICK).returncode
    root("usermod --shell /bin/sh hello")
    assert "FAILED test_node.py::test_nobody_logs_in_as_the_user" in failed("verify")
    root("usermod --shell /usr/sbin/nologin hello")
    root("systemd-run --quiet --unit=meddler sh -c 'while sleep 0.1; do date +%N >/etc/meddled; done'")
    assert "> /etc/meddled" in failed("check")
    assert "See what changed on the node" in failed("idempotence")
