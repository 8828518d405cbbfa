# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one guarded import of the engine, and what every action plugin of this collection shares."""

from __future__ import annotations

import atexit
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import yaml
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

try:
    import msgspec
    from packaging.version import Version

    from nodewise import __version__, files, renamed
    from nodewise.errors import GateFailed, NodewiseError, Paused, Refused
    from nodewise.model import (
        KINDS,
        Artifact,
        Hop,
        Observation,
        Outcome,
        Plan,
        ReasonCode,
        Release,
        Settings,
        Step,
        Subject,
        good,
    )
    from nodewise.record import rehearsal
    from nodewise.record.run import Run, new_folder, runs
    from nodewise.record.summary import attempt, decide, midway, worth_collecting
    from nodewise.record.took import earlier
    from nodewise.releases import pypi, sources
    from nodewise.releases.rules import ON_CONTROLLER, load_rules
    from nodewise.smoke import report as smoke_report
    from nodewise.smoke import session as smoke_session
    from nodewise.smoke import suite as smoke_suite
    from nodewise.smoke import verdict as smoke_verdict
    from nodewise.smoke.finish import finish as smoke_finish
    from nodewise.smoke.finish import summarized
    from nodewise.text import nearest, wrapped
    from nodewise.upgrade import ahead, approval, backups, change, lease, memory, order, plan, roll, soak
    from nodewise.upgrade.declared import components, declaration
    from nodewise.upgrade.judging import judge_back, judge_step, noticed
    from nodewise.upgrade.observing import unseen
    from nodewise.upgrade.path import Resolver, hops_through, recovered_to, versions_ahead, way_back
    from nodewise.upgrade.preflight import busy, holds, installs, refuse_short_window, refuse_unfit, refuse_unready, waived
    from nodewise.upgrade.rehearsed import refuse_unrehearsed, unrehearsed
    from nodewise.views.plan import describe
    from nodewise.views.status import status
    from nodewise.views.summary import ending

    ENGINE_ERROR = None
except ImportError as missing:
    ENGINE_ERROR = str(missing)
    # Names only, so that plugins load and can say in a task's result what is missing.
    GateFailed = Paused = NodewiseError = Refused = RuntimeError
    __version__ = ahead = approval = Artifact = attempt = backups = change = components = decide = declaration = describe = None
    ending = good = Hop = hops_through = judge_back = judge_step = lease = load_rules = memory = msgspec = new_folder = None
    Observation = order = Outcome = Plan = plan = pypi = refuse_short_window = refuse_unfit = refuse_unready = recovered_to = None
    refuse_unrehearsed = rehearsal = Release = KINDS = unrehearsed = None
    busy = earlier = files = holds = installs = midway = nearest = noticed = ReasonCode = renamed = None
    Resolver = roll = Run = Settings = smoke_finish = smoke_report = smoke_session = smoke_suite = smoke_verdict = None
    soak = sources = status = Step = Subject = summarized = unseen = Version = versions_ahead = None
    ON_CONTROLLER = ""
    runs = waived = way_back = worth_collecting = wrapped = None

__all__ = [
    "ANEW",
    "KINDS",
    "ON_CONTROLLER",
    "ApprovingAction",
    "Artifact",
    "EngineAction",
    "GateFailed",
    "Hop",
    "NodewiseError",
    "Observation",
    "Outcome",
    "Paused",
    "Plan",
    "Refused",
    "Release",
    "Resolver",
    "Run",
    "Settings",
    "Step",
    "Subject",
    "Version",
    "__version__",
    "ahead",
    "approval",
    "attempt",
    "backups",
    "begin_phase",
    "busy",
    "change",
    "components",
    "decide",
    "declaration",
    "describe",
    "earlier",
    "end_batch",
    "end_roll",
    "end_step",
    "ending",
    "files",
    "good",
    "halt",
    "holds",
    "hops_through",
    "included",
    "installs",
    "judge_back",
    "judge_step",
    "lease",
    "load_rules",
    "memory",
    "msgspec",
    "nearest",
    "new_folder",
    "noticed",
    "options",
    "order",
    "plain",
    "plan",
    "pypi",
    "recovered_to",
    "refuse_short_window",
    "refuse_unfit",
    "refuse_unready",
    "refuse_unrehearsed",
    "rehearsal",
    "renamed",
    "resolved",
    "role_path",
    "roll",
    "run_of",
    "runs",
    "serving",
    "since",
    "smoke_finish",
    "smoke_report",
    "smoke_session",
    "smoke_suite",
    "smoke_verdict",
    "soak",
    "sources",
    "status",
    "summarized",
    "unrehearsed",
    "unseen",
    "versions_ahead",
    "waived",
    "way_back",
    "worth_collecting",
    "wrapped",
]

