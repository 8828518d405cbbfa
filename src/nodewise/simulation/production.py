# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rehearsal of what production is about to do: its plan, on a testnet of its shape."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from nodewise.errors import UnknownResult, UsageError
from nodewise.model import Plan
from nodewise.record import rehearsal
from nodewise.record.run import Run
from nodewise.simulation import scenario as scenarios
from nodewise.simulation.scenario import ClusterSpec, Scenario, UpgradeSpec
from nodewise.simulation.workloads.registry import workload_named
from nodewise.systems import catalog

MOST = 64  # MiB of data that a rehearsal makes up: more of it takes time, and shows what scales with data no better
DONE = ("artifacts", "gates", "path", "steps", "system")  # parts of a plan that a rehearsal of it cannot differ in


class Production(NamedTuple):
    """The plan of a cluster in production, from the record that --check left, and what a testnet of it will not have."""

    plan: Plan
    gaps: list[str]
    variables: dict[str, Any]  # of the inventory, for the testnet
    volume: int = 0  # MiB of data, for the testnet


def production(folder: Path) -> Production:
    """The plan of a run. Raises UsageError for a record without one, of a rollback, or in which nothing would be done."""
    if not (folder / "plan.yaml").is_file():
        raise UsageError(f"{folder} has no plan.yaml; expected the record of upgrade.yml --check, such as nodewise runs lists")
    try:
        plan = Run(folder).read_plan()
    except UnknownResult as error:
        raise UsageError(str(error)) from None
    if plan.kind != "upgrade" or not plan.batches:
        raise UsageError(
            f"{folder} is the plan of {'a rollback' if plan.kind != 'upgrade' else 'nothing to do'}: nothing to rehearse"
        )
    if plan.system not in catalog.names():
        raise UsageError(f"{plan.system} is not a system that testnets have; there are: {', '.join(catalog.names())}")
    about = Run(folder).read_json("run.json")
    variables = dict(about.get("variables") or {})
    volume, lacks = _sample(about.get("data_bytes"), "write" in catalog.operations(plan.system, variables))
    return Production(plan, list(_gaps(plan, variables, lacks)), variables, volume)


def _sample(size: int | None, writes: bool) -> tuple[int, str]:
    """How many MiB of data the testnet is given for so many bytes of production's, and what they lack."""
    if size is None or not writes:
        why = "how much production has was not observed" if size is None else "its clients cannot write"
        return 0, f"the testnet has a small made-up set, as {why}"
    volume = min(MOST, -(-size // (1 << 20)))
    has = f"{size / (1 << 20):,.0f} MiB on the member that has most"
    return volume, f"production has {has}; the testnet has {volume} MiB of made-up values of 64 KiB, {MOST} MiB at most"


def _gaps(plan: Plan, variables: dict[str, Any], lacks: str) -> Iterator[str]:
    """What of production a testnet does not have."""
    yield "layout: the testnet is provisioned by Nodewise; units, paths and settings of production may be others"
    taken = ", ".join(sorted(variables)) or "none"
    yield f"variables: those of hosts, paths and access are not taken over, and secrets are replaced; taken over: {taken}"
    yield f"data: {lacks}"
    if len(plan.groups) > 1:
        yield f"one quorum group of {max(map(len, plan.groups.values()))} members is rehearsed, of {len(plan.groups)} groups"
    if lacking := _lacking(plan):
        yield f"failure domains: the testnet has none, as in production that of {', '.join(lacking)} is not known"
    if len(set(plan.versions.values())) > 1:
        yield f"versions: all begin with {_lowest(plan)}; in production they are mixed"


def scenario_of(plan: Plan, name: str, taken: dict[str, Any] | None = None, volume: int = 0) -> Scenario:
    """The upgrade of a plan on a testnet, disturbed as the scenario of this name is; `quiet` has no faults. Raises UsageError.

    `taken`: variables of production's inventory. `volume`: MiB of data.
    """
    members = max(plan.groups.values(), key=len)
    stops = [hop.to for hop in plan.hops[:-1]]
    variables = {**(taken or {}), **({"nodewise_upgrade_path": stops} if stops else {})}
    domains = [] if _lacking(plan) else [plan.domains[name] for name in members if plan.domains]
    cluster = ClusterSpec(plan.system, _lowest(plan), len(members), volume=volume, domains=domains, variables=variables)
    upgrade = UpgradeSpec(plan.to, component=plan.component)
    if name == "quiet":
        quiet = Scenario("quiet", cluster, upgrade=upgrade)
        return replace(quiet, safety=list(workload_named(quiet.workload.name).checkers)).checked()
    chosen = scenarios.load(name)
    if chosen.upgrade:
        upgrade = replace(chosen.upgrade, to=plan.to, component=plan.component)
    return replace(chosen, cluster=cluster, upgrade=upgrade).checked()


def _lacking(plan: Plan) -> list[str]:
    """The members without a failure domain, in a cluster in which others have one."""
    return [name for names in plan.groups.values() for name in names if name not in plan.domains] if plan.domains else []


def _lowest(plan: Plan) -> str:
    return plan.hops[0].start


def trial(plan: Plan, run: Run, seed: int, name: str, code: int) -> tuple[rehearsal.Trial, list[str]]:
    """How a scenario ended by its exit code, and in which parts its plan was another one than production's.

    Where something else was done than production will do, the verdict is unknown, however well it went.
    """
    verdict = {0: "valid", 1: "invalid"}.get(code, "unknown")
    try:
        off = rehearsal.differs(plan, run.read_plan())
    except UnknownResult:
        off = list(DONE)
    if verdict == "valid" and {*off} & {*DONE}:
        verdict = "unknown"
    return rehearsal.Trial(name, seed, verdict, run.id), [f"{name}: {part} of the plan: not as in production" for part in off]
