"""Who may import whom: ARCHITECTURE.md "Directions" as data, held against the imports as they stand."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = "ansible_collections.nodewise.cluster."

# A part is a module or package of src/nodewise. Each layer may use those below it; `peers` may also use their own layer.
LAYERS = [
    {"cli"},
    {"bench", "scenario", "playbook", "view", "board", "telling", "testnet"},
    {"plan", "plan_text", "gates", "roll", "journal", "lease", "record", "releases", "debian", "offered", "pypi", "pki"}
    | {"workloads", "checkers"}
    | {"backups", "judging", "observing", "preflight", "smoke", "soak", "summary"},
    {"model", "errors", "nodewise"},
]
KINDS = {"workloads", "checkers"}  # they never import each other, nor the engine: they meet by name
NODE_SIDE = {"plugins/modules", "plugins/module_utils"}  # on the nodes there is the standard library and nothing else
ROLES_FOR_ALL = {"nodewise.cluster.node", "nodewise.cluster.release", "nodewise.cluster.smoke"}


def imports(path: Path) -> Iterator[str]:
    """Full names of what a file imports; `from a import b` gives a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            yield from (f"{dots}{node.module or ''}.{alias.name}" for alias in node.names)


def part(name: str) -> str:
    """The part of nodewise that a dotted name lies in; the package itself is "nodewise"."""
    words = name.split(".")
    return words[1] if len(words) > 1 and any(words[1] in layer for layer in LAYERS) else "nodewise"


def layer(name: str) -> int:
    """How deep a part lies, the top being 0."""
    return next(depth for depth, parts in enumerate(LAYERS) if name in parts)


def engine_problem(here: str, name: str) -> str | None:
    """Why a file of the part `here` may not import `name`, or None."""
    if name.startswith("."):
        return "is relative; a full name is expected"
    if name.startswith("ansible_collections."):
        return "is a plugin: nodewise knows none"
    if name.split(".", maxsplit=1)[0] != "nodewise":
        return None
    there = part(name)
    if here == there:
        return None
    if {here, there} & KINDS and layer(here) == layer(there):
        return "is another kind, or the engine: they meet by name"
    return None if layer(there) >= layer(here) else "lies in a layer above"


def plugin_problem(folder: str, name: str) -> str | None:
    """Why a plugin in `folder` (plugins/modules, ...) may not import `name`, or None."""
    if folder not in NODE_SIDE:
        return "is a module, which runs on the nodes" if name.startswith(f"{COLLECTION}plugins.modules") else None
    if name.startswith(COLLECTION):
        return None if name.startswith(f"{COLLECTION}plugins.module_utils.") else "does not go to the nodes"
    if name.startswith(("ansible.module_utils.", ".")):
        return None
    return None if name.split(".", maxsplit=1)[0] in sys.stdlib_module_names else "is not on the nodes"


def engine_problems(root: Path) -> Iterator[str]:
    """Each arrow out of src/nodewise that is not allowed."""
    base = root / "src/nodewise"
    for path in sorted(base.rglob("*.py")):
        here = path.relative_to(base).with_suffix("").parts[0]
        here = "nodewise" if here == "__init__" else here
        if not any(here in parts for parts in LAYERS):
            yield f"src/nodewise/{here}: in no layer; give it one in ARCHITECTURE.md and in this test"
            continue
        for name in imports(path):
            problem = engine_problem(here, name)
            if problem:
                yield f"{path.relative_to(root)}: imports {name}, which {problem}"


def plugin_problems(root: Path) -> Iterator[str]:
    """Each arrow out of plugins/ that is not allowed."""
    for path in sorted(root.glob("plugins/*/*.py")):
        for name in imports(path):
            problem = plugin_problem(str(path.parent.relative_to(root)), name)
            if problem:
                yield f"{path.relative_to(root)}: imports {name}, which {problem}"


def included_roles(value: object) -> Iterator[str]:
    """Names of the roles that a tasks file or a meta/main.yml includes; nested blocks too."""
    if isinstance(value, list):
        for item in value:
            yield from included_roles(item)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key.rsplit(".", 1)[-1] in {"include_role", "import_role"}:
                yield str(inner["name"])
            elif key == "dependencies":
                yield from (item if isinstance(item, str) else item["role"] for item in inner)
            else:
                yield from included_roles(inner)


def role_problems(root: Path) -> Iterator[str]:
    """Each arrow between roles that is not allowed; a name that is an expression is looked up at run time and knows no system."""
    for path in sorted([*root.glob("roles/*/tasks/**/*.yml"), *root.glob("roles/*/meta/main.yml")]):
        here = f"nodewise.cluster.{path.relative_to(root).parts[1]}"
        for name in included_roles(yaml.safe_load(path.read_text(encoding="utf-8"))):
            if name not in ROLES_FOR_ALL | {here} and not name.startswith("{{"):
                yield f"{path.relative_to(root)}: includes {name}; expected one of {', '.join(sorted(ROLES_FOR_ALL))}"


def problems(root: Path) -> list[str]:
    """Every arrow in a checkout that is not allowed, one line each."""
    return [*engine_problems(root), *plugin_problems(root), *role_problems(root)]


def test_directions() -> None:
    """Every import and every included role follows ARCHITECTURE.md."""
    assert problems(ROOT) == []


BAD = {
    "src/nodewise/model.py": "from nodewise.plan import build",
    "src/nodewise/plan.py": "import nodewise.cli.main",
    "src/nodewise/gates.py": "from ansible_collections.nodewise.cluster.plugins.module_utils import etcd",
    "src/nodewise/roll.py": "from . import plan",
    "src/nodewise/checkers/lost.py": "from nodewise.workloads import registry",
    "src/nodewise/workloads/register.py": "from nodewise import journal",
    "src/nodewise/somewhere.py": "import json",
    "plugins/modules/etcd_info.py": "import yaml",
    "plugins/module_utils/etcd.py": "from nodewise import model",
    "plugins/modules/node_info.py": f"from {COLLECTION}plugins.plugin_utils.engine import run",
    "plugins/action/observe.py": f"from {COLLECTION}plugins.modules.etcd_info import main",
    "roles/node/tasks/prepare.yml": "[{block: [{ansible.builtin.include_role: {name: nodewise.cluster.etcd}}]}]",
    "roles/node/meta/main.yml": "dependencies: [{role: nodewise.cluster.upgrade}]",
}


@pytest.mark.parametrize("path", BAD)
def test_a_bad_arrow_is_found(path: str, tmp_path: Path) -> None:
    """Each kind of arrow that is not allowed is found, in the file where it is."""
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(BAD[path])
    assert [path.removesuffix(".py").removesuffix(".yml")] == [
        line.split(":")[0].removesuffix(".py").removesuffix(".yml") for line in problems(tmp_path)
    ]
