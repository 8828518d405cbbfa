# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A canary's sample against the one taken before: what got worse, and what nothing is known of.

A sample is what the module `sample` returns: {seconds, restarts, probe, command, patterns, errors, ended}; null is unknown.
Rates are compared and never counts, as a baseline is shorter than a soak.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Sample = Mapping[str, Any]

# What a number may grow to before it is worse: twice what it was, as load comes and goes, and on top of that what a busy machine
# makes of nothing. The parts on top are from samples of a healthy member on two cores at a load of 14.
FACTOR = 2.0
P50_MS = 10.0  # medians of 2 ms went to 4: half of all reads are slower by more than the scheduler only when something is wrong
P99_MS = 100.0  # 99th percentiles of 16 ms went to 99; from 100 ms on etcd itself calls a request slow
FAILED = 1  # probes: one may meet a leader that is just elected
LINES = 2  # of each pattern: a stall of the disk is told by a line or two, a member in trouble does not stop telling

PROBES = {"probe": "probe", "command": "your probe"}
MANY = {"probe": "probes", "command": "runs of your probe"}
NAMES = {"restarts": "restarts", "probe": "probe latency", "command": "your probe", "patterns": "log lines"}


def unknown(why: str) -> dict[str, Any]:
    """The sample of a node that could not be sampled."""
    nothing = dict.fromkeys(("restarts", "probe", "command", "patterns"))
    return {"seconds": 0.0, **nothing, "errors": [why], "ended": why}


def told(sample: Sample) -> str:
    """A sample in one line."""
    parts = []
    for what, name in PROBES.items():
        if probe := sample[what]:
            failed = f", {probe['failed']} of {probe['count']} failed" if probe["failed"] else ""
            parts.append(f"{name} p99 {_ms(probe['p99_ms'])}{failed}")
    if sample["restarts"] is not None:
        parts.append(_count(sample["restarts"], "restart"))
    if sample["patterns"] is not None:
        parts.append(f"{_count(sum(sample['patterns'].values()), 'line')} of {_count(len(sample['patterns']), 'pattern')}")
    parts += [f"ended after {sample['seconds']:.1f} s: {sample['ended']}"] if sample["ended"] else []
    return ", ".join(parts or sample["errors"] or ["nothing was measured"])


def gaps(baseline: Sample | None, command: bool) -> list[str]:
    """What a soak will not be judged by, as there is no baseline of it; `command`: whether the operator gave a probe."""
    absent = [] if command else ["no probe of your own: nodewise_probe was not given"]
    if baseline is None:
        return [*absent, "no baseline: nothing was sampled"]
    early = [f"the baseline ended after {baseline['seconds']:.1f} s: {baseline['ended']}"] if baseline["ended"] else []
    asked = [what for what in NAMES if what != "command" or command]
    return [*absent, *early, *(f"{NAMES[what]}: {_why(baseline, what)}" for what in asked if not _known(baseline, what))]


def regressions(baseline: Sample | None, soak: Sample | None) -> list[str]:
    """What got worse, a line each. What has no baseline is left out (`gaps`); what has one and could not be measured is worse."""
    if soak is None:
        return ["the soak was not sampled"]
    ended = [f"ended after {soak['seconds']:.1f} s: {soak['ended']}"] if soak["ended"] else []
    return [*ended, *(_compared(baseline, soak) if baseline else [])]


def _compared(baseline: Sample, soak: Sample) -> Iterator[str]:
    for what, name in NAMES.items():
        if _known(baseline, what) and not _known(soak, what) and not _all_failed(soak, what):
            yield f"{name} could not be measured: {_why(soak, what)}"
        elif _known(baseline, what):
            yield from _JUDGES[what](baseline, soak, what)


def _restarts(_baseline: Sample, soak: Sample, _what: str) -> Iterator[str]:
    if soak["restarts"]:
        yield f"the process restarted {_count(soak['restarts'], 'time')}"


def _probe(baseline: Sample, soak: Sample, what: str) -> Iterator[str]:
    before, now, name = baseline[what], soak[what], PROBES[what]
    if now["p99_ms"] is None or now["failed"] > FAILED + FACTOR * before["failed"] / before["count"] * now["count"]:
        was = f"{before['failed']} of {before['count']} did" if before["failed"] else "none did"
        yield f"{now['failed']} of {now['count']} {MANY[what]} failed, {was}{_reason(soak, what)}"
    for key, slack in (("p50", P50_MS), ("p99", P99_MS)):
        slow, was = now[f"{key}_ms"], before[f"{key}_ms"]
        if slow is not None and slow > FACTOR * was + slack:
            yield f"{name} {key} {slow:.1f} ms, was {was:.1f} ms (allowed {was:.1f} x {FACTOR:g} + {slack:g} ms)"


def _patterns(baseline: Sample, soak: Sample, _what: str) -> Iterator[str]:
    for pattern, before in baseline["patterns"].items():
        now, rate = soak["patterns"].get(pattern), before / baseline["seconds"]
        if now is None:
            yield f"lines that match '{pattern}' were not counted"
        elif now > LINES + FACTOR * rate * soak["seconds"]:
            yield f"{_count(now, 'line')} match '{pattern}' in {soak['seconds']:.0f} s, were {rate:.1f} a second"


_JUDGES = {"restarts": _restarts, "probe": _probe, "command": _probe, "patterns": _patterns}


def _known(sample: Sample, what: str) -> bool:
    """Whether there is something to compare with: a probe of which none was good has no latency, and failing is nothing new."""
    if sample[what] is None or not sample["seconds"]:
        return False
    return what not in PROBES or sample[what]["p99_ms"] is not None


def _all_failed(sample: Sample, what: str) -> bool:
    return what in PROBES and bool(sample[what]) and sample[what]["p99_ms"] is None


def _why(sample: Sample, what: str) -> str:
    """The sample's own error of it; those that name nothing are about the whole."""
    own = [error.partition(": ")[2] for error in sample["errors"] if error.startswith(f"{what}: ")]
    whole = [error for error in sample["errors"] if error.partition(": ")[0] not in NAMES]
    return next(iter([*own, *whole]), "it was not measured")


def _reason(sample: Sample, what: str) -> str:
    last = _why(sample, what).partition("the last one: ")[2]
    return f"; the last one: {last}" if last else ""


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} ms"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
