# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The last lines of a run: how it ended, the evidence, and where to look."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from nodewise.files import nearby
from nodewise.record.commands import following
from nodewise.text import fit, wrapped

WHOLE = ("next ", "record ")


def ending(summary: dict[str, Any], folder: Path, called: Sequence[str] | None = None) -> list[str]:
    """The summary as an operator reads it. `called` is the command line of the run, where this process is another one."""
    said = [f"{summary['outcome']}: {summary['reason']}"]
    when = "  (as last seen)" if summary["outcome"] == "interrupted" else ""
    said += [_node(name, node) + when for name, node in sorted(summary["nodes"].items())]
    gates = summary["gates"]
    said.append(f"gates     {gates['passed']} passed, {gates['failed']} failed; {summary['duration_s']:.1f} s in all")
    if near := summary.get("near_misses"):
        said.append("near miss " + "; ".join(f"{_of(one)} {one['measured']:g} of {one['bound']:g}" for one in near))
    said += [f"waived    {_waiver(one)}" for one in summary.get("waived", [])]
    said += [f"change    {change}" for change in [summary.get("change")] if change]
    said += [_evidence(one["evidence"]) for one in summary.get("backups", []) if "evidence" in one]
    if load := summary.get("workload"):
        said.append(
            f"workload  {load['ops']} operations, {load['failed']} failed; "
            f"p50 {load['p50_ms']:.1f} ms, p99 {load['p99_ms']:.1f} ms, longest stall {load['longest_stall_ms']:.0f} ms"
        )
        said.append(f"          acknowledged writes lost: {load['lost']}")
    said += [_fault(one) for one in summary.get("faults", [])]
    for one in summary.get("checkers", []):
        said.append(f"judged    {one['checker']}: {one['verdict']}; {one['says']}")
    said += [f"next      {line}" for line in following(summary, called)]
    said += [f"record    not whole: {line}" for line in summary.get("unwritten", [])]
    return [fit(line) for line in [*said, f"record    {nearby(folder)}"]]


def fitted(lines: Iterable[str], stream: TextIO) -> list[str]:
    """Lines broken between words at the terminal's width, where the stream is one; commands and paths stay whole, to be copied."""
    if not stream.isatty():
        return list(lines)
    width = os.get_terminal_size(stream.fileno()).columns
    return [part for line in lines for part in ([line] if line.startswith(WHOLE) else wrapped(line, width))]


def _of(one: dict[str, Any]) -> str:
    """A gate, and the node that it was about."""
    return f"{one['gate']} ({one['node']})" if one["node"] else str(one["gate"])


def _waiver(one: dict[str, Any]) -> str:
    """What an operator let pass."""
    often = f"; it did not hold {one['times']} times" if one["times"] else ""
    return f"{one['name']} by {one['who']} at {one['at']}: {one['reason']}{often}"


def _fault(one: dict[str, Any]) -> str:
    """A fault and when it was asked for, proved and healed; the time of the day alone."""
    when = ", ".join(f"{name} {one[name][11:].rstrip('Z') if one[name] else 'never'}" for name in ("asked", "proved", "healed"))
    return f"fault     {one['fault']} ({one['kind']}): {when}"


def _evidence(seen: dict[str, Any]) -> str:
    """A backup that another tool made, and that was relied on."""
    which = " ".join(filter(None, (seen["tool"], seen["label"])))
    return f"backup    that of {which}, which ended at {seen['at']}, {seen['age_s'] / 3600:.1f} h before"


def _node(name: str, node: dict[str, Any]) -> str:
    state = "serves" if node["serving"] else "DOES NOT SERVE"
    took = f"  {node['seconds']:.1f} s" if node["seconds"] else ""
    return f"  {name}  {node['version'] or 'unknown'}  {node['role'] or 'unknown'}, {state}{took}"
