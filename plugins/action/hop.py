# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One hop of an upgrade: which release is current, and whether its end was reached."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    ApprovingAction,
    Hop,
    Plan,
    Run,
    begin_phase,
    change,
    end_roll,
    halt,
    installs,
    msgspec,
    resolved,
    roll,
    run_of,
)


class ActionModule(ApprovingAction):
    """Make a hop's release the current one, begin the hop, go on to its end, or end it."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run, index = run_of(task_vars), args["index"]
        made = run.read_plan()
        hop = made.hops[index]
        release = {"nodewise_release": msgspec.to_builtins(hop.release)}
        if args["state"] == "staged":
            if run.outcome():  # the backup failed
                return {"ansible_facts": {"nodewise_halted": True}}
            begin_phase(run, "stage", made.members)
            running = roll.to_keep(hop, run.observations(), index == 0)
            back = msgspec.to_builtins(hop.back) if hop.back else {}
            return {"ansible_facts": {**release, "nodewise_back": back, "nodewise_running": running}}
        if args["state"] == "begun":
            if run.outcome():  # the hop before could not be finished: the batch that comes next ends the play
                return {"ansible_facts": {"nodewise_halted": True}}
            return {"ansible_facts": {**release, **self.begin(run, made, args, str(task_vars["nodewise_run"]["role"]))}}
        if args["state"] == "finalizing":
            return self.finalize(run, made, hop, task_vars)
        return self.end(run, made, index)

    def begin(self, run: Run, made: Plan, args: dict[str, Any], role: str) -> dict[str, Any]:
        """What is waited for in a hop, and what is asked and run at its end."""
        index = args["index"]
        hop, observations = made.hops[index], run.observations()
        acts_as = {group: seen.cluster.version for group, seen in observations.items()}
        run.note(f"hop {index + 1} of {len(made.hops)}: {hop.start} → {hop.to}", hop=index, acts_as=acts_as)
        checks = [{"role": role, "verb": "deep_check"}] if made.settings.deep_check else []
        checks += [{"role": "nodewise.cluster.smoke", "verb": "run"}] if made.settings.suites else []
        wait = args["package_wait"] if installs(hop) else 0.0
        reboot = 2 * args["reboot_deadline"] if made.kind == "reboot" else 0.0  # the command before it, and the way back
        about = {
            "index": index,
            "finalize": msgspec.to_builtins(made.finalize),
            "checks": checks,
            "wait": wait,
            "hold_s": made.settings.soak + wait + reboot,
        }
        return {"nodewise_hop": about}

    def finalize(self, run: Run, made: Plan, hop: Hop, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Begin the hop's last step, unless the run has ended, or going back would end here and nobody approved that."""
        if halted := end_roll(run, task_vars):
            return halted
        if made.change and made.change.waiting:  # no gate can tell: they run what they ran before
            left = f"{', '.join(made.change.waiting)}: not reached, as others took more batches than were foreseen"
            return halt(run, "paused", f"{left}; the same command goes on with them", "step_failed")
        if halted := self.pass_by(run, made, hop, "finalize", task_vars):
            return halted
        run.begin("finalize")
        step = resolved(run, msgspec.to_builtins(made.finalize), None)
        return {"ansible_facts": {"nodewise_step": {"name": "finalize", "node": None, **step}}}

    def end(self, run: Run, made: Plan, index: int) -> dict[str, Any]:
        """The next hop, the good end, or a pause."""
        if run.outcome():
            return {"ansible_facts": {"nodewise_halted": True}}
        began = (run.hop() or {"seq": 0})["seq"]
        ended = [r for r in run.records("step", "end") if r["step"] == "finalize" and r["seq"] > began]
        if ended and not ended[-1]["ok"]:
            return halt(run, "paused", run.failure(), "finalize_failed")
        if index + 1 == len(made.hops):
            ends = {"upgrade": "upgraded", "rollback": "rolled_back"}
            return halt(run, ends.get(made.kind, "changed"), change.reached(made))
        return {}
