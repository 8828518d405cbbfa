"""Who may import whom: the table of ARCHITECTURE.md "Directions", held against the imports as they stand, nested folders too."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = "ansible_collections.nodewise.cluster."
BASES = {"src/nodewise": "nodewise.", "plugins": f"{COLLECTION}plugins."}  # folder -> how its modules' names begin
TOP = "nodewise"  # the room of what lies directly in src/nodewise
NODE_SIDE = ("modules", "module_utils")  # on the nodes there is the standard library and nothing else
FAMILIES = {"module_utils/*": "plugins/module_utils", "systems/*": "src/nodewise/systems"}  # rooms that need no row of their own
ROLES_FOR_ALL = {"nodewise.cluster.node", "nodewise.cluster.release", "nodewise.cluster.smoke"}

Floors = Mapping[str, set[str]]  # room -> the rooms that it may import from


def floors() -> Floors:
    """The table: rooms in the first column, what each may import from in the second; `x/*` are those of x that are not named."""
    section = (ROOT / "ARCHITECTURE.md").read_text().partition("\n## Directions\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    words = [[re.findall("`([^`]+)`", cell) for cell in row] for row in rows]
    named = {room: set(others) for rooms, others in words for room in rooms}
    every = {
        any_of: {any_of.replace("*", path.parent.name) for path in ROOT.glob(f"{base}/*/__init__.py")}
        for any_of, base in FAMILIES.items()
    }
    table = {**{room: named[any_of] for any_of, rooms in every.items() for room in rooms}, **named}
    return {
        room: set().union(*(every.get(other, {other}) for other in others)) for room, others in table.items() if room not in every
    }


def imports(path: Path) -> Iterator[str]:
    """Full names of what a file imports, wherever in it; `from a import b` gives a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            yield from (f"{dots}{node.module or ''}.{alias.name}" for alias in node.names)


def files(root: Path) -> Iterator[tuple[Path, str]]:
    """Every file of src/nodewise and of plugins, with the full name of its module."""
    for base, prefix in BASES.items():
        for path in sorted((root / base).rglob("*.py")):
            yield path, prefix + ".".join(path.relative_to(root / base).with_suffix("").parts)


def room_of(module: str, known: Floors) -> str | None:
    """The innermost room that a module lies in; None for one of ours in no room, and for what is not ours."""
    prefix = next((prefix for prefix in BASES.values() if module.startswith(prefix)), None)
    if prefix is None:
        return None
    words = module.removeprefix(prefix).split(".")
    outer = ("/".join(words[:count]) for count in range(len(words), 0, -1))
    return next((name for name in outer if name in known), TOP if prefix == "nodewise." else None)


def import_problem(here: str, name: str, known: Floors) -> str | None:
    """Why a file of the room `here` may not import `name`, or None."""
    if name.startswith("."):
        return "is relative; a full name is expected"
    there = room_of(name, known)
    on_nodes, ours = here.startswith(NODE_SIDE), name.startswith(tuple(BASES.values()))
    if on_nodes and not ours and not name.startswith("ansible.module_utils."):
        return None if name.split(".", maxsplit=1)[0] in sys.stdlib_module_names else "is not on the nodes"
    if not ours or there == here or there in known[here]:
        return None
    return f"lies in {there}, and {here} imports from {', '.join(sorted(known[here])) or 'no other room'} alone"


def room_problems(root: Path, known: Floors) -> Iterator[str]:
    """Each arrow between rooms that the table does not have, and each file in no room."""
    for path, module in files(root):
        here, where = room_of(module, known), path.relative_to(root)
        if here is None or (here == TOP and len(where.parts) > len(("src", "nodewise", path.name))):
            yield f"{where}: in no room; give it one in ARCHITECTURE.md"
            continue
        for name in imports(path):
            if path.name == "__init__.py" and name.startswith((*BASES.values(), ".")):
                yield f"{where}: imports {name}; whoever imports a part would import that, too"
            elif problem := import_problem(here, name, known):
                yield f"{where}: imports {name}, which {problem}"


def circles(root: Path) -> Iterator[str]:
    """The first circle of files that import each other, at whichever time."""
    modules = {module.removesuffix(".__init__"): path for path, module in files(root)}
    arrows = {module: {found for name in imports(path) if (found := within(name, modules))} for module, path in modules.items()}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        circle = error.args[1]
        yield f"{modules[circle[0]].relative_to(root)}: imports in a circle: {' ← '.join(circle)}"


def within(name: str, modules: Mapping[str, Path]) -> str | None:
    """The module that an imported name is, or is in."""
    return name if name in modules else module if (module := name.rpartition(".")[0]) in modules else None


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
    return [*room_problems(root, floors()), *circles(root), *role_problems(root)]


