# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of an upgrade or a rollback, from what was observed; or the reasons against it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    EngineAction,
    Hop,
    NodewiseError,
    Plan,
    Refused,
    Release,
    Resolver,
    Run,
    Settings,
    Subject,
    Version,
    approval,
    busy,
    change,
    describe,
    earlier,
    halt,
    hops_through,
    lease,
    memory,
    msgspec,
    plain,
    plan,
    planned,
    recovered_to,
    refuse_short_window,
    refuse_unfit,
    refuse_unrehearsed,
    rehearsal,
    renamed,
    role_path,
    roll,
    run_of,
    soak,
    sources,
    unrehearsed,
    versions_ahead,
    waived,
    way_back,
    wrapped,
)

UNPACKED = {"deb", "tar", "wheel"}  # kinds of artifacts that are files and nothing else
PAGE = 100  # columns of what is printed where no view is


class ActionModule(EngineAction):
    """Resolve everything before anything changes. The run ends here when it is refused, has nothing to do, or in check mode."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run, about = run_of(task_vars), plain(task_vars["nodewise_run"])
        run.end("probe", ok=True)
        run.begin("plan")
        try:
            made = self.make(run, about, args, task_vars)
            changes = made.batches or made.recover  # where all is done the same command may be given again
            for digest in pinned(args["plan"], about["approve"] if changes else ""):
                refuse_drift(run, made, digest)
        except NodewiseError as problem:
            run.end("plan", ok=False, error=str(problem))
            return halt(run, "refused", str(problem))
        run.write_plan(made)
        run.add(to=made.to, plan=made.hash, data_bytes=data_bytes(nodes_of(about, task_vars)))
        for name, reason in made.settings.waive.items():
            run.note(f"{name} is waived by {lease.who()}: {reason}", waives=name, reason=reason, who=lease.who())
        took, idle = earlier(run.folder, made.cluster, made.component, made.kind), self.idle(run, made)
        lines = describe(made, took, idle=idle)
        estimate = {"estimate_s": round(took.of(made), 1)} if took and made.batches else {}
        run.note(lines[0], plan="\n".join(lines[1:]), **estimate)
        run.end("plan", ok=True)
        self.tell([part for line in lines for part in wrapped(line, PAGE)])
        return self.ended(run, made, idle=idle, asks=not about["approve"])

    def idle(self, run: Run, made: Plan) -> bool:
        """Whether nothing is left to do."""
        observations = run.observations()
        return not made.recover and all(roll.done(made, hop, observations) for hop in made.hops)

    def make(self, run: Run, about: dict[str, Any], args: dict[str, Any], task_vars: dict[str, Any]) -> Plan:
        """The plan; raises Refused."""
        nodes = nodes_of(about, task_vars)
        unanswered = sorted(name for name, node in nodes.items() if node is None)
        if unanswered:
            raise Refused(f"{', '.join(unanswered)} did not answer; every member must be reachable before one is changed")
        folder, observations, kind = role_path(about["role"]), run.observations(), about["kind"]
        rules = self.rules(task_vars, args["releases"], about["component"])
        declared = change.declared_for(self.declared(task_vars, about["component"]), kind)
        subject = Subject(*(about[key] for key in ("cluster", "system", "role", "groups", "domains", "component")))
        states = {name: node.get("state") for name, node in nodes.items()}
        if kind in ("upgrade", "rollback"):
            memory.refuse_unfinished(states, subject)
        records = {name: memory.record_of(state, memory.about(subject.component, kind)) for name, state in states.items()}
        machine, to = plan.architecture(nodes), sources.exactly(rules, args["to"], nodes) if kind == "upgrade" else ""
        if args["deep_check"] and not (folder / "tasks" / "deep_check.yml").exists():
            raise Refused(f"{about['system']} has no deep check; run it without nodewise_deep_check")
        said = {key: args[key] for key in ("soak", "suites", "deep_check", "deadline", "max_unavailable")}
        said["waive"] = renamed.waivers(args["waive"], task_vars)
        mixes = kind in ("upgrade", "rollback") and not checked_by(declared.steps)
        settings = Settings(**said, mixed_version_check=mixes and self.checks(args, about, task_vars))

        resolver = Resolver(
            lambda version: sources.resolve(rules, version, {}, machine, nodes),
            lambda version: sources.back(rules, version, nodes),
        )
        down = memory.to_recover(args["recover"], declared, records, observations)
        before, asked = memory.Originals({}, {}, {}), None
        if kind == "rollback":
            start, to = way_back(rules, declared, records, observations)
            way = [resolver.hop(start, to)]
        elif kind != "upgrade":
            to = change.one_version(observations, subject.cluster)
            way = [Hop(to, to, Release(to, []), None)]
            files = {name: plain(task_vars["hostvars"][name].get("nodewise_files")) for name in nodes}
            told = {name: {**node, "files": files[name]} for name, node in nodes.items()}
            asked = change.of(kind, declared, observations, told, records, down, patch=args["patch"])
        else:
            before = memory.originals(records, observations, to)
            running = {**roll.versions_of(observations), **before.versions}
            stops = versions_ahead(rules, running.values(), to, args["upgrade_path"])
            start = min(running.values(), key=Version) if running else to
            way = hops_through(rules, declared, start, stops or [to], resolver)
        recover = {name: resolver.release(recovered_to(name, subject.groups, observations, way)) for name in down}
        route = plan.Route(way, kind, before, recover, asked)
        self.warn(renamed.gate_warnings(declared.gates, args["gates"]), run)
        made = plan.make(subject, declared, observations, route, settings, args["gates"])
        seen = [gap for one in observations.values() for gap in one.cluster.details.get("gaps", [])]
        made.gaps = [*self.gaps(made, args, task_vars), *declared.gaps, *seen]
        made.gaps += waived(made, nodes)
        if self._task.check_mode and kind == "upgrade" and made.before_first and not lints(made):
            made.gaps.append(
                "what the release does for the whole cluster is not linted with --check: it is not unpacked before it is staged"
            )
        self.refuse(run, made, nodes, args, about)
        return made

    def refuse(self, run: Run, made: Plan, nodes: dict[str, Any], args: dict[str, Any], about: dict[str, Any]) -> None:
        """Raise Refused for a plan that these nodes, the window or a rehearsal do not allow; warn of who is at work on a node."""
        refuse_unfit(made, nodes)
        took = earlier(run.folder, made.cluster, made.component, made.kind)
        window = [datetime.fromisoformat(about[key]) if about[key] else None for key in ("window_start", "window_end")]
        refuse_short_window(made, took.of(made) if took else None, *window, datetime.now().astimezone())
        self.warn(busy(made, nodes), run)
        self.rehearsed(run, made, args)

    def rehearsed(self, run: Run, made: Plan, args: dict[str, Any]) -> None:
        """Refuse a plan that nobody rehearsed, where that is asked for; with --check, whose record is rehearsed, it is a gap."""
        if not args["require_rehearsal"] or made.change:  # a rehearsal is of a release
            return
        where = args["rehearsals"] or str(run.folder.parent / "rehearsals")
        keys = args["rehearsal_keys"] or [rehearsal.public(rehearsal.own_key(rehearsal.key_file()))]
        why = unrehearsed(made, args["require_rehearsal"], where, keys, datetime.now().astimezone())
        if why and self._task.check_mode:
            made.gaps.append(f"not rehearsed: {why}")
        else:
            refuse_unrehearsed(made, why)

    def checks(self, args: dict[str, Any], about: dict[str, Any], task_vars: dict[str, Any]) -> bool:
        """Whether mixed versions are checked: on test hosts, or where an operator wants it; and where the role can."""
        test = all(task_vars["hostvars"][name].get("nodewise_test_host") for name in about["members"])
        wanted = test if args["mixed_version_check"] is None else args["mixed_version_check"]
        return wanted and (role_path(about["role"]) / "tasks" / "mixed_version_check.yml").exists()

    def gaps(self, made: Plan, args: dict[str, Any], task_vars: dict[str, Any]) -> list[str]:
        """What this upgrade will not watch or check, and why."""
        checked = made.settings.mixed_version_check or checked_by(made.steps) or made.change
        found = (
            [] if checked else ["mixed versions are not checked: not on test hosts, and nodewise_mixed_version_check is not true"]
        )
        if not made.settings.suites:
            found.append("no smoke suites: what the service is there for is not tried (nodewise_suite=NAME to run one)")
        if not made.settings.soak:
            return [*found, "no soak: the first node is judged once, after its switch (nodewise_soak=SECONDS to watch it)"]
        baselines = {name: plain(task_vars["hostvars"][name].get("nodewise_baseline")) for name in made.members}
        lines = [line for one in baselines.values() for line in soak.gaps(one, bool(args["probe"]))]
        return [*found, *dict.fromkeys(f"not watched: {line}" for line in lines)]

    def ended(self, run: Run, made: Plan, *, idle: bool, asks: bool) -> dict[str, Any]:
        """Facts of a plan that is to be carried out, or the end of the run."""
        observations = run.observations()
        facts: dict[str, Any] = {
            "nodewise_release": msgspec.to_builtins(made.hops[-1].release),
            "nodewise_waived": made.settings.waive,
            "nodewise_leaders": sorted(seen.cluster.leader for seen in observations.values() if seen.cluster.leader),
            "nodewise_parts": [{"file": "lint"}] if self._task.check_mode else roll.parts(made, observations, asks=asks),
        }
        if idle and not (made.change and made.change.since):  # of one that did not end the nodes are told that it has
            already = "needs no change" if made.change else f"runs {made.to} already"
            ended = halt(run, "unchanged", f"every member of {made.cluster} {already}")
        elif self._task.check_mode and not lints(made):
            ended = planned(run, made)
        else:
            return {"ansible_facts": facts}
        return {**ended, "ansible_facts": {**facts, **ended["ansible_facts"]}}


def lints(made: Plan) -> bool:
    """Whether the role looks at a release before it is staged, which can be unpacked without changing anything."""
    kinds = {one.kind for one in made.hops[-1].release.artifacts}
    unpacked = made.kind == "upgrade" and bool(made.before_first) and kinds <= UNPACKED
    return unpacked and (role_path(made.role) / "tasks" / "lint.yml").exists()


def nodes_of(about: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
    """What each member's node said of itself; None where it did not answer."""
    return {name: plain(task_vars["hostvars"][name].get("nodewise_node")) for name in about["members"]}


