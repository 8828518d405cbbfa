# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cluster on a testnet says of itself, seen as an upgrade would, and questions about it, asked as gates are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from nodewise.errors import UnknownResult
from nodewise.gates.context import context
from nodewise.gates.judgement import Judgement, judge
from nodewise.model import Gate, Observation
from nodewise.simulation.playbook import follow
from nodewise.testnet.state import Testnet

PLAYBOOK = Path(__file__).with_name("observe.yml")


class Observer:
    """Observes the cluster on a testnet, one look at a time. `folder` is for the log, and for the last observation."""

    def __init__(self, net: Testnet, folder: Path) -> None:
        self._net, self._folder, self._looking = net, folder, threading.Lock()
        self._first: Observation | None = None
        self._last: Observation | None = None
        self._at = 0.0

    def look(self, age: float = 0.0) -> Observation:
        """What the cluster says, as it was `age` seconds ago at most; a look takes a second or more. Raises UnknownResult."""
        with self._looking:
            if not self._last or time.monotonic() - self._at > age:
                self._last, self._at = self._look(), time.monotonic()
            self._first = self._first or self._last
            return self._last

    def ask(self, gates: Iterable[Gate], age: float = 0.0) -> list[Judgement]:
        """A judgement of each gate about an observation; `before` is the first one that was made. Raises UnknownResult."""
        now = self.look(age)
        about = context(now, self._first or now, [node.name for node in self._net.nodes], to=self._net.version or "")
        return [judge(gate, about) for gate in gates]

    def until(self, when: str, over: Callable[[], bool]) -> bool:
        """Look again and again until an expression is exactly true; False when it is `over` before."""
        while not over():
            try:
                if self.ask([Gate("when", when, "it does not hold")])[0].ok:
                    return True
            except UnknownResult:
                continue  # what could not be seen is not true; whoever waits goes on waiting
        return False

    def _look(self) -> Observation:
        self._folder.mkdir(exist_ok=True)
        kept = self._folder / "observation.json"
        kept.unlink(missing_ok=True)
        given = {"nodewise_cluster": self._net.name, "observation_file": str(kept)}
        environment = {"NODEWISE_TESTNET": self._net.name, "NODEWISE_VIEW": "off"}
        code = follow(str(PLAYBOOK), run_dir=self._folder, variables=given, environment=environment, tick=lambda: None)
        try:
            return msgspec.json.decode(kept.read_bytes(), type=Observation)
        except (OSError, msgspec.DecodeError) as error:
            log = self._folder / "ansible.log"
            raise UnknownResult(f"{self._net.name} could not be observed (exit code {code}: {error}); look into {log}") from error
