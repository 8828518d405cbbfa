# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fault of the engine's on the host of a task: the module of the same name runs its scripts there."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import EngineAction, NodewiseError

with suppress(ImportError):  # said by EngineAction; not in its import, as only this action needs it
    from nodewise.simulation.faults.act import Act
    from nodewise.simulation.faults.fault import Fault
    from nodewise.simulation.faults.host import HostError, NotProved, Scene
    from nodewise.simulation.faults.registry import kinds, read

OWNER = "playbook"  # of all faults that tasks inject: another task heals what one has injected


@dataclass(frozen=True)
class Reached:
    """The host of the task."""

    action: ActionModule
    name: str
    address: str
    args: dict[str, Any]
    task_vars: dict[str, Any]

    def run(self, script: str, timeout: float = 20) -> str:  # noqa: ARG002  (the module has a limit of its own)
        """Run a script there."""
        answer = self.action.ran({**self.args, "script": script}, self.task_vars)
        if answer.get("failed") or "stdout" not in answer:
            why = answer.get("msg") or answer.get("module_stderr") or "the module ended without a message"
            raise HostError(f"{self.name}: {why}")
        return str(answer["stdout"])


@dataclass(frozen=True)
class Elsewhere:
    """Another host, of which the address is known."""

    name: str
    address: str

    def run(self, script: str, timeout: float = 20) -> str:  # noqa: ARG002  (the protocol's)
        """It is not reached from here."""
        raise HostError(f"{self.name} is another host than the task's")


class ActionModule(EngineAction):
    """Inject or heal a fault, once; what the fault itself proves is the task's evidence."""

    _requires_connection = True
    _supports_check_mode = True

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if args["script"]:
            raise NodewiseError("script is not for tasks; name a kind of fault")
        name, folder = self.host(task_vars), os.environ.get("NODEWISE_RUN_DIR")
        host = Reached(self, name, str(task_vars.get("ansible_host", name)), args, task_vars)
        others = {peer: Elsewhere(peer, str(address)) for peer, address in args["peers"].items()}
        scene, fault = Scene({name: host, **others}, [name], args["unit"], _nobody), _fault(args, name)
        fault.check(list(scene.hosts))
        if why := fault.cannot(scene):
            raise NodewiseError(f"{fault.id}: {why}")
        with tempfile.TemporaryDirectory() as scratch:
            try:
                return self.done(Act(fault, scene, Path(folder or scratch) / "journal.jsonl", OWNER), scene, fault, args)
            except HostError as problem:
                raise NodewiseError(str(problem)) from problem

    def ran(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The module's answer."""
        answer: dict[str, Any] = self._execute_module(module_name="nodewise.cluster.fault", module_args=args, task_vars=task_vars)
        return answer

    def done(self, act: Act, scene: Scene, fault: Fault, args: dict[str, Any]) -> dict[str, Any]:
        """Inject it unless the host holds it, or heal it where it does."""
        there, wanted, check = act.adopt(), args["state"] == "present", self._task.check_mode
        if there == wanted:
            if there and not check:
                act.renew(args["seconds"])
            return {"changed": False}
        host, able = next(iter(scene.hosts.values())), fault.able(scene) if wanted else ""
        if able and (why := host.run(able)):
            raise NodewiseError(f"{fault.id}: {host.name} cannot do this: {why}")
        if check:
            return {"changed": True}
        return {"changed": True, "evidence": self.begun(act, args["seconds"]) if wanted else act.end()}

    @staticmethod
    def begun(act: Act, seconds: float) -> str:
        """Injected and proved, or undone again; what is over at once is proved to be over, too."""
        try:
            evidence = act.begin(seconds, seconds)
        except (NodewiseError, HostError):
            act.end()
            raise
        return act.end() if act.fault.holds == "once" else evidence


def _fault(args: dict[str, Any], name: str) -> Fault:
    """The fault, about this host. Raises NodewiseError for one that is about several, or that no host holds."""
    alone = [kind for kind, one in kinds().items() if "target" in one.__struct_fields__ and one.holds in ("lease", "once")]
    if args["kind"] in kinds() and args["kind"] not in alone:
        raise NodewiseError(f"{args['kind']} is for scenarios; for a task there are: {', '.join(alone)}")
    own = {"unit": args["unit"]} if args["unit"] else {}
    return read({**own, **args["fields"], "target": [name], "id": args["name"], "kind": args["kind"]})


def _nobody() -> str:
    raise NotProved("a task does not know who leads; its target is its host")
