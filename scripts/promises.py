# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Nodewise promises, found in code and docs, and the tables in tests/README.md that name a test for each promise.

A promise is a row of the matrix of bad days, a gate, a refusal, or a verb of a role. `python scripts/promises.py` prints what the
tables lack, and what they have too much, and exits with 1 when there is something; `--write` puts them right as far as it can.
"""

from __future__ import annotations

import ast
import difflib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 72
KINDS = {"Bad days": "bad day", "Gates": "gate", "Refusals": "refusal", "Verbs": "verb"}  # by the heading of their table
ROW = re.compile(r"\| (?P<name>.+?) +\| (?:`(?P<test>[^`]+)`|no test yet) *\| (?P<layer>\S+) *\|")


@dataclass(frozen=True)
class Row:
    """A row of the table; `test` is file::function within the layer's folder, None when there is no test yet."""

    kind: str
    name: str
    test: str | None
    layer: str


def promised(root: Path) -> set[tuple[str, str]]:
    """Every promise as its kind and name."""
    found = {"bad day": bad_days(root), "gate": gates(root), "refusal": refusals(root), "verb": verbs(root)}
    return {(kind, name) for kind, names in found.items() for name in names}


def bad_days(root: Path) -> Iterator[str]:
    """Rows of the matrix of bad days, each with its system."""
    system = ""
    for line in (root / "docs/bad-days.md").read_text().splitlines():
        if line.startswith("## "):
            system = line.removeprefix("## Measured: ").split()[0].lower()
        elif line.startswith("| ") and not line.startswith("| bad day"):
            yield f"{system}: {line.split('|')[1].strip()}"


def gates(root: Path) -> Iterator[str]:
    """Gates of the engine, of systems and of their components."""
    yield from yaml.safe_load((root / "src/nodewise/gates/common.yml").read_text())
    for path in sorted(root.glob("roles/*/meta/**/upgrade.yml")):
        role, _meta, *component, _name = path.relative_to(root / "roles").parts
        for gate in yaml.safe_load(path.read_text()).get("gates", {}):
            yield f"{' '.join([role, *component])}: {gate}"


def verbs(root: Path) -> Iterator[str]:
    """What each role can be asked to do."""
    for path in sorted(root.glob("roles/*/tasks/*.yml")):
        yield f"{path.parts[-3]}: {path.stem}"


def refusals(root: Path) -> Iterator[str]:
    """Each place that refuses to begin: its module, and the words that it says."""
    for path in sorted([*root.glob("src/nodewise/**/*.py"), *root.glob("plugins/**/*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and (said := _refusal(node)):
                yield f"{'action ' if 'action' in path.parts else ''}{path.stem}: {_words(said)}"


def _refusal(call: ast.Call) -> ast.expr | None:
    """What a call says to the user when it refuses: Refused(text), halt(run, "refused", text), conclude("refused", text)."""
    name = call.func.id if isinstance(call.func, ast.Name) else call.func.attr if isinstance(call.func, ast.Attribute) else ""
    given = [getattr(one, "value", None) for one in call.args]
    return call.args[-1] if name == "Refused" or (name in {"halt", "conclude"} and "refused" in given) else None


def _words(said: ast.expr) -> str:
    """The words of a message as they stand in the code, an ellipsis for what is put in."""
    if isinstance(said, ast.Constant):
        text = str(said.value)
    elif isinstance(said, ast.JoinedStr):
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in said.values)
    else:
        text = f"`{ast.unparse(said)}`"
    text = " ".join(text.split()).replace("|", "/")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1].rstrip()}…"


def rows(page: str) -> Iterator[Row]:
    """The rows of the tables, each of the kind that its heading says."""
    return (row for _line, row in _lines(page) if row)


def _lines(page: str) -> Iterator[tuple[str, Row | None]]:
    """The lines of the page, each with its row where it is one."""
    kind = None
    for line in page.splitlines():
        if line.startswith("#"):
            kind = KINDS.get(line.lstrip("# "))
        found = ROW.fullmatch(line) if kind else None
        yield line, Row(kind, found["name"], found["test"], found["layer"]) if kind and found else None


def rewritten(page: str, promises: set[tuple[str, str]]) -> str:
    """The page with a row for each promise: words that changed are taken over, what is gone goes, what is new has no test yet."""
    missing = promises - {(row.kind, row.name) for row in rows(page)}
    new: list[str] = []
    kind = None
    for line, row in _lines(page):
        if kind and not line.startswith("|"):  # its table has ended
            new += [f"| {name} | no test yet | - |" for one, name in sorted(missing) if one == kind]
            kind = None
        kind = row.kind if row else kind
        if row and (row.kind, row.name) not in promises:
            alike = difflib.get_close_matches(row.name, [name for one, name in missing if one == row.kind], 1)
            missing -= {(row.kind, name) for name in alike}
            new += [line.replace(row.name, name, 1) for name in alike]
        else:
            new.append(line)
    return "\n".join([*new, *(f"| {name} | no test yet | - |" for one, name in sorted(missing) if one == kind), ""])


def problems(root: Path) -> list[str]:
    """What is off in the table of a checkout, one line each."""
    found, promises = list(rows((root / "tests/README.md").read_text())), promised(root)
    named = {(row.kind, row.name) for row in found}
    files = {f"{row.layer}/{row.test}".partition("::")[0] for row in found if row.test}
    tests = {f"{file}::{name}" for file in files for name in functions(root / "tests" / file)}
    return [
        *(f"no row in tests/README.md: {kind} | {name}" for kind, name in sorted(promises - named)),
        *(f"no such promise (any more): {kind} | {name}" for kind, name in sorted(named - promises)),
        *(f"no such test: {row.layer}/{row.test}" for row in found if row.test and f"{row.layer}/{row.test}" not in tests),
    ]


def functions(path: Path) -> list[str]:
    """The functions of a file; none when it is not there."""
    return [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)] if path.exists() else []


if __name__ == "__main__":
    README = ROOT / "tests/README.md"
    if sys.argv[1:] == ["--write"]:
        README.write_text(rewritten(README.read_text(), promised(ROOT)))
    off = problems(ROOT)
    print("\n".join(off) or "Every promise has its row.")
    sys.exit(bool(off))
