"""A canary against its baseline: what is worse is told, noise is not, and what is not known never passes for good."""

from __future__ import annotations

from typing import Any

import pytest

from nodewise.upgrade import soak

SLOW = "took too long"
PROBE = {"count": 25, "failed": 0, "p50_ms": 2.2, "p99_ms": 3.2, "max_ms": 9.0}
BASELINE = {
    "seconds": 5.0,
    "restarts": 0,
    "probe": PROBE,
    "command": {**PROBE, "p99_ms": 20.0},
    "patterns": {SLOW: 0, "panic": 0},
    "errors": [],
    "ended": "",
}
NO_COMMAND = "no probe of your own: nodewise_probe was not given"


def sample(**fields: Any) -> dict[str, Any]:
    """A healthy soak of half a minute with the given fields changed, those of its probes and patterns one by one."""
    made: dict[str, Any] = {**BASELINE, "seconds": 30.0, "probe": {**PROBE, "count": 150}, "command": {**PROBE, "count": 150}}
    for key, value in fields.items():
        made[key] = {**made[key], **value} if isinstance(value, dict) else value
    return made


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"probe": {"p50_ms": 4.5, "p99_ms": 55.1, "max_ms": 184.0}},
        {"command": {"p99_ms": 122.7}},
        {"probe": {"failed": 1}},
        {"patterns": {SLOW: 2}},
        {"patterns": {"of another release": 40}},
        {"errors": ["probe: 1 of 150 failed, the last one: no end after 2 s"]},
    ],
)
def test_noise_is_no_regression(fields: dict[str, Any]) -> None:
    """What a healthy member does on two busy cores does not fail a canary; nor does what nobody asked about."""
    assert soak.regressions(BASELINE, sample(**fields)) == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"probe": {"p99_ms": 241.0}}, "probe p99 241.0 ms, was 3.2 ms (allowed 3.2 x 2 + 100 ms)"),
        ({"probe": {"p50_ms": 25.0}}, "probe p50 25.0 ms, was 2.2 ms (allowed 2.2 x 2 + 10 ms)"),
        ({"command": {"p99_ms": 241.0}}, "your probe p99 241.0 ms, was 20.0 ms (allowed 20.0 x 2 + 100 ms)"),
        ({"restarts": 1}, "the process restarted 1 time"),
        ({"restarts": 2}, "the process restarted 2 times"),
        ({"patterns": {SLOW: 12}}, f"12 lines match '{SLOW}' in 30 s, were 0.0 a second"),
        ({"probe": {"failed": 3}}, "3 of 150 probes failed, none did"),
        (
            {"command": {"failed": 3}, "errors": ["command: 3 of 150 failed, the last one: exit code 7"]},
            "3 of 150 runs of your probe failed, none did; the last one: exit code 7",
        ),
        (
            {"probe": {"count": 1, "failed": 1, "p50_ms": None, "p99_ms": None}},
            "1 of 1 probes failed, none did",
        ),
        (
            {"ended": "etcd is failed (failed), result signal", "seconds": 3.04},
            "ended after 3.0 s: etcd is failed (failed), result signal",
        ),
        ({"probe": None, "errors": ["probe: nothing was asked"]}, "probe latency could not be measured: nothing was asked"),
        ({"command": None}, "your probe could not be measured: it was not measured"),
        (
            {"restarts": None, "errors": ["restarts: systemd does not answer"]},
            "restarts could not be measured: systemd does not answer",
        ),
        ({"patterns": None, "errors": ["patterns: no line"]}, "log lines could not be measured: no line"),
    ],
)
def test_worse_is_told(fields: dict[str, Any], says: str) -> None:
    """Each metric has a situation in which it alone is worse, or is no longer known, and one line says how."""
    assert [says] == soak.regressions(BASELINE, sample(**fields))


@pytest.mark.parametrize(("lines", "expected"), [(62, []), (63, ["63 lines match 'took too long' in 30 s, were 1.0 a second"])])
def test_rates_are_compared(lines: int, expected: list[str]) -> None:
    """Five lines in five seconds are as many as thirty in thirty; twice as many and two more are let pass."""
    assert expected == soak.regressions({**BASELINE, "patterns": {SLOW: 5}}, sample(patterns={SLOW: lines, "panic": 0}))


