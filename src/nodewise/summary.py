"""The last lines of a run: how it ended, the evidence, and where to look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nodewise.model import Member, Observation, good
from nodewise.plan import named
from nodewise.record import Run

HARMLESS = ("probe", "plan", "secure", "stage", "roll", "settle", "smoke")  # steps that change nothing that runs


def lines(summary: dict[str, Any], folder: Path) -> list[str]:
    """The summary as an operator reads it."""
    said = [f"{summary['outcome']}: {summary['reason']}"]
    said += [_node(name, node) for name, node in sorted(summary["nodes"].items())]
    gates = summary["gates"]
    said.append(f"gates     {gates['passed']} passed, {gates['failed']} failed; {summary['duration_s']:.1f} s in all")
    said += [_evidence(one["evidence"]) for one in summary.get("backups", []) if "evidence" in one]
    if load := summary.get("workload"):
        said.append(
            f"workload  {load['ops']} operations, {load['failed']} failed; "
            f"p50 {load['p50_ms']:.1f} ms, p99 {load['p99_ms']:.1f} ms, longest stall {load['longest_stall_ms']:.0f} ms"
        )
        said.append(f"          acknowledged writes lost: {load['lost']}")
    for one in summary.get("checkers", []):
        said.append(f"judged    {one['checker']}: {one['verdict']}; {one['says']}")
    said += [f"next      {line}" for line in following(summary)]
    return [*said, f"record    {folder}"]


def _evidence(seen: dict[str, Any]) -> str:
    """A backup that another tool made, and that was relied on."""
    which = " ".join(filter(None, (seen["tool"], seen["label"])))
    return f"backup    that of {which}, which ended at {seen['at']}, {seen['age_s'] / 3600:.1f} h before"


def following(summary: dict[str, Any]) -> list[str]:
    """The exact commands that may come next, each with when; none after a good end, nor where the reason has them already."""
    of, to = named(summary["cluster"], summary.get("component") or ""), summary["to"]
    if not summary["system"] or "ansible-playbook" in summary["reason"]:
        return []
    back = f"ansible-playbook playbooks/rollback.yml {of}"
    again = back if summary["kind"] == "rollback" else f"ansible-playbook playbooks/upgrade.yml {of} -e nodewise_to={to}"
    look = f"ansible-playbook playbooks/status.yml -e nodewise_cluster={summary['cluster']}"
    said = {
        "planned": [f"{again} -e nodewise_plan={summary.get('plan')}"],
        "refused": [f"when that is mended: {again}"],
        "rolled_back": [f"with a release that works: {again}", f"all members to the old version: {back}"],
        "held": [f"to go on: {again}", f"to go back: {back}"],
        "needs_human": [f"to look: {look}", f"to go on when it is mended: {again}"],
    }
    return [] if good(summary["kind"], summary["outcome"]) and summary["outcome"] != "planned" else said.get(summary["outcome"], [])


def status(cluster: str, observation: Observation) -> list[str]:
    """An observation as an operator reads it."""
    seen = observation.cluster
    version, leader, quorum = (value or "unknown" for value in (seen.version, seen.leader, seen.quorum))
    said = [f"{cluster} ({observation.system}) acts as {version}, leader {leader}, quorum {quorum}"]
    said += [_member(member) for member in observation.members]
    said.append(f"  fingerprint {seen.fingerprint or 'unknown'} at {seen.fingerprint_at or 'unknown'}, alarms {seen.alarms}")
    return said


def _member(member: Member) -> str:
    state = "serves" if member.serving else "DOES NOT SERVE"
    errors = f": {'; '.join(member.errors)}" if member.errors else ""
    return f"  {member.name}  {member.version or 'unknown'}  {member.role or 'unknown'}, {state}, lag {member.lag}{errors}"


def _node(name: str, node: dict[str, Any]) -> str:
    state = "serves" if node["serving"] else "DOES NOT SERVE"
    took = f"  {node['seconds']:.1f} s" if node["seconds"] else ""
    return f"  {name}  {node['version'] or 'unknown'}  {node['role'] or 'unknown'}, {state}{took}"


def decide(run: Run) -> None:
    """Decide the outcome of a run that came to its end, or that ended in the middle without a word."""
    steps = run.records("step")
    if run.outcome():
        return
    if any(r.get("node") and r["step"] not in HARMLESS for r in steps):
        run.conclude("needs_human", "the run ended in the middle of a change; look at the nodes, then run the same command again")
    else:
        run.conclude("refused", "the run ended before anything was changed; what stopped it stands above")


def worth_collecting(run: Run) -> bool:
    """Whether logs and state of the nodes are evidence: the run did not end well, and had begun to work on nodes."""
    outcome = run.outcome()
    ended_well = outcome and good(run.read_json("run.json").get("kind"), outcome[0])
    return bool(outcome and not ended_well and any(r.get("node") for r in run.records("step", "begin")))
