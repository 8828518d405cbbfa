# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sqitch's changes: the plan that a release ships, without Sqitch; its tables name each change, with a checksum of its file."""

from __future__ import annotations

import configparser
import hashlib
import os
import re
from collections.abc import Callable

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.revision import option, read_all

TABLE = "sqitch.changes"
REVISION = "select project || ':' || change from sqitch.changes"
SUMS = "select json_build_array(project || ':' || change, script_hash) from sqitch.changes where script_hash is not null"
GAP = "there is no SQL of it"
_NAMED = re.compile(r"\+?\s*(@?[^\s@#:\[]+)\s+(\[[^\]]*\]\s+)?\d{4}-\d\d-\d\dT")


def shipped(command: list[str], folder: str, _files: str) -> list[str]:
    """Return the changes that a command leads to, in the order of the plan: to a change or @TAG, or all."""
    if "deploy" not in command:
        raise DatabaseError(f"{' '.join(command)}: expected 'deploy' in a command of Sqitch")
    last = option(command, "--to", "--to-change")
    project, lines = _plan(folder)
    names: list[str] = []
    for line in lines:
        names += [line] if not line.startswith("@") else []
        if last in (line, f"{names[-1]}{line}" if names else line):
            return [f"{project}:{name}" for name in names]
    if last:
        raise DatabaseError(f"{last} is neither a change nor a tag of the plan that the release ships")
    return [f"{project}:{name}" for name in names]


def ancestors(_command: list[str], folder: str) -> dict[str, tuple[str, ...]]:
    """Return each change: the tables name all that a database has."""
    return dict.fromkeys(_files(folder), ())


def applied(rows: list[str], known: dict[str, tuple[str, ...]]) -> list[str]:
    """Return the changes that a database has of the release's own project."""
    projects = {name.partition(":")[0] for name in known}
    return [row for row in rows if row.partition(":")[0] in projects]


def texts(_ask: Callable[[list[str]], str], _command: list[str], folder: str, _own: str, pending: list[str]) -> dict[str, str]:
    """Return the SQL of what is pending."""
    return read_all(_files(folder), pending)


def sums(_command: list[str], folder: str) -> dict[str, str]:
    """Return the checksum of each change's file, as Sqitch takes it."""
    found = {}
    for name, path in _files(folder).items():
        with open(path, "rb") as stream:
            found[name] = hashlib.sha1(stream.read()).hexdigest()  # noqa: S324  (Sqitch's own)
    return found


def _plan(folder: str) -> tuple[str, list[str]]:
    """Return the project, and its changes and @tags in order."""
    path = os.path.join(folder, _core(folder)["plan_file"])
    try:
        with open(path, encoding="utf-8") as stream:
            lines = [line.strip() for line in stream]
    except OSError as error:
        raise DatabaseError(f"{path}: {error.strerror}") from None
    project = next((line.partition("=")[2].strip() for line in lines if line.startswith("%project=")), "")
    found = [match[1] for match in map(_NAMED.match, lines) if match]
    if not project or not found:
        raise DatabaseError(f"{path} is no plan of Sqitch: expected %project and changes")
    for name in found:
        if found.count(name) > 1:
            raise DatabaseError(f"{name} was reworked, and its two versions have one name; make the second a change of its own")
    return project, found


def _files(folder: str) -> dict[str, str]:
    """Return the file of each change."""
    project, lines = _plan(folder)
    place = os.path.join(folder, _core(folder)["deploy_dir"])
    found = {f"{project}:{name}": os.path.join(place, f"{name}.sql") for name in lines if not name.startswith("@")}
    if lacking := [path for path in found.values() if not os.path.exists(path)]:
        raise DatabaseError(f"{lacking[0]} is not there, and the plan names its change")
    return found


def _core(folder: str) -> dict[str, str]:
    """Return where plan and files are, from sqitch.conf or as Sqitch has it."""
    settings = configparser.ConfigParser(strict=False, allow_no_value=True)
    try:
        with open(os.path.join(folder, "sqitch.conf"), encoding="utf-8") as stream:
            settings.read_string("\n".join(line.strip() for line in stream))
    except FileNotFoundError:
        pass
    core = dict(settings["core"]) if settings.has_section("core") else {}
    top = core.get("top_dir") or ""
    return {
        "plan_file": core.get("plan_file") or os.path.join(top, "sqitch.plan"),
        "deploy_dir": core.get("deploy_dir") or os.path.join(top, "deploy"),
    }