ANEW = float(2**53)  # seconds since the epoch: no process began after that, so every one is begun anew
RECENT = 5  # records that are looked through for the one of this process
NO_ENGINE = (
    "{} cannot import the Python package nodewise ({}).\n"
    "Use the ansible-playbook of the environment that has it: .venv/bin/ansible-playbook, after `make setup`"
)


class EngineAction(ActionBase):
    """An action that runs on the controller, thin over the engine: `act` returns the task's result.

    An error of the engine fails the task with its text; no task of this collection shows a traceback below -vvv. Arguments are
    checked against the options that its documentation states, in plugins/modules/<name>.py.
    """

    _requires_connection = False
    spec: ClassVar[dict[str, Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Read the options where ansible loads the plugin: each task runs in a copy of that process."""
        super().__init_subclass__(**kwargs)
        package, _dot, name = cls.__module__.rpartition(".")
        cls.spec = options(name) if package.endswith("plugins.action") else {}

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check the arguments, act, and turn any error into a failed task with its text."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if ENGINE_ERROR:
            return {**result, "failed": True, "msg": NO_ENGINE.format(sys.executable, ENGINE_ERROR)}
        try:
            _checked, args = self.validate_argument_spec(self.spec)
            result.update(self.act(plain(args), task_vars or {}))
        except NodewiseError as problem:
            result.update(failed=True, msg=str(problem))
        except AnsibleConnectionFailure:
            raise
        except Exception as problem:  # noqa: BLE001  a defect of ours must not end a host without a message
            result.update(failed=True, msg=f"{type(problem).__name__}: {problem}", exception=traceback.format_exc())
        return result

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """What the action does. `args` are checked against SPEC; an error is a NodewiseError."""
        raise NotImplementedError

    def say(self, lines: list[str]) -> None:
        """Print to the operator."""
        self._display.display("\n".join(lines))

    def warn(self, lines: list[str], run: Run | None = None) -> None:
        """Warn the operator: once a run is shown from its journal, as a note in that, which must not be torn by other output."""
        for line in lines:
            if run:
                run.note(f"warning: {line}")
                self.tell([f"warning: {line}"])
            else:
                self._display.warning(line)

    def tell(self, lines: list[str]) -> None:
        """Print what stands in the journal, too: not where the callback nodewise.cluster.live shows that."""
        if not os.environ.get("NODEWISE_LIVE"):
            self.say(lines)

    def conclusion(self, summary: dict[str, Any], lines: list[str], *, ok: bool) -> dict[str, Any]:
        """How a run ended, as a task's result. Ansible prints all of a failed one: one line then, and a summary only for a view."""
        self.tell(lines if ok else lines[1:])
        seen = ok or os.environ.get("NODEWISE_LIVE")
        return {"failed": not ok, **({} if ok else {"msg": lines[0]}), **({"summary": summary} if seen else {})}

    def rules(self, task_vars: dict[str, Any], releases: dict[str, Any], component: str = "") -> Any:
        """The rules of the system's releases, as its role or the service's own description says them."""
        about = task_vars["nodewise_run"]
        return load_rules(role_path(str(about["role"])), releases, component, partial(self.of_cluster, task_vars))

    def declared(self, task_vars: dict[str, Any], component: str = "") -> Any:
        """What the system's role declares, less what the service that is described does not have."""
        about = task_vars["nodewise_run"]
        return declaration(role_path(str(about["role"])), component, partial(self.of_cluster, task_vars))

    def of_cluster(self, task_vars: dict[str, Any], name: str) -> Any:
        """A variable of the cluster's, as its first member has it."""
        first = str(task_vars["nodewise_run"]["members"][0])
        return plain(self.of_host(task_vars, first, [name].__contains__).get(name))

    def of_host(self, task_vars: dict[str, Any], host: str, wanted: Callable[[str], bool]) -> dict[str, Any]:
        """A host's variables by the names that are wanted. Templates in them may name other hosts: `hostvars[host]` denies that."""
        own, hostvars = task_vars["hostvars"].raw_get(host), task_vars["hostvars"]
        templar = self._templar.copy_with_new_env(available_variables={**own, "hostvars": hostvars})
        return {name: templar.template(value) for name, value in own.items() if wanted(name)}

    def host(self, task_vars: dict[str, Any]) -> str:
        """The current host."""
        return str(task_vars["inventory_hostname"])

    def patiently(self, module: str, args: dict[str, Any], task_vars: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Run a module that may be run again; a connection that is cut is tried anew for some seconds.

        Raises AnsibleConnectionFailure when the node does not come back in that time.
        """
        until = time.monotonic() + seconds
        while True:
            try:
                answer: dict[str, Any] = self._execute_module(module_name=module, module_args=args, task_vars=task_vars)
            except AnsibleConnectionFailure:
                if time.monotonic() > until:
                    raise
                time.sleep(1)
                with suppress(AnsibleError):
                    self._connection.reset()  # the path of a shared connection may be what is dead
            else:
                return answer


class ApprovingAction(EngineAction):
    """An action that may stand before a point of no return, which is asked for and never slid into."""

    def approve(self, run: Run, made: Plan, hop: Hop, task_vars: dict[str, Any]) -> bool:
        """Return when an operator said yes to this hop: whether that was on the terminal just now. Raises Paused otherwise."""
        about = plain(task_vars["nodewise_run"])
        word = about["approve"]
        if any(r["approved"] == hop.to for r in run.records("note") if "approved" in r):
            return False
        way = f"{hop.start} → {hop.to}"
        ahead = f"the point of no return of {way} lies ahead ({hop.no_return.says})"
        if why := about["approvers"] > 1 and approval.same_user(lease.who(), self.begun_by(made, task_vars)):
            raise Paused("approval_needed", f"{ahead}, and {why}; {serving(run)}")
        if word and not approval.approved(word, made.hash):
            text = f"{ahead}, and {word} was approved, not {made.hash}; {serving(run)}"
            raise Paused("approval_needed", text)
        if not word and not self.yes(run, f"{made.cluster}: {ahead}. Go past it? [yes/no] "):
            text = f"{ahead}, and nobody approved it; {serving(run)}"
            raise Paused("approval_needed", text)
        ways = {"": "at the terminal", "any": "in advance, whatever the plan (nodewise_approve=any)"}
        how = ways.get(word, f"in advance, for plan {word}")
        run.note(f"past the point of no return of {way}: approved {how}", approved=hop.to)
        return not word

    def pass_by(self, run: Run, made: Plan, hop: Hop, what: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Ask where going back ends before this, the finalization or a step of the cluster; pause the run where nobody said yes."""
        if hop.no_return and hop.no_return.before == what:
            try:
                self.approve(run, made, hop, task_vars)
            except Paused as problem:
                return halt(run, "paused", str(problem), problem.reason_code)
        return {}

    def begun_by(self, made: Plan, task_vars: dict[str, Any]) -> list[str | None]:
        """Who began this upgrade, as the nodes remember it; none while it is this run that begins it."""
        states = {name: plain(task_vars["hostvars"][name].get("nodewise_node") or {}).get("state") for name in made.members}
        return memory.begun_by((memory.record_of(state, made.component) for state in states.values()), made)

    def yes(self, run: Run, question: str) -> bool:
        """Whether somebody at a terminal says yes; without a terminal nobody does."""
        if not os.path.realpath(f"/proc/{os.getppid()}/fd/0").startswith(("/dev/pts/", "/dev/tty")):
            return False  # ansible-playbook's own input: that of this worker is closed
        run.note("the operator at the terminal is asked", asks=True)
        time.sleep(0.5)  # until the view has seen that and left the terminal alone
        try:
            answer = self._display.prompt_until(question)
        except AnsibleError:
            return False
        return bool(answer.decode(errors="replace").strip().lower() == "yes")


def serving(run: Run) -> str:
    """How many members serve, as they were last seen."""
    members = [member for seen in run.observations().values() for member in seen.members]
    return f"{sum(member.serving for member in members)} of {len(members)} members serve"


def tell_interrupted(pid: int) -> None:
    """Tell how a run ended that Ctrl-C, or an error of Ansible itself, kept from its last play. Done as ansible-playbook exits."""
    if os.getpid() != pid:  # a worker
        return
    given = os.environ.get("NODEWISE_RUN_DIR")
    for folder in [Path(given)] if given else sorted(runs().glob("*"))[-RECENT:]:
        run = Run(folder)
        with suppress(NodewiseError, OSError, ValueError):
            if run.read_json("run.json").get("controller") == lease.me(pid) and not run.read_json("summary.json").get("outcome"):
                run.conclude("interrupted", midway(run), "interrupted")
                sys.stdout.write("\n".join(["", *ending(summarized(run), folder), ""]))


if not ENGINE_ERROR:
    atexit.register(tell_interrupted, os.getpid())


def options(action: str) -> dict[str, Any]:
    """An argument_spec from an action's documentation, and from the fragments of this collection that it extends."""
    plugins = "ansible_collections.nodewise.cluster.plugins"
    documented = yaml.safe_load(importlib.import_module(f"{plugins}.modules.{action}").DOCUMENTATION)
    found = specified(documented)
    for fragment in documented.get("extends_documentation_fragment", []):
        if fragment.startswith("nodewise.cluster."):
            shared = importlib.import_module(f"{plugins}.doc_fragments.{fragment.rpartition('.')[2]}").ModuleDocFragment
            found = {**specified(yaml.safe_load(shared.DOCUMENTATION)), **found}
    return found


def specified(documented: dict[str, Any]) -> dict[str, Any]:
    """An argument_spec from documented options; what is inside of a dictionary is documented as suboptions."""
    return {
        name: {
            **{key: value for key, value in one.items() if key not in ("description", "suboptions")},
            **({"options": specified({"options": one["suboptions"]})} if "suboptions" in one else {}),
        }
        for name, one in documented.get("options", {}).items()
    }


def plain(value: Any) -> Any:
    """A value without ansible-core's tags (it marks each string with its origin), which other libraries do not know."""
    return json.loads(json.dumps(value))


def run_of(task_vars: dict[str, Any]) -> Run:
    """The run that `nodewise.cluster.begin` opened."""
    try:
        return Run(Path(str(task_vars["nodewise_run"]["dir"])))
    except KeyError:
        raise NodewiseError("there is no run: nodewise.cluster.begin must be the first task of the play") from None


def end_step(run: Run, name: str, gates: list[str], node: str | None, to: str, **context: Any) -> dict[str, Any]:
    """Ask the gates of a step, and end it in the journal; raises GateFailed where one does not hold."""
    if gates and (failed := judge_step(run, gates, node, to, **context)):
        raise GateFailed(failed)
    run.end(name, ok=True, node=node)
    return {"nodewise_step": {}}


def end_batch(run: Run, task_vars: dict[str, Any]) -> dict[str, Any]:
    """Halt unless every node of the last batch ended each of its steps well: one that is silent was lost."""
    if run.outcome():
        return {"ansible_facts": {"nodewise_halted": True}}
    if lost := lost_in(run, plain(task_vars.get("nodewise_batch") or {})) if run.under_way("roll") else []:
        text = (
            f"{', '.join(lost)} was lost during its batch; no other member was touched.\n"
            "Bring it back, then run the same command again"
        )
        return halt(run, "paused", text, "member_lost")
    return {}


def end_roll(run: Run, task_vars: dict[str, Any]) -> dict[str, Any]:
    """The same of the last batch of a hop, after which its roll has ended."""
    halted = end_batch(run, task_vars)
    if not halted and run.under_way("roll"):
        run.end("roll", ok=True)
    return halted


def lost_in(run: Run, batch: dict[str, Any]) -> list[str]:
    """Nodes of a batch that did not end each of its steps well."""
    since = max((r["seq"] for r in run.records("note") if "batch" in r), default=0)
    ended = {(r.get("node"), r["step"]) for r in run.records("step", "end") if r["ok"] and r["seq"] > since}
    return sorted(
        node
        for node in batch.get("nodes", [])
        if any((node, part.get("step", {}).get("name", part["file"])) not in ended for part in batch["work"][node])
    )


def begin_phase(run: Run, name: str, members: list[str]) -> None:
    """Begin what is done on every member at once, for the cluster and for each of them."""
    for each in (None, *members):
        run.begin(name, node=each)


def resolved(run: Run, declared: dict[str, Any], node: str | None, successor: str | None = None) -> dict[str, Any]:
    """What the tasks of a step read as `nodewise_step`: the version to put there, who takes over, what to wait for."""
    if not declared:
        return {}
    made = run.read_plan()
    hop = made.hops[run.hop()["hop"]]
    return {
        **declared,
        "version": hop.to,
        "successor": successor,
        "settled": plan.settled(Step(**declared), hop, node, hop.to),
        "deadline": made.settings.deadline,
    }


def included(made: Plan, verb: str) -> dict[str, str]:
    """Which role has the tasks of a verb: the system's, unless the verb names another one, as nodewise.cluster.node.reboot."""
    role, _dot, name = verb.rpartition(".")
    return {"role": role or made.role, "verb": name}


def since(made: Plan, task_vars: dict[str, Any], *, begins: bool) -> float | None:
    """The moment, in seconds of the current node's clock, before which a process that keeps its version is begun anew.

    0 leaves one alone that runs. None in a run that changes versions: there the version says whether it has to be begun anew.
    """
    if not made.change:
        return None
    return time.time() + float(plain(task_vars["nodewise_node"]).get("ahead_s") or 0.0) if begins else 0.0


def halt(run: Run, outcome: Outcome, text: str, reason_code: ReasonCode | None = None) -> dict[str, Any]:
    """Decide the outcome and tell the playbook to end the play. A run that is paused, or needs an operator, says why in a word."""
    run.conclude(outcome, text, reason_code)
    return {"msg": f"{outcome}: {text}", "ansible_facts": {"nodewise_halted": True}}


def planned(run: Run, made: Plan) -> dict[str, Any]:
    """End a run that only plans."""
    return halt(run, "planned", f"nothing was changed; plan {made.hash} is in {run.folder}/plan.yaml")


def role_path(fqcn: str) -> Path:
    """The folder of a role by its fully qualified name."""
    namespace, _dot, rest = fqcn.partition(".")
    collection, _dot, role = rest.partition(".")
    try:
        package = importlib.import_module(f"ansible_collections.{namespace}.{collection}")
    except ImportError:
        raise NodewiseError(f"the collection {namespace}.{collection} is not installed; it should hold the role {role}") from None
    return Path(next(iter(package.__path__))) / "roles" / role
