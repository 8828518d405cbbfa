"""A cluster on a testnet: the same playbook that provisions production, as a plain ansible-playbook."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from nodewise.errors import SetupError, UsageError
from nodewise.testnet.state import Testnet, checkout, home

PLAYBOOK = "playbooks/provision.yml"


def check(system: str | None, version: str | None) -> None:
    """Raise UsageError unless the system is one that a role knows, in a version that its releases know."""
    if system is None:
        if version is not None:
            raise UsageError(f"--version {version} needs --system, such as: --system etcd --version {version}")
        return
    known = systems()
    if system not in known:
        raise UsageError(f"no system named {system!r}; known: {', '.join(known) or 'none'} (roles with meta/upgrade.yml)")
    _check_version(system, version)


def systems() -> list[str]:
    """Names of the systems that this checkout has a role for."""
    return sorted(path.parents[1].name for path in (checkout() / "roles").glob("*/meta/upgrade.yml"))


def _check_version(system: str, version: str | None) -> None:
    from nodewise import releases

    versions = releases.known(releases.load_rules(checkout() / "roles" / system))
    if version not in versions:
        found = f"no release {version!r} of {system}" if version else f"--system {system} needs --version"
        raise UsageError(f"{found}; known: {', '.join(versions)}")


def provision(testnet: Testnet) -> None:
    """Run the playbook on this testnet alone; SetupError with the failing task's words. The whole output stays in a log."""
    log = home() / "logs" / f"provision-{testnet.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(Path(sys.executable).with_name("ansible-playbook")), PLAYBOOK]
    with log.open("wb") as output:
        env = environment(testnet)
        done = subprocess.run(words, cwd=checkout(), env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    if done.returncode:
        raise SetupError(f"provisioning {testnet.name} failed: {failure(log.read_text(errors='replace'))}\nAll of it: {log}")


def environment(testnet: Testnet) -> dict[str, str]:
    """For ansible-playbook: our configuration, and this testnet as the whole inventory."""
    config = str(checkout() / "ansible.cfg")
    ours = {"ANSIBLE_CONFIG": config, "ANSIBLE_NOCOLOR": "1", "NODEWISE_TESTNET": testnet.name, "NODEWISE_HOME": str(home())}
    return {**os.environ, **ours}


def failure(output: str) -> str:
    """The line of ansible-playbook's output that says what went wrong: the first error, else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("[ERROR]", "ERROR!", "fatal:"))]
    return (errors or lines[-1:] or ["ansible-playbook said nothing"])[0][:300]
