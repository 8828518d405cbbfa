# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One hop of an upgrade: which release is current, and whether its end was reached."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    ApprovingAction,
    halt,
    installs,
    msgspec,
    order,
    roll,
    run_of,
)


class ActionModule(ApprovingAction):
    """Make a hop's release the current one, begin the hop, go on to its end, or end it."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run = run_of(task_vars)
        made = run.read_plan()
        hop = made.hops[args["index"]]
        release = {"nodewise_release": msgspec.to_builtins(hop.release)}
        if args["state"] == "staged":
            running = roll.to_keep(hop, run.observations(), args["index"] == 0)
            back = msgspec.to_builtins(hop.back) if hop.back else {}
            return {"ansible_facts": {**release, "nodewise_back": back, "nodewise_running": running}}
        if args["state"] == "begun":
            asks = hop.no_return is not None and not task_vars["nodewise_run"]["approve"]
            return {"ansible_facts": {**release, **self.begin(run, made, args, asks=asks)}}
        if args["state"] == "finalizing":
            return self.pass_by(run, made, hop, "finalize", task_vars)
        return self.end(run, made, args["index"])

    def begin(self, run: Any, made: Any, args: dict[str, Any], *, asks: bool) -> dict[str, Any]:
        """The batches of a hop, none when it is behind the cluster already, what is waited for, and what is asked at its end."""
        index = args["index"]
        hop, observations = made.hops[index], run.observations()
        if roll.done(made, hop, observations):
            return {"nodewise_hop": {"index": index, "batches": [], "parts": []}}
        acts_as = {group: seen.cluster.version for group, seen in observations.items()}
        run.note(f"hop {index + 1} of {len(made.hops)}: {hop.start} → {hop.to}", hop=index, acts_as=acts_as)
        count = len([batch for batch in order.batches(made, observations) if batch.to == hop.to])
        # A leader that moves between groups' batches may ask for other batches than were foreseen, a soak for one to watch again,
        # and after a question a batch is resolved anew.
        spare = 2 * (len(made.groups) > 1) + (made.settings.soak > 0) + asks
        about = {
            "index": index,
            "batches": list(range(1, count + spare + 1)),
            "parts": roll.parts(made, hop, observations),
            "finalize": msgspec.to_builtins(made.finalize),
            "soak": made.settings.soak,
            "wait": args["package_wait"] if installs(hop) else 0.0,
        }
        return {"nodewise_hop": about}

    def end(self, run: Any, made: Any, index: int) -> dict[str, Any]:
        """The next hop, the good end, or a pause."""
        if run.outcome():
            return {"ansible_facts": {"nodewise_halted": True}}
        began = (run.hop() or {"seq": 0})["seq"]
        ended = [r for r in run.records("step", "end") if r["step"] == "finalize" and r["seq"] > began]
        if ended and not ended[-1]["ok"]:
            return halt(run, "paused", run.failure(), "finalize_failed")
        if index + 1 == len(made.hops):
            reached = "upgraded" if made.kind == "upgrade" else "rolled_back"
            return halt(run, reached, f"every member runs {made.to}")
        return {}
