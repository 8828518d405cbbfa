# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command of a unit (ExecStart), and the arguments that its process has in the end: by itself, a shell, a script, a wrapper."""

from __future__ import annotations

import difflib
import os
import re
import shlex
from typing import Iterator, NamedTuple

from ansible_collections.nodewise.cluster.plugins.module_utils.host.environment import expand, secret

SHELLS = {"sh", "bash", "dash", "ash", "ksh", "zsh"}
_COMMAND = re.compile(r"\{ path=(.*?) ; argv\[\]=(.*?) ; (?:ignore_errors|flags)=", re.DOTALL)
_SHELL = re.compile(r"\S+ (?:-\w+ )*-\w*c (.*)", re.DOTALL)
_REDIRECTION = re.compile(r"\d?[<>].*|\|\|?|&&?|;", re.DOTALL)
_TOLD_LATER = re.compile(r"\$\([^()]*\)|`[^`]*`|\$\{\w+[^\w}][^}]*\}")  # what only the shell knows
_OWN = re.compile(r"\$(\w+)|\$\{(\w+)\}")
_ANYTHING = "\0"
_ASSIGNED = re.compile(r"\w+=\S*")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*(?=@)")


class Command(NamedTuple):
    """A program, and it with its arguments in one line, as systemd has them."""

    path: str
    line: str


def commands(values: list[str]) -> list[Command]:
    """Return the commands that `systemctl show` has of ExecStart and its like, one a line."""
    return [Command(match[1], one_line(match[2])) for value in values for match in _COMMAND.finditer(value)]


def one_line(text: str) -> str:
    """Return words with one blank between them: systemd does not say where one ends that has blanks."""
    return " ".join(text.split())


def retitled(arguments: list[str]) -> bool:
    """Return whether a process has put a title of its own in place of its arguments."""
    words = [word for word in arguments if word]
    return len(words) == 1 and " " in words[0]


def program(command: Command, running: str, variables: dict[str, str], shebang: list[str]) -> tuple[str | None, bool]:
    """Return the program that the arguments of a running process come from, None when the command does not lead to them.

    With it comes whether the process was begun without a shell or another program between, which may have changed its environment.
    `shebang` has the words of a script's first line (#!), none for a program.
    """
    for pattern, path, direct in _ways(command, running, variables, shebang):
        if re.fullmatch(pattern, running, re.DOTALL):
            return path, direct
    return None, False


def wanted(command: Command, variables: dict[str, str]) -> str:
    """Return the arguments that the command leads to, as far as they can be told without running it."""
    inner = _inner(command)
    words = _of_shell(inner, variables) if inner is not None else []
    return one_line(" ".join(words).replace(_ANYTHING, "…")) or one_line(expand(command.line, variables))


def through(command: Command, path: str | None, text: str) -> str:
    """Return the command with its program (`path`; its first word where that is not in it) replaced by how another one begins.

    It is as a unit file has it. Empty for a shell's command that names no such program.
    """
    whole = re.compile(rf"(?<![\w./-]){re.escape(path or '')}(?![\w./-])")
    if path and whole.search(command.line):
        line = _quoted(whole.sub(lambda _: text, command.line, count=1))
    else:
        line = "" if _inner(command) is not None else f"{text} {command.line.partition(' ')[2]}".strip()
    return line.replace("%", "%%")


def unlike(running: str, expected: str) -> tuple[str, str]:
    """Return the options and arguments that only one has, and those that only the other has."""
    old, new = _options(running), _options(expected)
    parts: tuple[list[str], list[str]] = ([], [])
    for tag, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            parts[0].extend(old[a:b])
            parts[1].extend(new[c:d])
    return " ".join(parts[0]), " ".join(parts[1])


def masked(line: str) -> str:
    """Return a command line without the values of options that smell of secrets, and without passwords in URLs."""
    words = _CREDENTIALS.sub("…", line).split(" ")
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if not secret(name):
            continue
        if equals and value:
            words[number] = f"{name}=…"
        elif name.startswith("-") and number + 1 < len(words) and not words[number + 1].startswith("-"):
            words[number + 1] = "…"
    return " ".join(words)


def _ways(command: Command, running: str, variables: dict[str, str], shebang: list[str]) -> Iterator[tuple[str, str, bool]]:
    """Arguments that the command may lead to (as a pattern), each with the program that then runs."""
    line = one_line(expand(command.line, variables))
    yield re.escape(line), command.path, True
    if shebang:
        script = [command.path, *line.split(" ")[1:]]
        yield re.escape(one_line(" ".join([*shebang, *script]))), shebang[0], True
        if os.path.basename(shebang[0]) == "env":  # ends as what it was told to run
            run = [word for word in " ".join(shebang[1:]).split() if not word.startswith("-") and "=" not in word]
            yield re.escape(" ".join([*run, *script])), "", True
    inner = _inner(command)
    words = _of_shell(inner, variables) if inner is not None else []
    if words:
        yield re.escape(one_line(" ".join(words))).replace(re.escape(_ANYTHING), ".*"), words[0], False
    if line.endswith(f" {running}"):  # a program that runs another one in its place, such as env or nice
        yield re.escape(running), running.split(" ", maxsplit=1)[0], False


def _inner(command: Command) -> str | None:
    """What a shell is told to run (-c); None for a command that is no shell's."""
    match = _SHELL.fullmatch(command.line)
    return match[1] if match and os.path.basename(command.path) in SHELLS else None


def _of_shell(text: str, variables: dict[str, str]) -> list[str]:
    """The words of the last command that a shell runs, which takes its place; none when it cannot be told."""
    text = _TOLD_LATER.sub(_ANYTHING, text.replace("$$", "$"))
    text = _OWN.sub(lambda use: variables.get(use[1] or use[2], _ANYTHING), text)
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return []
    words = words[max((number + 1 for number, word in enumerate(words) if word in ("exec", "&&", ";")), default=0) :]
    words = words[: next((number for number, word in enumerate(words) if _REDIRECTION.fullmatch(word)), len(words))]
    return words[next((number for number, word in enumerate(words) if not _ASSIGNED.fullmatch(word)), len(words)) :]


def _options(line: str) -> list[str]:
    """A line in parts: an option with its value is one."""
    parts: list[str] = []
    for word in line.split():
        if parts and parts[-1].startswith("-") and not word.startswith("-") and " " not in parts[-1] and "=" not in parts[-1]:
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    return parts


def _quoted(line: str) -> str:
    """A shell's command as a unit file has it: what follows -c in quotes."""
    match = _SHELL.fullmatch(line)
    text = match[1] if match else ""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{line[: len(line) - len(text)]}"{escaped}"' if text else line
