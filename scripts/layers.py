# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The layers of tests: what tests/layers.toml says of them, what pytest found, and the report of both."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

WIDTH = 100
SHOWN, SLOWEST = 5, 10
TOLERATED = 1.5  # times its budget that a layer may take in CI before it fails: machines there are shared, and slower at times


@dataclass(frozen=True)
class Layer:
    """A folder of tests; budgets are minutes, `budget` without slow tests, None when `make test` leaves the layer out."""

    name: str
    what: str
    whole: float
    workers: int
    budget: float | None = None
    first: tuple[str, ...] = ()  # its files that take longest, which begin before all others


@dataclass(frozen=True)
class Case:
    """A test that ran: `name` is file::function, `outcome` is passed, failed or skipped."""

    name: str
    outcome: str
    seconds: float


@dataclass
class Result:
    """What came of a layer. `budget` is in seconds, None when only some of its tests were asked for."""

    layer: str
    budget: float | None
    seconds: float = 0.0
    cases: list[Case] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # why pytest did not get to its end
    slowness: float = 1.0  # how many times as long this machine takes as the one that budgets are for

    def count(self, outcome: str) -> int:
        """How many tests ended so. Pytest that did not get to its end is a failure, also when no test is to blame."""
        found = sum(case.outcome == outcome for case in self.cases)
        return max(found, 1) if outcome == "failed" and self.broken else found

    @property
    def far_over(self) -> bool:
        """Whether it took so much longer that no busy or slow machine explains it."""
        return self.budget is not None and self.seconds > TOLERATED * max(1.0, self.slowness) * self.budget

    @property
    def over(self) -> bool:
        """Whether it took longer than it may."""
        return self.budget is not None and self.seconds > self.budget

    def slowest(self, count: int) -> list[Case]:
        """Its slowest tests, the slowest first."""
        return sorted(self.cases, key=lambda case: case.seconds, reverse=True)[:count]


def load(root: Path) -> dict[str, Layer]:
    """The layers of a checkout by name, in their order."""
    return {name: Layer(name, **said) for name, said in tomllib.loads((root / "tests/layers.toml").read_text()).items()}


def cases(junit: Path) -> list[Case]:
    """What a JUnit file of pytest says of each test; a file of tests that could not be read is a failed test."""
    return [_case(element) for element in ElementTree.parse(junit).iter("testcase")]  # noqa: S314 (pytest has just written it)


def _case(element: ElementTree.Element) -> Case:
    where, name = element.get("classname", ""), element.get("name", "")
    outcomes = {"failure": "failed", "error": "failed", "skipped": "skipped"}
    found = {outcomes[child.tag] for child in element if child.tag in outcomes}
    outcome = "failed" if "failed" in found else "skipped" if found else "passed"
    return Case(f"{where.rpartition('.')[2]}.py::{name}" if where else name, outcome, float(element.get("time", 0)))


def alone(layer: str, name: str) -> str:
    """The command that runs one test (file::function) by itself, and those whose names have the same words: -k takes no blanks."""
    words = [word for word in re.findall(r"[\w\[\]./:+-]+", name.partition("::")[2]) if word not in ("and", "or", "not")]
    if not words:  # of a file that could not be read
        return f"make test-{layer}"
    said = " and ".join(words)
    return f'make test-{layer} ARGS="-k {said if len(words) == 1 else repr(said)}"'


def record(layer: str, name: str) -> Path:
    """The folder in which a test that failed (file::function) leaves the records of its runs, within the checkout."""
    return Path("build/records") / layer / re.sub(r"[^\w.=-]+", "-", name).strip("-")[:150]


def clock(seconds: float | None) -> str:
    """Minutes and seconds, as in 1:05; a dash when nothing is known."""
    return "-" if seconds is None else f"{round(seconds) // 60}:{round(seconds) % 60:02}"


def cut(text: str, width: int) -> str:
    """A text that fits; its end is what tells tests apart, so its middle goes."""
    return text if len(text) <= width else f"{text[: width // 2 - 1]}…{text[len(text) - (width - width // 2) :]}"


