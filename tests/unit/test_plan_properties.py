"""Rolls of simulated clusters with quorum groups and failure domains: no batch breaks one, and a thousand nodes are planned."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from nodewise.model import Hop, Member, Observation, Plan, Release, Settings, Subject
from nodewise.upgrade import plan, roll
from nodewise.upgrade.declared import declaration
from nodewise.views.plan import describe

from .observed import observation

ETCD = Path(__file__).parents[2] / "roles" / "etcd"
DECLARED = declaration(ETCD)
OLD, NEW = "3.4.23", "3.5.16"


def simulated(sizes: list[int], leads: list[int]) -> dict[str, Observation]:
    """Healthy groups of so many members, each with its leader."""
    seen = {}
    for number, size in enumerate(sizes):
        names = [f"g{number}m{i}" for i in range(size)]
        leader = names[leads[number % len(leads)] % size]
        members = [
            Member(name, OLD, "leader" if name == leader else "follower", True, 0, "7@1", "2026-01-01T00:00:00Z", [])
            for name in names
        ]
        cluster = msgspec.structs.replace(observation().cluster, leader=leader, quorum=size // 2 + 1)
        seen[f"g{number}"] = Observation("etcd", "2026-01-01T00:00:00.000Z", cluster, members)
    return seen


def planned(seen: dict[str, Observation], domains: int) -> Plan:
    """The plan for simulated groups, their members spread over failure domains."""
    groups = {group: [member.name for member in one.members] for group, one in seen.items()}
    where = {name: f"d{i % domains}" for names in groups.values() for i, name in enumerate(names)} if domains else {}
    subject = Subject("c", "etcd", "nodewise.cluster.etcd", groups, where)
    way = [Hop(OLD, NEW, Release(NEW, []), DECLARED.point_of_no_return)]
    return plan.make(subject, DECLARED, seen, plan.Route(way), Settings(), {})


def roll_out(made: Plan, seen: dict[str, Observation]) -> list[list[str]]:
    """Carry the batches out on the simulation: nodes of a batch are down for its time, leaders hand over; returns the batches."""
    batches = []
    while batch := roll.next_batch(made, made.hops[0], seen):
        batches.append(batch.nodes)
        for group, one in seen.items():
            down = [name for name in batch.nodes if name in made.groups[group]]
            assert len(one.members) - len(down) >= (one.cluster.quorum or 0), f"{group} lost its quorum"
            assert len(down) <= 1
            leader = one.cluster.leader
            if leader in down:
                assert roll.pending(made, made.hops[0], seen)[group] == [leader], "a leader went before the last"
                leader = roll.successor(made, batch, seen, leader)
            members = [msgspec.structs.replace(m, version=NEW) if m.name in down else m for m in one.members]
            seen[group] = msgspec.structs.replace(one, members=members, cluster=msgspec.structs.replace(one.cluster, leader=leader))
    return batches


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(3, 7), min_size=1, max_size=6), st.lists(st.integers(0, 6), min_size=1, max_size=6), st.integers(0, 4))
def test_no_batch_breaks_a_quorum(sizes: list[int], leads: list[int], domains: int) -> None:
    """Whatever the groups: one of a group at a time, in one domain, the leader last, a canary alone, everybody once."""
    seen = simulated(sizes, leads)
    made = planned(seen, domains)
    batches = roll_out(made, seen)
    assert len(batches[0]) == 1
    assert sorted(name for nodes in batches for name in nodes) == made.members
    assert all(len({made.domains.get(name) for name in nodes}) == 1 for nodes in batches)
    assert [sorted(batch.nodes) for batch in made.batches] == [sorted(nodes) for nodes in batches], (
        "the plan foretold other batches"
    )


def test_groups_roll_side_by_side() -> None:
    """Time grows with the largest group, not with their number: the canary, and one batch for each place in a group."""
    seen = simulated([3] * 20, [0])
    assert len(roll_out(planned(seen, 0), seen)) <= 3 + 1


def test_a_thousand_nodes_are_planned_within_a_second() -> None:
    """200 groups of 5 over 5 failure domains, of this process's own time; measuring coverage takes a multiple of it."""
    seen = simulated([5] * 200, [0, 1, 2, 3, 4])
    began = time.process_time()
    made = planned(seen, 5)
    text = describe(made)
    took = time.process_time() - began
    assert len(made.members) == 1000
    assert text
    assert took < (5.0 if "COVERAGE_PROCESS_START" in os.environ else 1.0), f"{took:.2f} s"
