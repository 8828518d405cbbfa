# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands that an operator may type next, in the way in which the run was called."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nodewise.model import STAYING, good

PLAYBOOKS = "upgrade|rollback|restart|configure|reboot|status|restore|unlock|smoke"
# Of a command line: options that say how nodes are reached, and take a value; those that take none.
VALUED = frozenset(
    (
        *("-i", "--inventory", "--inventory-file", "-e", "--extra-vars", "-u", "--user", "--private-key", "--key-file"),
        *("-c", "--connection", "-T", "--timeout", "-M", "--module-path", "-f", "--forks", "--become-method", "--become-user"),
        *("--vault-id", "--vault-password-file", "--vault-pass-file", "--ssh-common-args", "--ssh-extra-args"),
    )
)
BARE = frozenset(
    ("-b", "--become", "-K", "--ask-become-pass", "-k", "--ask-pass", "-J", "--ask-vault-pass", "--ask-vault-password")
)
# Variables that are said anew in each command, or not at all.
SAID = re.compile(r"nodewise_(to|plan|approve|confirm|cluster|component|recover|repair|window_\w+|until)")
NAMED = "(?i:pass|secret|token|api_?key)"
# A value in quotes to their end, any other to the next space; a template is none, it names where the secret is.
SECRET = re.compile(
    rf"""( [\w-]* {NAMED} [\w-]* ["']? \s* [:=] \s* ) (?! ["']? \{{\{{ ) (?: (["']) (?: \\. | (?!\2) . )* \2 | [^\s"',}}]+ )""",
    re.VERBOSE | re.DOTALL,
)


def masked(words: Iterable[str]) -> list[str]:
    """A command line without the values that are given to variables whose names say that they are secret."""
    return [SECRET.sub(lambda found: f"{found[1]}{found[2] or ''}…{found[2] or ''}", word) for word in words]


def named(cluster: str, component: str) -> str:
    """The words of a command that say what it is about."""
    return f"-e nodewise_cluster={cluster}" + (f" -e nodewise_component={component}" if component else "")


def command(playbook: str, words: str, called: Sequence[str] | None = None) -> str:
    """A command with one of our playbooks: with the inventory, connection and variables of the command line `called`.

    `called` is this process's own when it is not given. Of any other program than ansible-playbook nothing is taken over.
    """
    argv = list(sys.argv if called is None else called)
    if not argv or Path(argv[0]).name != "ansible-playbook":
        return f"ansible-playbook playbooks/{playbook}.yml {words}".strip()
    kept, ours = list(_kept(iter(argv[1:]))), f"playbooks/{playbook}.yml"
    for word in argv[1:]:
        if found := re.fullmatch(rf"(.*/|nodewise\.cluster\.|)({PLAYBOOKS})(\.ya?ml|)", word):
            ours = f"{found[1]}{playbook}{found[3]}"
    return " ".join(filter(None, ["ansible-playbook", shlex.join([*masked(kept), ours]), words]))


def _kept(words: Iterator[str]) -> Iterator[str]:
    """Of a command line's words those that another command needs as well."""
    for word in words:
        option, equals, value = word.partition("=")
        short = word[:2] if word[:2] in VALUED and word not in VALUED else ""  # as in -iinventory
        if word in BARE:
            yield word
        elif option in VALUED or short:
            said = word[2:] if short else value if equals else next(words, "")
            name = short or option
            if name in ("-e", "--extra-vars"):
                said = _variables(said)
            if said:
                yield from (name, said)


def _variables(said: str) -> str:
    """What -e says, without what is said anew in each command."""
    if said.startswith(("@", "[")):
        return said
    if said.startswith("{"):
        try:
            fields = {key: value for key, value in json.loads(said).items() if not SAID.fullmatch(key)}
        except ValueError:  # YAML
            return said
        return json.dumps(fields) if fields else ""
    try:
        words = shlex.split(said)
    except ValueError:
        return said
    return " ".join(_quoted(word) for word in words if not SAID.fullmatch(word.partition("=")[0]))


def _quoted(word: str) -> str:
    """A variable as a word of a shell, without a value that is secret: that may have spaces, and its own quotes are gone."""
    name, equals, value = word.partition("=")
    hidden = equals and re.search(NAMED, name) and not value.startswith("{{")
    return f"{name}=…" if hidden else shlex.quote(word)


def following(summary: dict[str, Any], called: Sequence[str] | None = None) -> list[str]:
    """The exact commands that may come next, each with when; none after a good end or suites, nor where the reason has them.

    `ways` of the summary says why going `on` or `back` would be refused now; a way that would be is not offered.
    """
    of, to, outcome = named(summary["cluster"], summary.get("component") or ""), summary["to"], summary["outcome"]
    if (
        not summary["system"]
        or "ansible-playbook" in summary["reason"]
        or (good(summary["kind"], outcome) and outcome != "planned")
        or summary["kind"] == "smoke"
    ):
        return []
    ways, only_on = summary.get("ways") or {}, summary["kind"] in ("rollback", *STAYING)
    back = command("rollback", of, called)
    upgrade = command("upgrade", f"{of} -e nodewise_to={to or 'VERSION'}", called)
    again = command(summary["kind"], of, called) if only_on else upgrade
    look = command("status", f"-e nodewise_cluster={summary['cluster']}", called)
    on = f"to go on{' when that is fixed' if ways.get('on') else ''}: {again}"
    if summary.get("reason_code") == "approval_needed":
        on = f"to go past it: {again} -e nodewise_approve={summary.get('plan')}"
    backwards = [] if only_on or ways.get("back") else [f"to go back: {back}"]
    said = {
        "planned": [f"{again} -e nodewise_plan={summary.get('plan')}"],
        "refused": [f"when that is fixed: {again}"],
        "rolled_back": [f"when that is fixed: {again}", *backwards],
        "paused": [on, *(backwards if "back" in ways else [])],
        "interrupted": [f"to look: {look}", on, *(backwards if "back" in ways else [])],
        "intervention_required": [f"to look: {look}", on, *(backwards if "back" in ways else [])],
    }
    return said.get(outcome, [])