def data_bytes(nodes: dict[str, Any]) -> int | None:
    """What the data of the member takes on disk that has most; None where that was not looked at on all."""
    sizes = [((node or {}).get("data") or {}).get("bytes") for node in nodes.values()]
    return None if None in sizes else max(sizes, default=None)


def checked_by(steps: list[Any]) -> bool:
    """Whether a step of each node shows by itself that old and new members read each other's writes."""
    return any(step.checks_mixed_versions for step in steps)


def pinned(plan: str, approve: str) -> list[str]:
    """The hashes that an operator gave: an approval is of one plan, so that any other is refused before anything changes."""
    return [*dict.fromkeys(word for word in (plan, approve) if word not in ("", "any"))]


def refuse_drift(run: Run, made: Plan, approved: str) -> None:
    """Raise Refused unless the plan is the one that was approved, with what differs where that plan was kept."""
    if made.hash == approved:
        return
    for file in run.folder.parent.glob("*/plan.yaml"):
        try:
            saved = Run(file.parent).read_plan()
        except NodewiseError:  # a newer version's, and so not the one that was approved here
            continue
        if saved.hash == approved:
            differs = "; ".join(approval.drift(saved, made)) or "the rules by which it was made"
            raise Refused(
                f"the cluster is not what plan {approved} was made for: {differs}.\n"
                f"Look at what changed, then approve the current plan: {made.hash}"
            )
    raise Refused(
        f"plan {approved} is not in {run.folder.parent}, so what drifted is unknown; the cluster now needs {made.hash}.\n"
        "Look at the current plan with --check, then approve that"
    )