def test_probes_that_failed_before_may_fail_at_twice_the_rate() -> None:
    """A probe that fails one time in 25 is not made a regression by the canary; one that fails much more often is."""
    before = {**BASELINE, "probe": {**PROBE, "failed": 1}}
    assert [] == soak.regressions(before, sample(probe={"failed": 13}))
    assert ["14 of 150 probes failed, 1 of 25 did"] == soak.regressions(before, sample(probe={"failed": 14}))


def test_a_soak_that_is_not_there_is_a_regression() -> None:
    """Nothing sampled is unknown, with a baseline or without; a node that was lost says so first."""
    assert ["the soak was not sampled"] == soak.regressions(BASELINE, None) == soak.regressions(None, None)
    lost = soak.regressions(BASELINE, soak.unknown("n1 cannot be reached: broken pipe"))
    assert "ended after 0.0 s: n1 cannot be reached: broken pipe" == lost[0]
    assert "restarts could not be measured: n1 cannot be reached: broken pipe" == lost[1]
    assert 5 == len(lost)


def test_the_end_counts_without_a_baseline() -> None:
    """That a unit died needs no comparison."""
    assert [] == soak.regressions(None, sample())
    assert ["ended after 30.0 s: etcd is failed"] == soak.regressions(None, sample(ended="etcd is failed"))


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        (BASELINE, []),
        (None, ["no baseline: nothing was sampled"]),
        ({**BASELINE, "command": None, "errors": ["command: nothing was asked"]}, ["your probe: nothing was asked"]),
        ({**BASELINE, "probe": None}, ["probe latency: it was not measured"]),
        ({**BASELINE, "restarts": None, "errors": ["restarts: no systemd"]}, ["restarts: no systemd"]),
        ({**BASELINE, "patterns": None, "errors": ["patterns: no line"]}, ["log lines: no line"]),
        ({**BASELINE, "ended": "etcd is failed"}, ["the baseline ended after 5.0 s: etcd is failed"]),
        (
            {**BASELINE, "probe": {**PROBE, "failed": 25, "p50_ms": None, "p99_ms": None}, "errors": ["probe: 25 of 25 failed"]},
            ["probe latency: 25 of 25 failed"],
        ),
    ],
)
def test_gaps(baseline: dict[str, Any] | None, expected: list[str]) -> None:
    """What has no baseline is named with its reason; the operator's own probe too, when there is none."""
    assert expected == soak.gaps(baseline, command=True)
    without = [line for line in expected if not line.startswith("your probe")]
    assert [NO_COMMAND, *without] == soak.gaps(baseline, command=False)


@pytest.mark.parametrize("what", ["restarts", "probe", "command", "patterns"])
def test_what_has_no_baseline_is_left_out(what: str) -> None:
    """A metric that `gaps` names is not judged, however bad it is."""
    bad = sample(restarts=1, probe={"p99_ms": 900.0}, command={"p99_ms": 900.0}, patterns={SLOW: 900})
    before = {**BASELINE, what: None}
    assert 1 == len(soak.gaps(before, command=True))
    assert 3 == len(soak.regressions(before, bad))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"command": None}, "probe p99 3.2 ms, 0 restarts, 0 lines of 2 patterns"),
        ({"command": {"failed": 3, "p99_ms": None}}, "your probe p99 unknown, 3 of 150 failed"),
        ({"ended": "etcd is failed", "seconds": 3.04}, "ended after 3.0 s: etcd is failed"),
        ({"patterns": {SLOW: 1}}, "1 line of 2 patterns"),
    ],
)
def test_a_sample_in_one_line(fields: dict[str, Any], says: str) -> None:
    """The journal's note says the figures, and that it ended early."""
    assert says in soak.told(sample(**fields))


def test_a_sample_of_nothing_in_one_line() -> None:
    """A node that could not be sampled is told by its reason."""
    assert "n1 cannot be reached" in soak.told(soak.unknown("n1 cannot be reached"))
