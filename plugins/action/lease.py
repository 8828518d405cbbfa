# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lease over the cluster: the module of this name on each node, and, once, what all of them answered."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    EngineAction,
    NodewiseError,
    Run,
    halt,
    lease,
    memory,
    plain,
    run_of,
)

NOT_REACHED = "cannot be reached"


class ActionModule(EngineAction):
    """Fill in who asks, run the module, and keep its answer as the fact `nodewise_lease`. Nothing is done in check mode.

    A play without a record holds the cluster in the same way; what is in its way fails it, and its lease is no change of a node.
    """

    _requires_connection = True

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if self._task.check_mode:
            return {"skipped": True}
        states = (self.taken, self.judged, self.kept, self.released, self.withdrawn, self.refused, self.confirmed, self.broken)
        return {state.__name__: state for state in states}[args["state"]](args, task_vars)

    def taken(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Ask this node for it, under a number that no member has seen."""
        about, own = plain(task_vars["nodewise_run"]), plain(task_vars.get("nodewise_lease") or {})
        run = Run.of(about)
        states = list(self.states(task_vars).values())
        ttl = args["ttl"] or max(lease.TTL, 4 * deadline(run))
        given = {
            "run": about["id"],
            "who": lease.who(),
            "controller": about["controller"],
            "fence": own.get("fence") or lease.fence(states),  # the second time the same number
            "ttl": ttl,
            "over": lease.over(states),
            "upgrade": self.record(run, task_vars),
            "wait_s": args["wait_s"],
        }
        answer = self.ask("taken", given, task_vars)
        result = self.told({"run": about["id"], "fence": given["fence"], "ttl": ttl}, answer)
        return {**result, "changed": bool(run) and answer["changed"]}

    def judged(self, _args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """End the run unless every member is ours; the first time, members that a majority is held against are asked again."""
        run, members = Run.of(plain(task_vars["nodewise_run"])), plain(task_vars["nodewise_run"]["members"])
        if run and run.outcome():
            return {"ansible_facts": {"nodewise_halted": True}}
        answers = {name: plain(task_vars["hostvars"][name].get("nodewise_lease")) for name in members}
        why = lease.verdict(answers, members)
        if not why or (lease.majority(answers, members) and not task_vars.get("nodewise_lease_again")):
            return {"ansible_facts": {"nodewise_lease_again": lease.missing(answers, members)}}
        return halt(run, "refused", why) if run else {"ansible_facts": {"nodewise_halted": True, "nodewise_refused": why}}

    def refused(self, _args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Fail a play without a record, which would end without a word, once what was granted is given back."""
        if why := str(task_vars.get("nodewise_refused") or ""):
            raise NodewiseError(f"{why}. Nothing was changed")
        return {}

    def kept(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Renew it when half of it is over, or when it has to last `seconds` longer; a run that lost it is paused."""
        own = plain(task_vars.get("nodewise_lease") or {})
        if not lease.due(own, args["seconds"]):
            return {}
        given = {"run": own["run"], "fence": own["fence"], "ttl": own["ttl"], "seconds": args["seconds"]}
        answer = self.ask("kept", given, task_vars)
        if answer["says"] == NOT_REACHED:  # whether a node may be missing is for the gates to say
            return {"msg": f"{self.host(task_vars)} {NOT_REACHED}"}
        result = self.told(own, answer, args["seconds"])
        if not answer["granted"]:
            text = (
                f"{self.host(task_vars)}: {answer['says']}\nThis run does not hold the cluster any more, and changed nothing since"
            )
            result["ansible_facts"].update(halt(run_of(task_vars), "paused", text, "lease_lost")["ansible_facts"])
        return result

    def released(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Give it back with the outcome of the run."""
        run = Run.of(plain(task_vars["nodewise_run"]))
        outcome, reason = (run and run.outcome()) or (None, "")
        return self.given_back("released", task_vars, outcome=args["outcome"] or outcome, reason=args["reason"] or reason)

    def withdrawn(self, _args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Give it back as if it had never been taken."""
        return self.given_back("withdrawn", task_vars)

    def given_back(self, state: str, task_vars: dict[str, Any], **how: Any) -> dict[str, Any]:
        """Give back what is ours. A node that does not answer keeps it until it expires, which is only noted."""
        own, about = plain(task_vars.get("nodewise_lease") or {}), plain(task_vars["nodewise_run"])
        run = Run.of(about)
        if not own.get("granted"):
            return self.swept(run, task_vars) if run and state == "released" else {}
        answer = self.ask(state, {"run": own["run"], "fence": own["fence"], **how}, task_vars)
        lost = [] if answer["granted"] else [f"the lease of {self.host(task_vars)} was not given back: {answer['says']}"]
        if run and lost:
            run.note(lost[0])
        elif about["kind"] != "wipe":  # which has removed it
            self.warn(lost)
        fact = {**own, "granted": False, "state": answer["state"]}
        return {"changed": bool(run) and answer["granted"], "ansible_facts": {"nodewise_lease": fact}}

    def swept(self, run: Run, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Take away what a dead run left where this one had nothing to do, and so took nothing over."""
        left = (self.states(task_vars).get(self.host(task_vars)) or {}).get("lease")
        if not left or (run.outcome() or ("",))[0] != "unchanged" or left["run"] not in lease.over([{"lease": left}]):
            return {}
        answer = self.ask("broken", {"run": left["run"]}, task_vars)
        return {"changed": answer["changed"]}

    def confirmed(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Say who holds the cluster, and fail unless one of them was named."""
        about, held = plain(task_vars["nodewise_run"]), self.holders(task_vars)
        if not held:
            self.say([f"Nobody holds {about['cluster']}: there is nothing to take away"])
        elif args["run"] not in held:
            lines = [f"{about['cluster']}: {line}" for line in held.values()]
            todo = " or ".join(f"-e nodewise_confirm={run}" for run in held)
            raise NodewiseError("\n".join([*lines, f"Nothing was changed. When it is dead, and only then: {todo}"]))
        return {}

    def broken(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Take it away from `run` where that holds it."""
        state = self.states(task_vars)[self.host(task_vars)] or {}
        if (state.get("lease") or {}).get("run") != args["run"]:
            return {}
        answer = self.ask("broken", {"run": args["run"]}, task_vars)
        return {**answer, "failed": not answer["granted"], "msg": answer["says"] or f"run {args['run']} holds it no more"}

    def ask(self, state: str, given: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """What the module answered; a node that cannot be reached, or a module that failed, has granted nothing."""
        arguments = {"state": state, "root": plain(task_vars["nodewise_node"])["root"], **given}
        try:
            answer = self._execute_module(module_name="nodewise.cluster.lease", module_args=arguments, task_vars=task_vars)
        except AnsibleConnectionFailure:
            answer = {"failed": True, "msg": NOT_REACHED}
        if answer.get("failed") or "granted" not in answer:
            says = str(answer.get("msg") or answer.get("module_stderr") or "the module ended without a message")
            answer = {"changed": False, "granted": False, "holder": None, "says": says}
        return {key: answer.get(key) for key in ("changed", "granted", "holder", "says", "state")}

    def told(self, own: dict[str, Any], answer: dict[str, Any], seconds: float = 0) -> dict[str, Any]:
        """The fact, by the controller's clock."""
        expires = time.time() + own["ttl"] + seconds if answer["granted"] else 0
        fact = {**{key: own[key] for key in ("run", "fence", "ttl")}, "expires": expires}
        fact.update({key: answer[key] for key in ("granted", "holder", "says")})
        return {"changed": answer["changed"], "ansible_facts": {"nodewise_lease": fact}}

    def states(self, task_vars: dict[str, Any]) -> dict[str, dict[str, Any] | None]:
        """What each member keeps, as it was looked at by node_info; None for one that did not say."""
        nodes = {name: task_vars["hostvars"][name].get("nodewise_node") or {} for name in task_vars["nodewise_run"]["members"]}
        return {str(name): plain(node.get("state")) for name, node in nodes.items()}

    def holders(self, task_vars: dict[str, Any]) -> dict[str, str]:
        """Each run that holds members, with who it is and which members."""
        found: dict[str, dict[str, Any]] = {}
        for name, state in self.states(task_vars).items():
            if state and state["lease"]:
                found.setdefault(state["lease"]["run"], {"lease": state["lease"], "nodes": []})["nodes"].append(name)
        return {run: f"{lease.held_by(one['lease'])} ({', '.join(one['nodes'])})" for run, one in found.items()}

    def record(self, run: Run | None, task_vars: dict[str, Any]) -> dict[str, Any]:
        """What this node keeps for the next controller: which plan, and what was here before its first change."""
        if not run or not (run.folder / "plan.yaml").exists():
            return {}
        made, host = run.read_plan(), self.host(task_vars)
        group, path = made.group_of(host), [hop.to for hop in made.hops]
        about: dict[str, Any] = {"plan": made.hash, "kind": made.kind, "to": made.to, "path": path}
        about |= {"cluster_version": made.acts_as[group], "cluster_id": made.ids[group]}
        about |= {"component": component} if (component := memory.about(made.component, made.kind)) else {}
        if made.change:
            about |= {"was": made.change.was.get(host, ""), "wanted": made.change.wanted.get(host, "")}
        return {**about, "from": made.versions.get(host), "by": lease.who()}


def deadline(run: Run | None) -> float:
    """Seconds that a node may take to settle; 0 without a plan."""
    return float(run.read_plan().settings.deadline) if run and (run.folder / "plan.yaml").exists() else 0
