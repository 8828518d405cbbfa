"""Upgrades without ansible-playbook: the order of the plays, around the real actions and, in this process, the real modules.

What decides here is what decides in production, on observations of the toy system. That the plays of roles/upgrade carry it out
in this order is what tests/integration/test_control_flow.py shows.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any
from unittest import mock

from ansible.errors import AnsibleConnectionFailure
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.testing import patch_module_args
from ansible.parsing.dataloader import DataLoader

from nodewise.errors import NodewiseError
from tests.notes import Notes

OURS, THEIRS = "ansible_collections.nodewise.cluster.plugins", "ansible_collections.acme.demo.plugins"
DEFAULTS: dict[str, Any] = {
    "cluster": "",
    "component": "",
    "window_start": "",
    "window_end": "",
    "approve": "any",
    "allow_any": True,
    "approvers": 1,
    "change": "",
}  # of begin, as roles/upgrade has them
PARTS = {"refill": "ink", "turn": "page"}  # what a verb of a component changes
SAMPLE: dict[str, Any] = {
    "seconds": 5.0,
    "restarts": 0,
    "probe": {"count": 20, "failed": 0, "p50_ms": 1.0, "p99_ms": 2.0, "max_ms": 3.0},
    "command": None,
    "patterns": {"lost leader": 0},
    "errors": [],
    "ended": "",
}


class EndOfPlayError(Exception):
    """The play ends here: `meta: end_play`."""


class HostVars(dict[str, dict[str, Any]]):
    """Variables by host, with the inventory that the choice of a cluster is made from."""

    def __init__(self, file: Path) -> None:
        self._inventory = InventoryManager(loader=DataLoader(), sources=[str(file)])
        groups = {name: list(map(str, group.get_hosts())) for name, group in self._inventory.groups.items()}
        self.groups: dict[str, list[str]] = groups
        super().__init__({host.name: dict(host.get_vars()) for host in self._inventory.get_hosts()})
        for name, group in self._inventory.groups.items():
            for host in groups[name]:
                self[host] = {**group.get_vars(), **self[host]}

    def raw_get(self, host: str) -> dict[str, Any]:
        """Variables as the inventory has them: there are no templates here."""
        return self[host]


class Simulated(Notes):
    """The toy cluster, upgraded by decisions alone. `meanwhile` is called after each change, with the name of its step."""

    meanwhile: Callable[[str], object] = staticmethod(lambda _step: None)
    limit: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()  # hosts that no connection reaches
    fresh = 0.0  # seconds that a look is good for
    package_wait = 0.0  # seconds that another package manager is waited for
    bad_stage = ""  # a host on which staging fails
    warned: list[str]  # what an operator was warned of
    answer = False  # of an operator who is asked
    pause_is_ok = False
    boots: Mapping[str, str] = MappingProxyType({})  # which start of itself a node is, other than the first
    bad_patch = ""  # a host on which the command before the reboot fails
    setting = "plain"  # of every member, as the inventory says it
    told: dict[str, Any]  # the result of the last task
    cached: Mapping[str, dict[str, Any]] = MappingProxyType({})  # what a fact cache kept, by host
    soaked: Mapping[str, Any] = MappingProxyType({})  # what the canary's sample has other than the baseline

    def upgrade(self, to: str = "", *, kind: str = "upgrade", check: bool = False, **given: Any) -> str:
        """Run the plays to their end; returns the outcome."""
        self.vars, self.check, self.warned = HostVars(self.folder / "hosts.yml"), check, []
        for host, facts in self.cached.items():
            self.vars[host].update(facts)
        chosen = {name: given.pop(name, default) for name, default in DEFAULTS.items()}
        with contextlib.suppress(EndOfPlayError), mock.patch.dict(os.environ, NODEWISE_RUN_DIR=str(self.run_dir)):
            self.once("begin", kind=kind, record=True, to=to, **chosen)
            self.go_on()
            self.whole(to, given)
        with mock.patch.dict(os.environ, NODEWISE_LIVE="1"):  # the result has the summary
            self.told = self.once("summary", state="decided")
            if "summary" not in self.told:
                for host in self.members():
                    self.act("lease", host, state="released")
                self.told = self.once("summary", state="told", pause_is_ok=self.pause_is_ok)
        return str(self.told["summary"]["outcome"])

    def rollback(self, **given: Any) -> str:
        """Run the plays of a rollback."""
        return self.upgrade(kind="rollback", **given)

    def whole(self, to: str, given: dict[str, Any]) -> None:
        """Probe, plan, lock, stage, recover, and each hop."""
        for host in self.members():
            if host not in self.lost:
                node = self.module(f"{OURS}.modules.node_info", root=str(self.folder / host))
                self.vars[host]["nodewise_node"] = {**node, "ahead_s": 0.0, "boot": self.boots.get(host, "first")}
        if self.vars[self.first()]["nodewise_run"]["tries"]:
            self.check, really = True, self.check
            for host in self.members():
                self.configure(host)
            self.check = really
        self.look()
        if given.get("soak"):
            self.everywhere({"nodewise_baseline": SAMPLE})
        self.once("plan", to=to, **{"deadline": 0.0, **given})
        self.go_on()
        for host in self.members():
            self.act("lease", host, state="taken")
        self.once("lease", state="judged")
        self.go_on()
        for part in self.vars[self.first()]["nodewise_parts"]:
            getattr(self, part["file"])(part)

    def secure(self, _part: dict[str, Any]) -> None:
        """The backup: these members have nothing to back up."""
        self.once("step", name="secure", state="phase_begun")
        self.once("step", name="secure", state="phase_done")

    def stage(self, part: dict[str, Any]) -> None:
        """One phase on every node at once."""
        self.once("hop", index=part["hop"], state="staged")
        if self.bad_stage and not self.halted():
            self.act("step", self.bad_stage, name="stage", state="failed", node=True, why="sha256 is 1, expected 2")
        self.once("step", name="stage", state="phase_done")

    def recover_node(self, part: dict[str, Any]) -> None:
        """Bring a member back before anything else."""
        node = part["node"]
        self.recovered(node, part["release"])
        self.once("recover", state="judged", node=node)
        self.go_on()

    def recovered(self, node: str, release: dict[str, Any]) -> None:
        """Its service, unless the run has ended."""
        if self.halted():
            return
        try:
            self.act("recover", node, state="begun", release=release)
            if "put_back" in [one["verb"] for one in self.vars[node]["nodewise_step"]["verbs"]]:
                self.act("node_files", node, state="former")
            self.put(node)
            self.look(node)
            self.act("recover", node, state="ended")
        except NodewiseError as failed:
            self.act("recover", node, state="failed", why=str(failed))

    def hop(self, part: dict[str, Any]) -> None:
        """Begin a hop."""
        self.once("hop", index=part["hop"], state="begun", package_wait=self.package_wait)

    def hop_end(self, part: dict[str, Any]) -> None:
        """End a hop; where the run has ended, the next part ends the play."""
        self.once("hop", index=part["hop"], state="ended")

    def cluster_step(self, part: dict[str, Any]) -> None:
        """A step of the cluster, unless it is done; taken back when it fails."""
        step = part["step"]
        self.look()
        self.once("cluster_step", step=step, state="begun")
        self.go_on()
        if self.vars[self.first()]["nodewise_step"]:
            self.cluster_change(step)
        self.go_on()

    def cluster_change(self, step: dict[str, Any]) -> None:
        """Change, observation, gates; or the way back."""
        try:
            self.shared(self.vars[self.first()]["nodewise_step"]["verb"])
            self.meanwhile(step["name"])
            self.look()
            self.once("judge", name=step["name"], gates=step["after"])
        except NodewiseError as failed:
            self.once("cluster_step", step=step, state="failed", why=str(failed))
            why = ""
            try:
                for verb in self.vars[self.first()]["nodewise_step"]["verbs"]:
                    self.shared(verb)
            except NodewiseError as again:
                why = str(again)
            self.look()
            self.once("cluster_step", step=step, state="undone", why=why)

    def shared(self, verb: str) -> None:
        """Have the toy system's module change what all members share."""
        change = {"widen": {"width": 2}, "narrow": {"width": 1}, "throw_away": {"narrow": False}}[verb]
        if message := self.module(f"{THEIRS}.modules.notes_cluster", folder=str(self.folder), **change).get("msg"):
            raise NodewiseError(message)

    def batch(self, _part: dict[str, Any]) -> None:
        """Resolve the next batch, and change its nodes."""
        self.once("batch", state="begun", fresh=self.fresh)
        self.do()

    def further_batches(self, part: dict[str, Any]) -> None:
        """As many more as there are members left."""
        self.once("batch", state="further")
        for _ in self.vars[self.first()]["nodewise_further"]:
            self.batch(part)

    def do(self) -> None:
        """What the members do in a batch, file by file."""
        todo = self.vars[self.first()]["nodewise_batch"]["todo"]
        files = list(dict.fromkeys(file for files in todo.values() for file in files))
        for file in files:
            hosts = [host for host, files in todo.items() if file in files]
            {"end": self.end, "look_and_resolve": self.look_and_resolve, "wait": self.wait, "node": self.nodes}[file](hosts)

    def end(self, _hosts: list[str]) -> None:
        """No batch is begun any more."""
        raise EndOfPlayError

    def look_and_resolve(self, hosts: list[str]) -> None:
        """Keep the cluster, look at it, and resolve the batch after that."""
        for host in hosts:
            self.act("lease", host, state="kept", seconds=0.0)
        self.look()
        self.once("batch", state="looked")
        self.do()

    def wait(self, _hosts: list[str]) -> None:
        """Until other package managers are done."""
        for node in self.vars[self.first()]["nodewise_batch"]["nodes"]:
            self.act("release_wait", node, wait_s=self.vars[node]["nodewise_hop"]["wait"])
        self.once("batch", state="waited")
        self.go_on()

    def nodes(self, hosts: list[str]) -> None:
        """The nodes of the batch, each through its steps."""
        for host in hosts:
            self.node(host)

    def node(self, node: str) -> None:
        """Take a node through its steps; take it back when one fails."""
        batch = self.vars[node]["nodewise_batch"]
        try:
            for part in batch["work"][node]:
                if "step" in part:
                    self.step(node, part)
                elif part["file"] == "soak":
                    self.soak(node, batch)
        except NodewiseError as failed:
            name = self.vars[node].get("nodewise_step", {}).get("name", "batch")
            self.act("step", node, name=name, state="failed", node=True, why=str(failed))
            self.undo(node)

    def step(self, node: str, part: dict[str, Any]) -> None:
        """Intent, change, observation, gates."""
        step = part["step"]
        self.act("step", node, name=step["name"], state="begun", node=True, step=step)
        if step["name"] == "configure":
            self.configure(node)
        elif step["name"] == "reboot":
            self.reboot(node)
        elif step["name"] == "drain":
            self.look(node, changes=True, handover=[node, self.vars[node]["nodewise_step"]["successor"]])
        else:
            self.put(node, PARTS.get(step["name"], "version"))
        self.meanwhile(step["name"])
        if "observe" in [one["verb"] for one in part["verbs"]]:
            with mock.patch.dict(self.vars[node], nodewise_ends_step=True):
                self.look(node)
        if part["file"] == "step_without_gates":
            self.act("judge", node, name=step["name"], gates=[], node=True)

    def soak(self, node: str, batch: dict[str, Any]) -> None:
        """Watch the canary."""
        self.act("step", node, name="soak", state="begun", node=True)
        self.vars[node]["nodewise_soaked"] = {**SAMPLE, **self.soaked}
        self.meanwhile("soak")
        self.look(node)
        self.act("judge", node, name="soak", gates=batch["watched"], node=True)

    def undo(self, node: str) -> None:
        """Take a node back, where that is allowed."""
        self.look(node)
        self.act("undo", node, state="begun")
        if self.vars[node]["nodewise_halted"]:
            return
        for verb in [one["verb"] for one in self.vars[node]["nodewise_step"]["verbs"]]:
            if verb == "put_back":
                self.act("node_files", node, state="former")
            elif verb == "set_aside":
                self.vars[node]["notes_aside"] = {"kept": f"/data/{node}.apart", "revision": 115}
                self.member(node, serving=False, apart=None)
            else:
                self.put(node, PARTS.get(verb, "version"))
        self.look(node)
        self.act("undo", node, state="ended")

    def finalize(self, part: dict[str, Any]) -> None:
        """Reach the end of a hop."""
        self.once("hop", index=part["hop"], state="finalizing")
        if self.halted():
            return
        try:
            self.look()
            self.once("judge", name="finalize", gates=self.vars[self.first()]["nodewise_hop"]["finalize"]["after"])
        except NodewiseError as failed:
            self.once("step", name="finalize", state="failed", why=str(failed))

    def reboot(self, node: str) -> None:
        """A node that was patched is another start of itself."""
        if node == self.bad_patch:
            raise NodewiseError("the patch command ended with 100 and said last: E: broken. The node was not rebooted")
        self.boots = {**self.boots, node: "second"}

    def configure(self, node: str) -> None:
        """What the role writes there, or would."""
        self.act("node_files", node, files={str(self.folder / f"{node}.conf"): {"content": self.setting}})

    def put(self, node: str, what: str = "version") -> None:
        """Have the toy system's module change a member to the version of the step."""
        version = self.vars[node]["nodewise_step"]["version"]
        self.module(f"{THEIRS}.modules.notes_member", folder=str(self.folder), name=node, **{what: version})

    def look(self, node: str = "", *, changes: bool = False, **args: Any) -> None:
        """Observe: of a node its group, else each group once."""
        about = self.vars[node or self.first()]["nodewise_run"]
        for names in about["groups"].values():
            if not node or node in names:
                asked = {"folder": str(self.folder), "members": names, "version": about["component"] or "version", **args}
                self.act("observe", node or names[0], module="acme.demo.notes_info", args=asked, changes=changes)

    def members(self) -> list[str]:
        """Hosts of the cluster that was chosen."""
        return list(self.vars[self.first()].get("nodewise_run", {}).get("members", []))

    def first(self) -> str:
        """The host that a task with `run_once` runs on."""
        return next(iter(self.vars))

    def halted(self) -> bool:
        """Whether an action said that the run has ended."""
        return bool(self.vars[self.first()]["nodewise_halted"])

    def go_on(self) -> None:
        """End the play where an action said so."""
        if self.halted():
            raise EndOfPlayError

    def everywhere(self, facts: dict[str, Any]) -> None:
        """Set facts on all hosts."""
        for variables in self.vars.values():
            variables.update(facts)

    def once(self, name: str, /, **args: Any) -> dict[str, Any]:
        """An action with `run_once`: its facts are those of all hosts."""
        result = self.act(name, self.first(), **args)
        self.everywhere(result.get("ansible_facts", {}))
        return result

    def act(self, name: str, host: str, /, **args: Any) -> dict[str, Any]:
        """Run an action of this collection for a host, with its arguments validated; an error of the engine is raised."""
        module = importlib.import_module(f"{OURS}.action.{name}")
        action = module.ActionModule.__new__(module.ActionModule)
        action._task = SimpleNamespace(check_mode=self.check)
        action._loader = DataLoader()
        templar = SimpleNamespace(template=lambda value: value)
        templar.copy_with_new_env = lambda **_: templar
        action._templar = templar
        action._execute_module = self.execute
        action.tell = lambda _lines: None
        action._display = SimpleNamespace(warning=self.warned.append)
        action.yes = lambda _run, _question: self.answer
        checked = ArgumentSpecValidator(action.spec).validate(args)
        assert not checked.error_messages, checked.error_messages
        result: dict[str, Any] = action.act(checked.validated_parameters, self.task_vars(host))
        facts = result.get("ansible_facts", {})
        self.vars[host].update(facts)
        if facts.get("nodewise_halted"):
            self.everywhere({"nodewise_halted": True})
        return result

    def task_vars(self, host: str) -> dict[str, Any]:
        """What an action reads."""
        hosts = [name for name in self.vars if not self.limit or name in self.limit]
        plays = {"ansible_play_hosts": [name for name in hosts if name not in self.lost], "ansible_play_hosts_all": hosts}
        return {**self.vars[host], **plays, "inventory_hostname": host, "hostvars": self.vars, "groups": self.vars.groups}

    def execute(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """What an action has its node do."""
        if task_vars["inventory_hostname"] in self.lost:
            raise AnsibleConnectionFailure("nobody listens")
        package = OURS if module_name.startswith("nodewise.cluster.") else THEIRS
        return self.module(f"{package}.modules.{module_name.rpartition('.')[2]}", **module_args)

    def module(self, name: str, /, **args: Any) -> dict[str, Any]:
        """Run a module in this process; what it printed is its answer."""
        printed = io.StringIO()
        if self.check and name.endswith(".node_files"):
            args["_ansible_check_mode"] = True
        with patch_module_args(args), contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            importlib.import_module(name).main()
        answer: dict[str, Any] = json.loads(printed.getvalue())
        return answer
