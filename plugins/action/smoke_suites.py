# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is expected of suites before they run, and what came of them."""

from __future__ import annotations

import shutil
from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    EngineAction,
    NodewiseError,
    Run,
    good,
    halt,
    plain,
    renamed,
    run_of,
    smoke_finish,
    smoke_report,
    smoke_session,
)
from ansible_collections.nodewise.cluster.plugins.plugin_utils.suites import chosen, passed_over


class ActionModule(EngineAction):
    """Plan sessions, judge them, tell how the run ended.

    Planning and judging never fail their task: they are run once, and a task that is run once takes every host of the play with it.
    """

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        return {"planned": self.planned, "judged": self.judged, "told": self.told}[args["state"]](args, task_vars)

    def planned(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Make a session of each suite, so that what does not report is known to be missing."""
        run, about = run_of(task_vars), plain(task_vars["nodewise_run"])
        facts: dict[str, Any] = {"sessions": [], "unknown": False, "ok": False, "reason": "", "blamed": [], "hosts": args["hosts"]}
        try:
            suites = chosen(args["suites"], args["folders"], task_vars)
            if not any("smoke" in r for r in run.records("note")):  # the suites are planned again and again in an upgrade
                self.warn(renamed.gate_warnings(*(one.gates for one in suites)), run)
                self.warn(passed_over(suites, args["folders"], task_vars), run)
            wish = smoke_session.Wish(
                tier=args["tier"], slow=not args["skip_slow"], parallel=args["parallel"], workers=args["workers"], pins=args["pins"]
            )
            if not args["required"] and not any(one.chosen(wish.tier, slow=wish.slow) for one in suites):
                return {"ansible_facts": {"nodewise_smoke": {**facts, "ok": True}}}
            hosts = smoke_session.versions(run.observations().values(), args["hosts"])
            if not args["known"] and None in hosts.values() and any(one.where == "versions" for one in suites):
                return {"ansible_facts": {"nodewise_smoke": {**facts, "unknown": True}}}
            sessions = smoke_session.plan(run.folder, suites, wish, hosts, cluster=about["cluster"], about=args["about"])
        except NodewiseError as problem:
            facts.update(reason=str(problem), blamed=args["hosts"])
            halted = halt(run, "refused", str(problem))["ansible_facts"] if about["kind"] == "smoke" else {}
            return {"ansible_facts": {"nodewise_smoke": facts, **halted}}
        for one in sessions:
            changed = f"; these are not the cases of {one.was}: {', '.join(one.changed)}" if one.changed else ""
            run.note(
                f"{one.suite}: {one.expected} results expected of {', '.join(one.hosts)}{changed}", smoke=one.id, digest=one.digest
            )
        if self._task.check_mode:
            return {"ansible_facts": {"nodewise_smoke": {**facts, "reason": self.unrun(run, about["kind"], sessions)}}}
        facts["sessions"] = [{"id": one.id, "where": one.where, "serial": one.serial, "hosts": one.hosts} for one in sessions]
        return {"ansible_facts": {"nodewise_smoke": facts}}

    def unrun(self, run: Run, kind: str, sessions: list[Any]) -> str:
        """Tell in check mode what would be run, and end a run that does nothing else; returns why there are no results."""
        why = f"nothing was run in check mode; expected are {sum(one.expected for one in sessions)} results"
        self.tell(
            [f"{one.suite}: {', '.join(script.name for script in one.scripts)} on {', '.join(one.hosts)}" for one in sessions]
        )
        shutil.rmtree(run.folder / "smoke")  # a pinned suite is held against the last run, and this is none
        if kind == "smoke":
            run.conclude("planned", why)
        return why

    def judged(self, _args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Ask the gates of each session of the last plan."""
        run, facts = run_of(task_vars), plain(task_vars["nodewise_smoke"])
        if not facts["sessions"]:
            return {"ansible_facts": {"nodewise_smoke": facts}}
        done = [smoke_session.conclude(run.folder, one["id"]) for one in facts["sessions"]]
        for one in done:
            run.judged(one.judgements, smoke=one.session.id)
            lines = list(smoke_report.lines(one))
            run.note("\n".join(lines), smoke=one.session.id)
            self.tell(lines)
        blamed = {host for one in done for host in one.blamed()}
        return {
            "ansible_facts": {
                "nodewise_smoke": {
                    **facts,
                    "ok": all(one.ok for one in done),
                    "reason": "; ".join(f"{one.session.suite}: {one.reason}" for one in done if not one.ok),
                    "blamed": facts["hosts"] if smoke_session.CONTROLLER in blamed else sorted(blamed),
                }
            }
        }

    def told(self, _args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Decide how the run ended by what was recorded, and write it down."""
        run = run_of(task_vars)
        said = smoke_finish(run)
        lines = [f"{said['outcome']}: {said['reason']}", f"record    {run.folder}"]
        return self.conclusion(said, lines, ok=good(said["kind"], said["outcome"]))