def report(results: Sequence[Result], root: Path) -> list[str]:
    """A row a layer with its slowest tests, the slowest of all, and what was not well."""
    return [*table(results), "", *slowest_of_all(results), *failures(results, root), *overruns(results)]


def table(results: Sequence[Result]) -> list[str]:
    """A row a layer, and one for all of them."""
    budgets = [result.budget for result in results if result.budget is not None]
    lines = [_row("layer", "tests", "budget", "took", "slowest five")]
    for result in results:
        slow = [_timed(case, 63) for case in result.slowest(SHOWN)] or [""]
        lines.append(_row(result.layer, str(len(result.cases)), clock(result.budget), clock(result.seconds), slow[0]))
        lines += [_row("", "", "", "", line) for line in slow[1:]]
    if len(results) > 1:
        whole = sum(budgets) if len(budgets) == len(results) else None
        tests, took = sum(len(result.cases) for result in results), sum(result.seconds for result in results)
        lines.append(_row("all", str(tests), clock(whole), clock(took), ""))
    return lines


def _row(name: str, tests: str, budget: str, took: str, slow: str) -> str:
    return f"{name:<12}{tests:>6}{budget:>8}{took:>8}  {slow}".rstrip()


def _timed(case: Case, width: int) -> str:
    return f"{case.seconds:6.1f} s  {cut(case.name, width - 10)}"


def slowest_of_all(results: Sequence[Result]) -> list[str]:
    """The slowest tests of all layers, each with its layer."""
    every = [(case, result.layer) for result in results for case in result.cases]
    every.sort(key=lambda one: one[0].seconds, reverse=True)
    lines = [f"{case.seconds:8.1f} s  {layer:<12}{cut(case.name, WIDTH - 24)}" for case, layer in every[:SLOWEST]]
    return ["slowest ten", *lines]


def failures(results: Iterable[Result], root: Path) -> list[str]:
    """Each test that failed, how it is run alone and where its records are, and each layer that pytest did not get through."""
    lines: list[str] = []
    for result in results:
        for case in result.cases:
            if case.outcome == "failed":
                lines += ["", f"failed: {result.layer}/{case.name}", f"  alone:  {alone(result.layer, case.name)}"]
                folder = record(result.layer, case.name)
                lines += [f"  record: {folder}"] if (root / folder).is_dir() else []
        lines += [line for why in result.broken for line in ("", f"failed: {result.layer}: {why}")]
    return lines


def overruns(results: Iterable[Result]) -> list[str]:
    """A line for each layer that took longer than it may, and how slow the machine is."""
    over = [result for result in results if result.over]
    if not over:
        return []
    slow = f"this machine takes {over[0].slowness:.1f} times as long as the one that budgets are for"
    return ["", *(f"over budget: {r.layer} took {clock(r.seconds)}, expected at most {clock(r.budget)}" for r in over), slow]


def last_line(results: Sequence[Result]) -> str:
    """What a CI system reads: `N passed, N failed`, and `, N skipped` when there are any."""
    passed, failed, skipped = (sum(result.count(how) for result in results) for how in ("passed", "failed", "skipped"))
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def good(results: Sequence[Result], strict: bool) -> bool:
    """Whether a run passed: something ran, nothing failed and, where it is strict about budgets, none was overrun by far."""
    ran = any(result.count("passed") for result in results)
    return ran and not any(result.count("failed") or (strict and result.far_over) for result in results)


RESULTS = "docs/test-results.md"
HEAD = """# Test results

The last whole run of each layer, slow tests included. `make test-all` writes all rows, `make test-LAYER RESULTS=1`
that of one layer. A `+` after the commit: there were changes that it does not have.

| layer | commit | date | passed | failed | skipped | took |
|-------|--------|------|-------:|-------:|--------:|-----:|
"""


def results_page(page: str, results: Iterable[Result], commit: str, date: str, order: Sequence[str]) -> str:
    """The page of results with new rows for these layers; those of other layers stay as they are."""
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("|")}
    for result in results:
        counts = [str(result.count(outcome)) for outcome in ("passed", "failed", "skipped")]
        rows[result.layer] = f"| {' | '.join([result.layer, commit, date, *counts, clock(result.seconds)])} |"
    return HEAD + "".join(f"{rows[name]}\n" for name in order if name in rows)
