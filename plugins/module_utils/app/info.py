# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the members of a described service say, put together as an observation."""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.app.asking import Unanswered, ask, matches
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.state import state
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.telling import told
from ansible_collections.nodewise.cluster.plugins.module_utils.host.observation import absent, settle, timestamp
from ansible_collections.nodewise.cluster.plugins.module_utils.host.unit import Unit

MOST_AT_ONCE = 32
TRIES = 8  # looks at the state while it differs: a write reaches members some milliseconds apart
OPTIONS: dict[str, Any] = {
    "members": {"type": "list", "elements": "dict", "required": True},
    "places": {"type": "dict", "default": {}},
    "back": {"type": "list", "elements": "dict", "default": [], "no_log": True},
    "questions": {"type": "dict", "required": True, "no_log": True},
    "balancer": {"type": "dict", "no_log": True},
    "schema": {"type": "dict", "default": {}, "no_log": True},
}


def secret(given: Any) -> set[str]:
    """Return what of questions may be secret: headers, bodies, what is sent, and passwords. All else may be shown."""
    if isinstance(given, list):
        return {text for one in given for text in secret(one)}
    if not isinstance(given, dict):
        return set()
    own = [*(given.get("headers") or {}).values(), given.get("body"), given.get("send"), given.get("password")]
    return {text for text in own if text} | {text for one in given.values() for text in secret(one)}


def observe(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what app_info returns, from its module parameters."""
    observer = Observer(parameters)
    settled = parameters["settled"] or {}
    deadline = parameters["deadline"] if settled else 0
    observation, lacking, looks, seconds = settle(observer.look, observer.complete, settled, deadline)
    return {"observation": observation, "missing": lacking, "polls": looks, "seconds": seconds}


def observe_after(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what app_switch adds where `settled` was given: the observation, and the unit's last words where it is off."""
    if parameters["settled"] is None:
        return {}
    found = observe(parameters)
    if found["missing"]:
        words = Unit(parameters["unit"]).last_words(time.time() - found["seconds"])
        found["missing"] = [*(f"{parameters['unit']} said last: {line}" for line in words[-1:]), *found["missing"]]
    return found


class Observer:
    """Asks all members at once."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.members, self.places = parameters["members"], parameters["places"]
        self.back, self.balancer = parameters["back"], parameters["balancer"]
        self.questions = {name: question for name, question in parameters["questions"].items() if question}
        self._seen: list[dict[str, Any]] = []
        self.schema: dict[str, Any] = parameters.get("schema") or {}
        self._schema: dict[str, Any] = {}

    def look(self) -> dict[str, Any]:
        """Ask for all but the state."""
        self._seen = self._all(self._member)
        return self._observation()

    def complete(self) -> dict[str, Any]:
        """Return the last look with the state of each member, and the schema of their database."""
        if self.schema:
            self._schema = {"schema": state(self.schema)}
        if "state" in self.questions:
            for attempt in range(TRIES):
                told = self._all(lambda member: self._asked(member, "state"))
                if len({print_of(value) for value, _error in told}) == 1:
                    break
                time.sleep(0.01 * attempt)
            for member, (value, error) in zip(self._seen, told):
                member["fingerprint"] = None if error else print_of(value)
                member["errors"] += [error] if error and member["serving"] else []
        return self._observation()

    def _all(self, ask_one: Any) -> list[Any]:
        with ThreadPoolExecutor(max_workers=min(MOST_AT_ONCE, len(self.members))) as pool:
            return list(pool.map(ask_one, self.members))

    def _asked(self, member: dict[str, str], name: str) -> tuple[Any, str]:
        if name not in self.questions:
            return None, ""
        try:
            return ask(self.questions[name], member, self.places), ""
        except Unanswered as error:
            return None, f"{name}: {error}"

    def _member(self, member: dict[str, str]) -> dict[str, Any]:
        told = {name: self._asked(member, name) for name in ("ready", "version", "started")}
        errors = [error for _value, error in told.values() if error]
        version, started = (None if told[name][0] is None else str(told[name][0]) for name in ("version", "started"))
        return {
            **absent(member["name"], ""),
            "version": version,
            "role": "peer",
            "serving": not told["ready"][1],
            "started_at": started,
            "errors": errors,
            "details": {"unfinished": True, "drained": drained} if (drained := self._drained(member)) else {},
        }

    def _spare(self) -> dict[str, Any]:
        """Return how many members the balancer can do without, or why that is unknown."""
        try:
            count = matches(self.balancer["servers"], self.members[0], self.places)
        except Unanswered as error:
            return {"spare": None, "spare_error": f"the load balancer: {error}"}
        return {"spare": count - self.balancer["least"]}

    def _drained(self, member: dict[str, str]) -> str:
        """Return why a member is not in service, or nothing: it is to be taken through its steps again."""
        for question in self.back:
            try:
                ask(question, member, self.places)
            except Unanswered as error:
                return str(error)
        return ""

    def _observation(self) -> dict[str, Any]:
        versions = {member["version"] for member in self._seen}
        prints = {member["fingerprint"] for member in self._seen}
        noted = told(self.schema, self._schema["schema"], versions) if self._schema else {}
        cluster: dict[str, Any] = {
            # What may not change between plan and run: of a described service the schema, as a change by hand is drift.
            "id": self._schema["schema"]["fingerprint"] if self._schema else None,
            "version": versions.pop() if len(versions) == 1 else None,
            "leader": None,
            "quorum": None,
            "fingerprint": prints.pop() if len(prints) == 1 else None,
            "fingerprint_at": None,
            "alarms": [],
            "details": {**(self._spare() if self.balancer else {}), **self._schema, **noted},
        }
        return {"system": "app", "at": timestamp(), "cluster": cluster, "members": self._seen}


def print_of(value: Any) -> str:
    """Return a short text that is the same for equal values, in whichever order lists have their entries."""
    return hashlib.sha256(_canonical(value).encode()).hexdigest()[:16]


def _canonical(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(sorted(map(_canonical, value))) + "]"
    return json.dumps(value)
