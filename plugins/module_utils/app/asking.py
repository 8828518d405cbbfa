# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One question to one member: over HTTP, over TCP, by a program or by a file; and what its answer has to be."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import time
from typing import Any, Callable

from ansible_collections.nodewise.cluster.plugins.module_utils.app.values import evaluate
from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.host.https import connection, context, reason
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import environment

MOST = 8 << 20  # bytes of an answer that are read
SILENT_S = 0.5  # seconds without a byte after which an answer over TCP is taken for whole, where nobody closes
SHOWN = 120  # characters of an answer in an error
_PLACES = re.compile(r"\{(bin|data|config|address|name)\}")


class Unanswered(Failure):
    """Why a question has no answer, or not the one that was expected, in a few words."""


def ask(question: dict[str, Any], member: dict[str, str], places: dict[str, str]) -> Any:
    """Return the value of the answer: what JMESPath or the group of `says` finds, else its text. Unanswered otherwise.

    `member` has name and address, `places` the folders bin, data and config: texts in braces are filled in by them.
    """
    known = {**places, **member}
    kind = next(name for name in ("http", "tcp", "command", "file") if question.get(name) is not None)
    text = _KINDS[kind](_filled(question[kind], known), member["address"], question["timeout"])
    value = _value(question["value"], text) if question.get("value") else text.strip()
    if not question.get("says"):
        return value
    told = value if isinstance(value, str) else json.dumps(value)
    wanted = _filled(question["says"], known)
    found = re.search(wanted, told, re.MULTILINE)
    if not found:
        raise Unanswered(f"says {_shown(told)}, expected {wanted}")
    return found.group(1) if found.re.groups else value


def matches(question: dict[str, Any], member: dict[str, str], places: dict[str, str]) -> int:
    """Return in how many places of the answer `says` matches; Unanswered where there is no answer."""
    told = ask({**question, "says": ""}, member, places)
    text = told if isinstance(told, str) else json.dumps(told)
    return len(re.findall(_filled(question["says"], {**places, **member}), text, re.MULTILINE))


def act(question: dict[str, Any], member: dict[str, str], places: dict[str, str]) -> None:
    """Do what a question asks for: a file is made or removed, all else is as in `ask`."""
    if question.get("file") is None:
        ask(question, member, places)
        return
    wanted = _filled(question["file"], {**places, **member})
    try:
        if wanted["present"]:
            with open(wanted["path"], "a", encoding="utf-8"):
                pass
        elif os.path.lexists(wanted["path"]):
            os.unlink(wanted["path"])
    except OSError as error:
        raise Unanswered(f"{wanted['path']}: {error.strerror}") from None


def _filled(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, str):
        return _PLACES.sub(lambda found: known.get(found.group(1), found.group()), value)
    if isinstance(value, list):
        return [_filled(one, known) for one in value]
    return {key: _filled(one, known) for key, one in value.items()} if isinstance(value, dict) else value


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= SHOWN else line[:SHOWN] + "…")


def _last(text: str) -> str:
    """Return how a text ends: programs say last why they gave up."""
    line = " ".join(text.split())
    return repr(line if len(line) <= SHOWN else "…" + line[-SHOWN:])


def _value(tree: Any, text: str) -> Any:
    try:
        found = evaluate(tree, json.loads(text))
    except ValueError as error:
        raise Unanswered(f"answers {_shown(text)}, in which no value can be looked for: {error}") from None
    if found is None:
        raise Unanswered(f"answers {_shown(text)}, which has no such value")
    return found


def _http(wanted: dict[str, Any], address: str, timeout: float) -> str:
    host = wanted["host"] or address
    where = f"{wanted['scheme']}://{f'[{host}]' if ':' in host else host}:{wanted['port']}"
    try:
        tls = context(wanted["ca"] or None, wanted["cert"] or None, wanted["key"] or None) if wanted["scheme"] == "https" else None
        line = connection(where, tls, timeout)
        try:
            line.request(wanted["method"], wanted["path"], wanted["body"].encode() or None, wanted["headers"])
            answer = line.getresponse()
            text = _read(lambda: answer.read1(1 << 16), timeout).decode("utf-8", "replace")
        finally:
            line.close()
    except (OSError, http.client.HTTPException) as error:
        raise Unanswered(f"{where}{wanted['path']}: {reason(error)}") from None
    except ValueError as error:
        raise Unanswered(str(error)) from None
    if answer.status != wanted["status"]:
        said = f" ({_shown(text)})" if text.strip() else ""
        raise Unanswered(f"{where}{wanted['path']} answers {answer.status}{said}, expected {wanted['status']}")
    return text


def _read(block: Callable[[], bytes], timeout: float) -> bytes:
    """All of an answer, or as much as is read at most; socket.timeout for one that goes on and on."""
    text, until = b"", time.monotonic() + timeout
    while len(text) < MOST and (more := block()):
        text += more
        if time.monotonic() > until:
            raise socket.timeout
    return text


def _until_silent(line: socket.socket) -> bytes:
    try:
        return line.recv(1 << 16)
    except socket.timeout:
        return b""


def _tcp(wanted: dict[str, Any], address: str, timeout: float) -> str:
    host = wanted["host"] or address
    try:
        with socket.create_connection((host, wanted["port"]), timeout) as line:
            if not wanted["send"]:
                return ""
            line.sendall(wanted["send"].rstrip("\n").encode() + b"\n")
            first = line.recv(1 << 16)
            line.settimeout(SILENT_S)
            text = first + _read(lambda: _until_silent(line), timeout) if first else b""
    except OSError as error:
        raise Unanswered(f"{host}:{wanted['port']}: {reason(error)}") from None
    return text.decode("utf-8", "replace")


def _command(wanted: list[str], address: str, timeout: float) -> str:
    try:
        done = subprocess.run(
            wanted,
            env=environment(NODEWISE_ADDRESS=address),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unanswered(f"{wanted[0]} did not end within {timeout:g} s") from None
    except OSError as error:
        raise Unanswered(f"{wanted[0]}: {error.strerror}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).decode("utf-8", "replace")
        raise Unanswered(f"{wanted[0]} ends with {done.returncode}: {_last(said)}")
    return done.stdout.decode("utf-8", "replace")


def _file(wanted: dict[str, Any], _address: str, _timeout: float) -> str:
    if os.path.lexists(wanted["path"]) != wanted["present"]:
        raise Unanswered(f"{wanted['path']} is {'not ' if wanted['present'] else ''}there")
    return ""


_KINDS: dict[str, Callable[[Any, str, float], str]] = {"http": _http, "tcp": _tcp, "command": _command, "file": _file}
