"""A system is named nowhere outside its own folders: whatever makes a second list of systems is a defect."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.parents[1] for path in ROOT.glob("roles/*/meta/upgrade.yml"))
NAMES = sorted({*(role.name for role in ROLES), *(path.parent.name for role in ROLES for path in role.glob("meta/*/upgrade.yml"))})
ALSO = ["postgres", "nodewise_dcs"]  # what a system is called as well; a variable of one role, which no engine may know
SHORT = 3  # letters: such a name is part of other words, and is looked for as a word of its own
WORDS = [rf"(?<![a-z]){name}(?![a-z])" if len(name) <= SHORT else name for name in NAMES]
NAMED = re.compile("|".join([*WORDS, *ALSO]), re.IGNORECASE)
EXAMPLE = re.compile(rf"(?:--system|such as:?) (?:{'|'.join(NAMES)})\b")  # in a help text, or in an error that says what to type
OWN = re.compile(rf"(src/nodewise/systems|roles)/({'|'.join(NAMES)})/|plugins/(.+/)?({'|'.join(WORDS)})")
DOCUMENTED = {"DOCUMENTATION", "EXAMPLES", "RETURN"}
EXCEPTIONS = {
    "src/nodewise/bench/": "benchmarks measure the systems that they name",
    "src/nodewise/cli/bench.py": "names those benchmarks",
}


def checked(root: Path) -> Iterator[Path]:
    """The files that know no system: engine, plugins, scripts, playbooks, and the roles that are no system."""
    for base in ("src/nodewise", "plugins", "scripts", "playbooks", "roles"):
        for path in sorted((root / base).rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.suffix in (".py", ".yml", ".j2", ".sh") and not OWN.match(name) and not name.startswith(tuple(EXCEPTIONS)):
                yield path


def words(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Each name and each text of a program with its line; docstrings and a plugin's documentation are written for people."""
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        or (isinstance(node, ast.Assign) and DOCUMENTED & {getattr(target, "id", "") for target in node.targets})
    }
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield line, EXAMPLE.sub("", node.value)
        for field in ("id", "attr", "name", "arg", "module", "asname"):
            if isinstance(found := getattr(node, field, None), str):
                yield line, found


def mentions(root: Path) -> list[str]:
    """Each place of a checkout that names a system and is not the system's own."""
    found = []
    for path in checked(root):
        text = path.read_text(encoding="utf-8")
        lines = [line.partition("#")[0] for line in text.splitlines()]
        told = words(ast.parse(text)) if path.suffix == ".py" else enumerate(lines, start=1)
        told = [(0, path.relative_to(root).as_posix()), *told]
        found += [f"{path.relative_to(root)}:{line}: {word.strip()[:80]}" for line, word in told if NAMED.search(word)]
    return found


def test_no_system_is_named() -> None:
    """What differs from one system to the other comes from its role, its collection or its folder in src/nodewise/systems."""
    assert [] == mentions(ROOT)


def test_the_names_are_those_of_the_roles() -> None:
    """Each system of this checkout is looked for, and each component; an exception is a file that is there."""
    assert {"etcd", "patroni", "postgresql"} <= set(NAMES)
    assert [] == [name for name in EXCEPTIONS if not (ROOT / name).exists()]


BAD = {
    "src/nodewise/a.py": 'STORES = {"postgresql": 1}',
    "src/nodewise/b.py": 'def up(system="etcd"): ...',
    "src/nodewise/c.py": 'x = system == "Patroni"',
    "src/nodewise/d.py": "from nodewise.systems.etcd import client",
    "src/nodewise/e.py": "def postgres_url(): ...",
    "src/nodewise/f.py": 'x = f"/opt/nodewise/etcd/{version}"',
    "src/nodewise/g.py": 'x = {"nodewise_dcs": 1}',
    "src/nodewise/h.py": "x = hosts.etcd",
    "src/nodewise/testnet/etcd.py": "import json",
    "src/nodewise/systems/catalog.py": 'x = ["etcd"]',
    "plugins/action/a.py": "x = dict(etcd=1)",
    "scripts/a.py": 'x = "systemctl restart etcd"',
    "playbooks/a.yml": "- hosts: all\n  vars: {unit: etcd}",
    "roles/upgrade/tasks/a.yml": "- when: nodewise_system == 'postgresql'",
    "roles/node/templates/a.j2": "{% if patroni %}",
}
GOOD = {
    "src/nodewise/a.py": '"""About etcd."""\n# as etcd does\ndef up(system):\n    """As PostgreSQL does."""\n',
    "src/nodewise/b.py": 'x = "needs --system, such as: --system etcd --version 1"\ny = "Only this unit, such as etcd."',
    "src/nodewise/bench/roll.py": 'system = "etcd"',
    "src/nodewise/systems/etcd/client.py": 'x = "etcd"',
    "plugins/modules/etcd_info.py": 'x = "etcd"',
    "plugins/modules/any.py": 'EXAMPLES = "- unit: etcd"',
    "plugins/module_utils/postgresql/info.py": 'x = "postgres"',
    "playbooks/a.yml": "# such as etcd\n- hosts: all",
    "roles/etcd/tasks/start.yml": "- name: Start etcd",
}


@pytest.mark.parametrize("path", BAD)
def test_a_name_is_found(path: str, tmp_path: Path) -> None:
    """A list, a default, a branch, an import, a path: each is found in the file where it was planted."""
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(BAD[path])
    assert [path] == [line.split(":")[0] for line in mentions(tmp_path)]


@pytest.mark.parametrize("path", GOOD)
def test_what_may_name_a_system(path: str, tmp_path: Path) -> None:
    """A system's own files, the benchmarks, and what is written for people."""
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(GOOD[path])
    assert [] == mentions(tmp_path)
