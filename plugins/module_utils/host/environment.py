# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The environment of a service: what its files and properties say, what systemd adds, and which values nobody is shown."""

from __future__ import annotations

import re

# What systemd, a shell or a login of the unit's user gives a process, whatever the unit says.
ADDED = re.compile(
    r"""INVOCATION_ID|JOURNAL_STREAM|NOTIFY_SOCKET|SYSTEMD_EXEC_PID|(MAIN|MANAGER)PID(FDID)?|PIDFILE|LOG_NAMESPACE|FDSTORE|TERM
    |DEBUG_INVOCATION|(LISTEN|WATCHDOG|MEMORY_PRESSURE|MONITOR|TRIGGER|REMOTE)_\w+
    |(RUNTIME|STATE|CACHE|LOGS|CONFIGURATION|CREDENTIALS)_DIRECTORY|HOME|LOGNAME|USER|SHELL|PWD|OLDPWD|SHLVL|_""",
    re.VERBOSE,
)
_SECRET = re.compile(r"(PASS|PWD|TOKEN|SECRET|KEY|CREDENTIAL|AUTH|PRIVATE|DSN)(?!.*(FILE|PATH|DIR)$)", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PART = re.compile(r"""'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|\\(?P<escaped>.)|(?P<plain>[^'"\\]+)""", re.DOTALL)
_WORD = re.compile(r"""(?:"(?:[^"\\]|\\.)*"|\\.|\S)+""", re.DOTALL)
_USE = re.compile(r"\$\$|\$\{(\w+)\}|(?<!\S)\$(\w+)(?!\S)")


def secret(name: str) -> bool:
    """Return whether a variable's or option's name smells of a secret: its value is never shown. A path to one is none."""
    return bool(_SECRET.search(name))


def from_block(block: bytes) -> dict[str, str]:
    """Return the variables of a block as the kernel keeps it, each ended by a zero byte."""
    return _pairs(block.decode(errors="replace").split("\0"))


def from_property(text: str) -> dict[str, str]:
    """Return the variables of systemd's property Environment, which quotes what has blanks."""
    return _pairs(_unquoted(word) for word in _WORD.findall(text))


def from_manager(text: str) -> dict[str, str]:
    """Return what `systemctl show-environment` says that every service is given."""
    return {name: _unquoted(value.lstrip("$")) if value[:2] == "$'" else value for name, value in _pairs(text.splitlines()).items()}


def from_file(text: str) -> dict[str, str]:
    """Return the variables of an EnvironmentFile, with its comments, quotes and continued lines as systemd reads them."""
    found = {}
    for line in _whole_lines(text):
        name, equals, value = line.partition("=")
        if equals and _NAME.fullmatch(name.strip()):
            found[name.strip()] = _unquoted(value.strip())
    return found


def expand(text: str, variables: dict[str, str]) -> str:
    """Return a line of ExecStart as systemd fills its variables in: ${NAME} anywhere, $NAME as a word, $$ for a dollar sign."""

    def value(use: re.Match[str]) -> str:
        whole, word = use.groups()
        if whole:
            return variables.get(whole, "")
        return _unquoted(variables.get(word, "")) if word else "$"

    return _USE.sub(value, text)


def _pairs(lines: object) -> dict[str, str]:
    pairs = (str(line).partition("=")[::2] for line in lines if "=" in str(line))  # type: ignore[attr-defined]
    return {name: value for name, value in pairs if _NAME.fullmatch(name)}


def _whole_lines(text: str) -> list[str]:
    """Lines with those that they go on in, also within quotes; without comments and empty ones."""
    lines, part = [], ""
    for line in text.splitlines():
        if not part and line.lstrip()[:1] in ("", "#", ";"):
            continue
        part += line
        if part.endswith("\\") and not part.endswith("\\\\"):
            part = part[:-1]
        elif _open(part):
            part += "\n"
        else:
            lines.append(part)
            part = ""
    return [*lines, part] if part else lines


def _open(line: str) -> bool:
    """Whether a quoted value has not ended."""
    value = line.partition("=")[2].strip()
    return bool(value) and "".join(match.group() for match in _PART.finditer(value)) != value


def _unquoted(text: str) -> str:
    parts = []
    for match in _PART.finditer(text):
        single, double, escaped, plain = match.group("single", "double", "escaped", "plain")
        if double is not None:
            parts.append(re.sub(r'\\(["\\$`])', r"\1", double).replace("\\\n", ""))
        else:
            parts.append(next(part for part in (single, escaped, plain) if part is not None))
    return "".join(parts)
