# Copyright: Nodewise maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one guarded import of the engine, and what every action plugin of this collection shares."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import yaml
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

try:
    import msgspec

    from nodewise import __version__, backups, lease, plan, plan_text, pypi, releases, roll, smoke, soak, summary
    from nodewise.errors import GateFailed, Held, NodewiseError, Refused
    from nodewise.judging import judge_step
    from nodewise.model import Artifact, Hop, Observation, Outcome, Plan, Settings, Step, Subject, good
    from nodewise.observing import unseen
    from nodewise.preflight import refuse_unfit
    from nodewise.record import Run, new_folder
    from nodewise.smoke.finish import finish as smoke_finish

    ENGINE_ERROR = None
except ImportError as missing:
    ENGINE_ERROR = str(missing)
    # Names only, so that plugins load and can say in a task's result what is missing.
    msgspec = __version__ = backups = lease = plan = plan_text = pypi = releases = roll = smoke = smoke_finish = None
    soak = summary = judge_step = unseen = refuse_unfit = new_folder = None
    GateFailed = Held = NodewiseError = Refused = RuntimeError
    Artifact = Hop = Observation = Outcome = Plan = Settings = Step = Subject = Run = good = None

__all__ = [
    "ApprovingAction",
    "Artifact",
    "EngineAction",
    "GateFailed",
    "Held",
    "Hop",
    "NodewiseError",
    "Observation",
    "Outcome",
    "Plan",
    "Refused",
    "Run",
    "Settings",
    "Step",
    "Subject",
    "__version__",
    "backups",
    "good",
    "halt",
    "judge_step",
    "lease",
    "msgspec",
    "new_folder",
    "options",
    "plain",
    "plan",
    "plan_text",
    "pypi",
    "refuse_unfit",
    "releases",
    "role_path",
    "roll",
    "run_of",
    "smoke",
    "smoke_finish",
    "soak",
    "summary",
    "unseen",
]

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
        except Exception as problem:  # noqa: BLE001  a defect of ours must not end a host without a word
            result.update(failed=True, msg=f"{type(problem).__name__}: {problem}", exception=traceback.format_exc())
        return result

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """What the action does. `args` are checked against SPEC; an error is a NodewiseError."""
        raise NotImplementedError

    def say(self, lines: list[str]) -> None:
        """Print to the operator."""
        self._display.display("\n".join(lines))

    def tell(self, lines: list[str]) -> None:
        """Print what stands in the journal, too: not where the callback nodewise.cluster.live shows that."""
        if not os.environ.get("NODEWISE_LIVE"):
            self.say(lines)

    def host(self, task_vars: dict[str, Any]) -> str:
        """The host in hand."""
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

    def approve(self, run: Run, made: Plan, hop: Hop, word: str) -> bool:
        """Return when an operator said yes to this hop: whether that was on the terminal just now. Raises Held otherwise."""
        if any(r["approved"] == hop.to for r in run.records("note") if "approved" in r):
            return False
        way = f"{hop.start} → {hop.to}"
        ahead = f"the point of no return of {way} lies ahead ({hop.no_return.says})"
        if word and not roll.approved(word, made.hash):
            raise Held(f"{ahead}, and {word} was approved, not {made.hash}; the cluster is healthy.\n{roll.ways(made)}")
        if not word and not self.yes(run, f"{made.cluster}: {ahead}. Go past it? [yes/no] "):
            raise Held(f"{ahead}, and nobody approved it; the cluster is healthy and both ways are open.\n{roll.ways(made)}")
        run.note(f"past the point of no return of {way}: approved by {word or 'the operator at the terminal'}", approved=hop.to)
        return not word

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


def halt(run: Run, outcome: Outcome, text: str) -> dict[str, Any]:
    """Decide the outcome and tell the playbook to end the play."""
    run.conclude(outcome, text)
    return {"msg": f"{outcome}: {text}", "ansible_facts": {"nodewise_halted": True}}


def role_path(fqcn: str) -> Path:
    """The folder of a role by its fully qualified name."""
    namespace, _dot, rest = fqcn.partition(".")
    collection, _dot, role = rest.partition(".")
    try:
        package = importlib.import_module(f"ansible_collections.{namespace}.{collection}")
    except ImportError:
        raise NodewiseError(f"the collection {namespace}.{collection} is not installed; it should hold the role {role}") from None
    return Path(next(iter(package.__path__))) / "roles" / role
