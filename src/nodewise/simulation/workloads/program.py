# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clients that are a program of the user's own, in any language: a line of JSON in for each invocation, a line of JSON out.

The first invocation is `open`, whose value says which node it is about (docs/simulation.md has a whole program). Where a program
dies, says what is no answer, or says nothing, what came of the operation is not known, and so is the verdict of the run.
"""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec

from nodewise.errors import UsageError
from nodewise.model import Operation, Verdict
from nodewise.simulation.workloads.client import Credentials
from nodewise.text import cut, fit

PATIENCE = 10.0  # seconds for an answer: a client is to give up earlier by itself, and to say `info`
ENOUGH = 10  # times that programs failed, after which none is started any more
LINE = 1 << 20  # bytes of an answer at most


class Answer(msgspec.Struct):
    """What a program may say of an operation."""

    type: Literal["ok", "fail", "info"]
    value: Any = None  # of a read
    error: str | None = None  # for people
    refused: bool = False  # a `fail` that is the system's answer, so that no other node is asked
    stale: bool = False  # a read of a replica, which may be behind


def words(command: str, folder: Path) -> list[str]:
    """The words of a command, whose program may stand beside the scenario. Raises UsageError where it cannot be run."""
    try:
        program, *rest = shlex.split(command)
    except ValueError:
        raise UsageError(f"workload command {command!r} cannot be read: expected a program and its words") from None
    path = str((folder / program).resolve()) if "/" in program else program
    if not (found := shutil.which(path)):
        raise UsageError(f"workload command {program}: no program that can be run is there; expected {path}, executable")
    return [found, *rest]


class Programs:
    """A factory of clients, each a process of its own. `trouble`: what was wrong with them; their stderr goes to `log`."""

    def __init__(self, command: list[str], urls: Mapping[str, str], credentials: Credentials, log: Path) -> None:
        self.command, self.log, self.trouble = command, log, list[str]()
        self._urls, self._about = urls, {"urls": dict(urls), **credentials._asdict()}

    def __call__(self, node: str) -> ProgramClient:
        """A client of a node, which is not started yet."""
        return ProgramClient(self, {"node": node, "url": self._urls[node], **self._about})

    def verdicts(self) -> list[Verdict]:
        """Nothing, unless a program did not do what it should: then what clients saw cannot be judged."""
        if not self.trouble:
            return []
        more = f", and {len(self.trouble) - 1} times more" if len(self.trouble) > 1 else ""
        return [Verdict("program", "unknown", f"{Path(self.command[0]).name} {self.trouble[0]}{more}")]


class ProgramClient:
    """A client whose node a program talks to."""

    def __init__(self, programs: Programs, about: Mapping[str, Any]) -> None:
        self._programs, self._about = programs, about
        self._process: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Start the program, and have it connect."""
        if len(self._programs.trouble) >= ENOUGH:
            raise ConnectionError("the program failed too often to be started again")
        with self._programs.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._programs.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; the program ends when its input does
                bufsize=0,
            )
        said = self._ask({"f": "open", "value": self._about})
        if said.type != "ok":
            raise ConnectionError(said.error or "the program could not connect")

    def invoke(self, operation: Operation) -> Operation:
        """Have it performed."""
        asked = {"f": operation.f, "key": operation.key, "value": operation.value, "node": operation.node, "final": operation.final}
        said = self._ask({**asked, **({"old": operation.old} if operation.f == "cas" else {})})
        done = msgspec.structs.replace(operation, type=said.type, error=said.error)
        if said.type == "ok" and operation.f in ("read", "balances"):
            done = msgspec.structs.replace(done, value=said.value)
        return msgspec.structs.replace(done, refused=said.refused and said.type == "fail", stale=said.stale)

    def close(self) -> None:
        """End its input, and it, if it does not end then."""
        process, self._process = self._process, None
        if not process or not process.stdin or not process.stdout:
            return
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()

    def _ask(self, invocation: Mapping[str, Any]) -> Answer:
        """One line in, one line out; `info` where the program does not keep to that."""
        about = f"{invocation['f']} of {invocation['key']}" if "key" in invocation else str(invocation["f"])
        try:
            return msgspec.json.decode(self._line(invocation), type=Answer)
        except msgspec.DecodeError as error:
            return self._off(f"answered {about} with what is no answer: {error}")
        except OSError as error:
            return self._off(f"{error} while it performed {about}")

    def _line(self, invocation: Mapping[str, Any]) -> bytes:
        """Its answer. Raises OSError, whose text says how it failed."""
        if not self._process or not self._process.stdin or not self._process.stdout:
            raise ConnectionError("was not there any more")
        with suppress(BrokenPipeError):  # it has died: its end says how
            self._process.stdin.write(msgspec.json.encode(invocation) + b"\n")
        said, until = b"", time.monotonic() + PATIENCE
        while not said.endswith(b"\n"):
            if len(said) > LINE or not select.select([self._process.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError(f"did not answer within {PATIENCE:g} s")
            if not (more := self._process.stdout.read(LINE)):
                raise ConnectionError(self._died())
            said += more
        return said

    def _died(self) -> str:
        """How it ended, and its last words."""
        try:
            how = f"died with exit code {self._process.wait(1)}" if self._process else "died"
        except subprocess.TimeoutExpired:
            how = "closed its output"
        last = self._programs.log.read_text(errors="replace").strip().rpartition("\n")[2]
        return f"{how}{f' ({cut(fit(last), 120)})' if last else ''}"

    def _off(self, why: str) -> Answer:
        self._programs.trouble.append(why)
        self.close()
        return Answer("info", error=f"the program {why}")