def test_directions() -> None:
    """Every import and every included role follows ARCHITECTURE.md."""
    assert problems(ROOT) == []


def test_the_table_knows_its_rooms() -> None:
    """The table names rooms that are there, and each of them may import from rooms that it names itself."""
    known = floors()
    places = {TOP: ROOT / "src/nodewise", **{room: ROOT / "src/nodewise" / room for room in known if room != TOP}}
    there = {room for room, place in places.items() if place.is_dir() or (ROOT / "plugins" / room).is_dir()}
    assert known.keys() == there
    assert set().union(*known.values()) <= there


def test_floors_have_no_circle() -> None:
    """Rooms stand on each other: none is, by way of others, on top of itself."""
    assert set(floors()) == set(TopologicalSorter(floors()).static_order())  # a circle is an error


UTILS = f"{COLLECTION}plugins.module_utils"
BAD = {
    "src/nodewise/model.py": "from nodewise.upgrade.plan import make",
    "src/nodewise/upgrade/plan.py": "import nodewise.cli.main",
    "src/nodewise/gates/judgement.py": f"from {UTILS}.etcd import api",
    "src/nodewise/upgrade/roll.py": "from . import plan",
    "src/nodewise/record/run.py": "def late():\n    from nodewise.upgrade import plan",
    "src/nodewise/simulation/checkers/lost.py": "from nodewise.simulation.workloads import register",
    "src/nodewise/simulation/workloads/register.py": "from nodewise.record import journal",
    "src/nodewise/simulation/workloads/deep/er.py": "from nodewise import simulation",
    "src/nodewise/systems/etcd/client.py": "from nodewise.systems.postgresql import data",
    "src/nodewise/systems/catalog.py": "from nodewise.systems.etcd import client",
    "src/nodewise/testnet/__init__.py": "from nodewise.testnet.lifecycle import up",
    "src/nodewise/somewhere/else.py": "import json",
    "plugins/modules/etcd_info.py": "import yaml",
    "plugins/modules/node_info.py": f"from {COLLECTION}plugins.plugin_utils.engine import run",
    "plugins/module_utils/loose.py": "import json",
    "plugins/module_utils/etcd/api.py": "from nodewise import model",
    "plugins/module_utils/host/unit.py": f"from {UTILS}.release.store import Store",
    "plugins/module_utils/etcd/info.py": f"from {UTILS}.postgresql import access",
    "plugins/module_utils/postgresql/deep/backup.py": f"from {UTILS}.smoke.suite import run_suite",
    "plugins/action/observe.py": f"from {COLLECTION}plugins.modules.etcd_info import main",
    "roles/node/tasks/prepare.yml": "[{block: [{ansible.builtin.include_role: {name: nodewise.cluster.etcd}}]}]",
    "roles/node/meta/main.yml": "dependencies: [{role: nodewise.cluster.upgrade}]",
}


def written(root: Path, texts: Mapping[str, str]) -> Path:
    """A checkout with these files alone."""
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


@pytest.mark.parametrize("path", BAD)
def test_a_bad_arrow_is_found(path: str, tmp_path: Path) -> None:
    """Each kind of arrow that is not allowed is found, in the file where it is."""
    assert [path] == [line.split(":")[0] for line in problems(written(tmp_path, {path: BAD[path]}))]


def test_a_good_arrow_is_none(tmp_path: Path) -> None:
    """Arrows that point down, and within a room, are no problem."""
    texts = {
        "src/nodewise/upgrade/plan.py": "from nodewise.upgrade import order\nfrom nodewise.record.run import Run\nimport msgspec",
        "src/nodewise/upgrade/order.py": "from nodewise.model import Plan",
        "plugins/module_utils/etcd/info.py": f"from {UTILS}.host.https import context\nfrom {UTILS}.etcd import api",
        "plugins/module_utils/etcd/api.py": f"from {UTILS}.release.store import Store",
    }
    assert [] == problems(written(tmp_path, texts))


@pytest.mark.parametrize("late", ["from nodewise.testnet import a", "def late():\n    from nodewise.testnet.a import name"])
def test_a_circle_is_found(late: str, tmp_path: Path) -> None:
    """Files that import each other are found, also where one of them does so late."""
    texts = {
        "src/nodewise/testnet/a.py": "from nodewise.testnet.b import name",
        "src/nodewise/testnet/b.py": "import nodewise.testnet.c",
        "src/nodewise/testnet/c.py": late,
    }
    (found,) = problems(written(tmp_path, texts))
    assert "imports in a circle" in found
    assert {"nodewise.testnet.a", "nodewise.testnet.b", "nodewise.testnet.c"} == set(found.split(": ")[2].split(" ← "))
