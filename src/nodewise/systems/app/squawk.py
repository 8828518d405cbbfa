# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lint of migrations by squawk: what would rewrite a table, block those who use it, or take away what they need."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nodewise.errors import UsageError
from nodewise.text import cut

# Rules that refuse a migration, and what each statement would do. squawk's other rules are advice.
REWRITES = "rewrites the table"
BLOCKS = "blocks those who use the table while all of it is read"
TAKES = "takes away what running members may need"
RULES = {
    "adding-field-with-default": REWRITES,
    "adding-serial-primary-key-field": REWRITES,
    "changing-column-type": REWRITES,
    "require-concurrent-index-creation": BLOCKS,
    "require-concurrent-index-deletion": BLOCKS,
    "require-concurrent-reindex": BLOCKS,
    "require-concurrent-partition-detach": BLOCKS,
    "adding-not-nullable-field": BLOCKS,
    "adding-foreign-key-constraint": BLOCKS,
    "constraint-missing-not-valid": BLOCKS,
    "disallowed-unique-constraint": BLOCKS,
    "adding-required-field": "fails where the table has rows, and breaks members that do not know the column",
    "ban-drop-column": TAKES,
    "ban-drop-table": TAKES,
    "ban-drop-not-null": TAKES,
    "ban-drop-database": TAKES,
    "ban-truncate-cascade": TAKES,
    "renaming-column": TAKES,
    "renaming-table": TAKES,
    "ban-concurrent-index-creation-in-transaction": "cannot be run in a transaction",
    "syntax-error": "cannot be read",
}
LINT_S = 60
CONTRACT = {"ban-drop-column", "ban-drop-table", "ban-drop-not-null"}  # what it is there for
# What squawk has no rule for.
MORE = {
    re.compile(r"^\s*(vacuum\s+(\(.*\bfull\b.*\)|full\b)|cluster\b)", re.IGNORECASE): REWRITES,
    re.compile(r"^\s*truncate\b", re.IGNORECASE): TAKES,
    re.compile(r"^\s*drop\s+(view|materialized\s+view|type|function|schema|sequence)\b", re.IGNORECASE): TAKES,
}


class Finding(NamedTuple):
    """A statement that is refused, or a migration of which there is no SQL."""

    revision: str
    why: str
    statement: str = ""

    @property
    def hash(self) -> str:
        """By which it is waived: eight hexadecimal digits, the same for the same statement of the same migration."""
        return hashlib.sha256("\0".join(self).encode()).hexdigest()[:8]

    def __str__(self) -> str:
        said = f": {cut(' '.join(self.statement.split()), 200)}" if self.statement else ""
        return f"{self.revision} {self.why}{said} ({self.hash})"


def lint(migrations: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """What is refused of {phase, revision, sql, gap}, in order. Raises UsageError where squawk is not there, or fails."""
    found = []
    for one in migrations:
        if one["gap"]:
            found.append(Finding(one["revision"], f"cannot be linted ({one['gap']})"))
        elif one["sql"].strip():
            found += _one(one["revision"], one["sql"], contract=one["phase"] == "contract")
    return found


def refusal(findings: Iterable[Finding], waived: Mapping[str, str]) -> str:
    """What is left to be refused, a line each, and how to let it pass; empty where nothing is."""
    left = [one for one in findings if one.hash not in waived]
    if not left:
        return ""
    way = json.dumps({"nodewise_waive": dict.fromkeys((one.hash for one in left), "REASON")})
    lines = [f"migration {one}" for one in left]
    return "\n".join([*lines, f"Change the migration, move what drops into contract, or let it pass in this run: -e '{way}'"])


def refuse(files: Iterable[tuple[str, str]]) -> None:
    """Raise UsageError with a line for each statement of files (name, SQL) that an expand is refused for."""
    found = lint({"phase": "expand", "revision": name, "sql": sql, "gap": ""} for name, sql in files)
    if found:
        raise UsageError("\n".join(map(str, found)))


def _one(revision: str, sql: str, *, contract: bool) -> list[Finding]:
    lines, found = sql.splitlines(), list[Finding]()
    for said in _squawk(sql):
        why = RULES.get(said["rule_name"], "")
        if why and not (contract and said["rule_name"] in CONTRACT):
            found.append(Finding(revision, f"{why} [{said['rule_name']}]", _statement(lines, said["line"])))
    for number, line in enumerate(lines):
        ignored = number and "squawk-ignore" in lines[number - 1]
        whys = [why for pattern, why in MORE.items() if pattern.match(line) and not (contract and why == TAKES)]
        found += [Finding(revision, why, _statement(lines, number)) for why in whys if not ignored]
    return list(dict.fromkeys(found))


def _statement(lines: list[str], number: int) -> str:
    """The statement that a line begins, or lies in."""
    first = number
    while first and lines[first - 1].strip() and not lines[first - 1].rstrip().endswith(";") and not _comment(lines[first - 1]):
        first -= 1
    last = number
    while last < len(lines) - 1 and not lines[last].rstrip().endswith(";"):
        last += 1
    return "\n".join(lines[first : last + 1])


def _comment(line: str) -> bool:
    return line.lstrip().startswith("--")


def _squawk(sql: str) -> list[dict[str, Any]]:
    program = Path(sys.executable).parent / "squawk"
    command = [str(program) if program.exists() else "squawk", "--reporter", "json"]
    try:
        done = subprocess.run(command, input=sql, capture_output=True, text=True, timeout=LINT_S, check=False, cwd="/")
    except FileNotFoundError:
        raise UsageError("migrations are linted by squawk, which is not installed: pip install 'nodewise[schema]'") from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"squawk did not end within {LINT_S} s, so the migrations were not linted") from None
    try:
        return list(json.loads(done.stdout))  # it says [] of what it has nothing against: no word is no answer
    except ValueError:
        raise UsageError(f"squawk failed: {cut((done.stderr or done.stdout).strip(), 200)}") from None
