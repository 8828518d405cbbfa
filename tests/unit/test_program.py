"""Programs on the nodes get an environment of ours, whatever stands in root's."""

from __future__ import annotations

import ast
import base64
import locale
import os
import tarfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.ctl import Etcdctl, Tls
from ansible_collections.nodewise.cluster.plugins.module_utils.host import unit
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import ENVIRONMENT
from ansible_collections.nodewise.cluster.plugins.module_utils.node import sampling
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql import access, evidence
from ansible_collections.nodewise.cluster.plugins.module_utils.release import manager
from ansible_collections.nodewise.cluster.plugins.module_utils.smoke import suite

PLUGINS = Path(__file__).parents[2] / "plugins"
HOSTILE = {
    "LANG": "tr_TR.UTF-8",
    "LC_ALL": "tr_TR.UTF-8",
    "LANGUAGE": "tr",
    "PATH": "/nowhere",
    "PYTHONPATH": "/nowhere",
    "PGHOST": "/nowhere",
    "PGOPTIONS": "-c default_transaction_read_only=on",
    "PGSERVICE": "theirs",
    "PSQLRC": "/nowhere",
    "ETCDCTL_API": "2",
    "ETCDCTL_ENDPOINTS": "http://127.0.0.1:1",
    "ETCD_NAME": "theirs",
    "PATRONI_SCOPE": "theirs",
    "APT_CONFIG": "/nowhere",
    "SYSTEMD_PAGER": "theirs",
    "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nowhere",
}
PROXIES = {"https_proxy": "http://127.0.0.1:1", "NO_PROXY": "10.0.0.0/8"}
# What a shell adds by itself.
SHELL = {"PWD", "SHLVL", "_", "OLDPWD"}


@pytest.fixture
def prints(tmp_path: Path) -> Iterator[Path]:
    """A program that prints its environment, on a machine whose own is hostile."""
    program = tmp_path / "prints"
    program.write_text("#!/bin/sh\nenv\n")
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in (HOSTILE | PROXIES).items():
            patched.setenv(name, value)
        yield program
    was = locale.setlocale(locale.LC_ALL)
    for name in ("C", was):  # the C library keeps what it has translated until another language is set
        locale.setlocale(locale.LC_ALL, name)


def variables(text: str) -> dict[str, str]:
    """What a program printed of its environment, without what its shell added."""
    found = dict(line.partition("=")[::2] for line in text.splitlines())
    return {name: value for name, value in found.items() if name not in SHELL}


def of_probe(program: Path) -> str:
    """What the operator's own probe is given: its words of failure are what it was."""
    lines = []
    for name in (*HOSTILE, "HOME"):
        ask = sampling.operators_probe({"command": f"echo {name}=${name} >&2; exit 1", "timeout": 5.0})
        assert ask
        lines.append(ask().partition(": ")[2])
    assert program
    return "\n".join(line for line in lines if not line.endswith("="))


def of_script(program: Path) -> str:
    """What a script of a suite is given."""
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(program, "10-prints")
    given: dict[str, Any] = {
        "archive": base64.b64encode(packed.getvalue()).decode(),
        "archive_file": None,
        "environment": {},
        "secrets": {},
        "inherit": False,
        "scratch": "",
    }
    given |= {"scripts": [{"name": "10-prints", "timeout": 10}], "keep": [], "workers": 1, "cap": 65536}
    (result,) = suite.run_suite(given)["results"]
    return str(result["stdout"])


HOME = {"HOME": os.path.expanduser("~")}  # noqa: PTH111  as the code under test asks
GIVEN: dict[str, tuple[Callable[[Path], str], dict[str, str]]] = {
    "systemctl, journalctl": (lambda program: unit._run([str(program)], 5).stdout, {}),
    "a package manager": (lambda program: manager.run([str(program)]).stdout, PROXIES),
    "etcdctl": (lambda program: Etcdctl(str(program), Tls(), 1.0).run([], ["http://x"])[1], {"ETCDCTL_API": "3"}),
    "etcdctl with a user": (
        lambda program: Etcdctl(str(program), Tls(), 1.0, ("root", "pw")).run([], ["http://x"])[1],
        {"ETCDCTL_API": "3", "ETCDCTL_USER": "root:pw"},
    ),
    "PostgreSQL's programs": (lambda program: access.run([str(program)], 5.0), {}),
    "the operator's command for backups": (lambda program: evidence.output_of(str(program), 5.0), HOME),
    "the operator's probe": (of_probe, HOME),
}


@pytest.mark.parametrize("who", GIVEN)
def test_it_is_ours(prints: Path, who: str) -> None:
    """The path, a language that all nodes have, and what this one program is told: nothing else."""
    ask, more = GIVEN[who]
    assert {**ENVIRONMENT, **more} == variables(ask(prints))


def test_a_script_of_a_suite_has_a_home_and_the_proxies_and_what_it_is_told(prints: Path) -> None:
    """None of the hostile variables is there, and what docs/smoke.md promises is."""
    found = variables(of_script(prints))
    assert {**ENVIRONMENT, **HOME, **PROXIES}.items() <= found.items()
    assert set(found) - {*ENVIRONMENT, *HOME, *PROXIES, "TMPDIR"} == {name for name in found if name.startswith("NODEWISE_")}


STARTS = {"subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_call", "subprocess.check_output"}
SHELLS = {"os.system", "os.popen", "os.posix_spawn", "os.execv", "os.execvp", "os.execlp"}


def starts(path: Path) -> list[tuple[str, bool]]:
    """The calls in a file that start a program, and whether each says the environment."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    own = [call for call in calls if ast.unparse(call.func) in STARTS | SHELLS]
    return [(f"{path.relative_to(PLUGINS)}:{call.lineno}", "env" in {word.arg for word in call.keywords}) for call in own]


def test_nothing_is_started_with_the_node_s_own() -> None:
    """Each place that starts a program says the environment."""
    files = [path for part in ("module_utils", "modules") for path in (PLUGINS / part).rglob("*.py")]
    found = [call for path in files for call in starts(path)]
    assert len(found) > 5
    assert [] == [place for place, told in found if not told]
