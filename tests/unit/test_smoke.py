"""Suites: read, planned, judged and told. What is off ends in a failure that says so, and the counts add up."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
import yaml

from nodewise.errors import Refused, UsageError
from nodewise.smoke import protocols, report, session, suite, verdict
from nodewise.smoke.cases import Case, Unparsable
from nodewise.smoke.session import Session, Wish
from nodewise.smoke.suite import Script
from nodewise.smoke.verdict import Ended, Result

CASES = Path(__file__).parents[1] / "cases/smoke"
HOSTS: dict[str, str | None] = {"n1": "1.0", "n2": "1.0", "n3": "1.1"}


def rows(*kinds: str) -> list[Any]:
    """Cases of some kinds, each with its name."""
    return [pytest.param(path, id=f"{kind}-{path.stem}") for kind in kinds for path in sorted((CASES / kind).glob("*.json"))]


@pytest.mark.parametrize("path", rows("tap", "junit", "jsonl"))
def test_protocols(path: Path) -> None:
    """What a script says in a protocol is these cases, or cannot be read for this reason."""
    row = json.loads(path.read_text())
    said = "\n".join(row["said"])
    reader = protocols.READERS[path.parent.name]  # type: ignore[index]
    if "unparsable" in row:
        with pytest.raises(Unparsable, match=row["unparsable"]):
            reader(said)
        return
    assert row["cases"] == [[case.name, case.status, case.reason] for case in reader(said)]
    assert path.parent.name == protocols.detect(said)


RESULTS = CASES.parent / "results"


@pytest.mark.parametrize(("name", "expected"), yaml.safe_load((RESULTS / "expected.yml").read_text()).items())
def test_what_others_print(name: str, expected: dict[str, Any]) -> None:
    """Results as real programs print or write them, after a banner, in colours, in subtests: this verdict, and these cases."""
    said = (RESULTS / name).read_bytes().decode()
    ended = Ended(script="one", code=0, **({"told": said} if expected.get("told") else {"stdout": said}))
    result = verdict.judge(ended, Script(name="one"), "n1")
    assert expected["status"] == result.status, result.reason
    assert result.flaky == any(case.flaky for case in result.cases)
    assert result.cases
    if expected["cases"] != "any":
        found = [("flaky" if case.flaky else case.status, case.name) for case in result.cases]
        assert [status for status, _name in expected["cases"]] == [status for status, _name in found]
        assert all(name.endswith(wanted) for (_, wanted), (_, name) in zip(expected["cases"], found, strict=True))


def test_leaves_of_subtests_are_named() -> None:
    """What failed within another is told by its own name."""
    found = protocols.cases((RESULTS / "ktap-two-spaces.out").read_text())
    assert found is not None
    assert [("probe_suite / lock_group / periodic", "fail")] == [(c.name, c.status) for c in found if c.status == "fail"]


@pytest.mark.parametrize("path", rows("verdict"))
def test_verdicts(path: Path) -> None:
    """How a script ended and what it said are this verdict."""
    row = json.loads(path.read_text())
    ended = msgspec.convert({"script": "one", **row["ended"]}, Ended)
    result = verdict.judge(ended, msgspec.convert({"name": "one", **row["script"]}, Script), "n1")
    assert [row["status"], row["reason"]] == [result.status, result.reason]
    assert [row.get("timeout", False), row.get("cases", 0)] == [result.timeout, len(result.cases)]


@pytest.mark.parametrize(
    "said", ["", "hello\n", "ok 1 - a line of a program\n", "\x00\x01", '{"level": "info"}\n', "# 1..2\nhello", "[1, 2]", "1..2..3"]
)
def test_output_without_a_protocol(said: str) -> None:
    """What only looks a little like a protocol is judged by its exit code."""
    assert [protocols.detect(said), protocols.cases(said)] == ["exit", None]


def test_a_huge_plan() -> None:
    """A plan of a billion tests is a thousand lines, and the rest as a number."""
    found = protocols.cases("1..1000000000\nok 1\n")
    assert found
    assert [1002, "999998999 more"] == [len(found), found[-1].name]


def test_what_is_left_behind_is_noted() -> None:
    """Processes that outlived a script are no failure, but they are told; so is output that was cut."""
    result = verdict.judge(Ended(script="a", code=0, left=["sleep", "sleep"], stdout_cut=7), Script(name="a"), "n1")
    assert ["pass", ["it left sleep running; ended", "7 bytes of its output were cut"]] == [result.status, result.notes]


def test_a_pass_after_a_failure_is_flaky() -> None:
    """It counts as passed, and as flaky; a second failure is a failure."""
    bad, good = (verdict.judge(Ended(script="a", code=code, seconds=1), Script(name="a"), "n1") for code in (1, 0))
    worse = verdict.again(verdict.judge(Ended(script="a", code=2), Script(name="a"), "n1"), bad)
    assert [False, 2, "fail"] == [worse.flaky, worse.attempts, worse.status]
    better = verdict.again(worse, good)
    assert [True, 3, 2.0, ["failed before: exit code 1, expected 0"]] == [
        better.flaky,
        better.attempts,
        better.seconds,
        better.notes,
    ]


# Suites


def make(folder: Path, scripts: dict[str, str], declared: str | None = None) -> Path:
    """A suite of executables."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    if declared is not None:
        (folder / "suite.yml").write_text(declared)
    return folder


def test_a_folder_with_nothing_but_executables(tmp_path: Path) -> None:
    """It is a suite: each executable is a script of tier core, on each host; other files and folders are its data."""
    folder = make(tmp_path / "mine", {"b": "#!/bin/sh\n", "a": "junk", "a~": "#!/bin/sh\n", ".c": "#!/bin/sh\n"})
    (folder / "data.txt").write_text("1")
    (folder / "lib").mkdir()
    make(folder / "lib", {"helper": "#!/bin/sh\n"})
    found = suite.load(folder)
    assert ["mine", "each", ["a", "b"]] == [found.name, found.where, [one.name for one in found.scripts]]
    assert {"a", "b", "data.txt", "lib/helper"} == set(found.files)
    assert {("core", 60.0, "")} == {(one.tier, one.timeout, one.problem) for one in found.scripts}


def test_what_a_suite_and_its_scripts_say(tmp_path: Path) -> None:
    """suite.yml's own values are defaults, a script's comment goes before them, and suite.yml's word on a script before that."""
    scripts = {
        "a": "#!/bin/sh\n# Explains.\n# smoke: tier=full timeout=5 expect=1,2 slow retries=2 protocol=tap\n",
        "b": "#!/usr/bin/env node\n// smoke: timeout=7\n",
        "c": "#!/bin/sh\n",
    }
    found = suite.load(
        make(tmp_path / "s", scripts, "where: one\ntimeout: 9\ntier: basic\nscripts: {b: {timeout: 8, slow: true}}\n")
    )
    told = [[s.name, s.tier, s.timeout, s.expect, s.slow, s.retries, s.protocol] for s in found.scripts]
    assert [
        ["a", "full", 5.0, [1, 2], True, 2, "tap"],
        ["b", "basic", 8.0, [0], True, 0, "auto"],
        ["c", "basic", 9.0, [0], False, 0, "auto"],
    ] == told
    assert [["c"], ["b", "c"], ["a", "b", "c"]] == [
        [s.name for s in chosen] for chosen in (found.chosen("basic", slow=False), found.chosen("basic"), found.chosen("stress"))
    ]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("where: moon\n", "where is 'moon'; expected each, one, versions, controller"),
        ("speed: 1\n", "there is no speed; there are: where, parallel, serial, pinned, environment"),
        ("timout: 1\n", r"there is no timout \(did you mean timeout\?\)"),
        (
            "scripts: {a: {timout: 1}}\n",
            r"scripts: a: there is no timout \(did you mean timeout\?\)",
        ),
        ("scripts: {a: 5}\n", r"scripts: a is 5; expected a mapping"),
        ("timeout: .nan\n", "timeout is nan; expected a number above 0"),
        ("timeout: .inf\n", "timeout is inf"),
        ("timeout: 0\n", "timeout is 0"),
        ("timeout: '5'\n", "timeout is '5'"),
        ("retries: -1\n", "retries is -1; expected a number from 0 on"),
        ("output: true\n", "output is True"),
        ("timeout: 1\ntimeout: 2\n", "timeout is given twice, in line 1"),
        ("scripts: {a: {slow: true, slow: false}}\n", "slow is given twice"),
        ("tier: bsic\n", r"tier is 'bsic' \(did you mean basic\?\); expected core, basic, full, stress"),
        ("scripts: {a: {tier: bsic}}\n", r"scripts: a: tier is 'bsic' \(did you mean basic"),
        ("scripts: {a: {expect: none}}\n", "Expected `array`, got `str`"),
        ("environment: {A: 1.10}\n", "environment: A is 1.1; expected a text: put it in quotes"),
        ("environment: {A: yes}\n", "environment: A is True"),
        ("secrets: [A]\n", "expected a mapping by name"),
        ("- a\n", "expected a mapping"),
        ("scripts: [a]\n", "expected a mapping"),
        ("a: [\n", "cannot be read"),
        ("environment: {A-B: c}\n", "A-B is not a valid environment variable"),
        ("digest: abc\n", "digest is not for a suite to say"),
    ],
)
def test_a_suite_that_cannot_be_read(tmp_path: Path, declared: str, expected: str) -> None:
    """What is off in suite.yml is said before anything runs."""
    with pytest.raises(UsageError, match=expected):
        suite.load(make(tmp_path / "s", {"a": "#!/bin/sh\n"}, declared))


def test_a_port_is_a_text(tmp_path: Path) -> None:
    """A whole number in the environment is what it looks like."""
    assert {"PORT": "5432"} == suite.load(make(tmp_path / "s", {"a": "#!/bin/sh\n"}, "environment: {PORT: 5432}\n")).environment


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    """A script is known by a name that can be written down, on its host, too; data is there by its own."""
    folder = make(tmp_path / "s", {"good": "#!/bin/sh\n"})
    for name in (b"t\xe9st", b"data-\xe9"):
        (folder / os.fsdecode(name)).write_text("#!/bin/sh\n" if name[:1] == b"t" else "1")
    (folder / os.fsdecode(b"t\xe9st")).chmod(0o755)
    found = suite.load(folder)
    assert [r"good", r"t\xe9st"] == [one.name for one in found.scripts]
    with tarfile.open(fileobj=io.BytesIO(found.packed())) as packed:
        assert {"good", r"t\xe9st", os.fsdecode(b"data-\xe9")} == set(packed.getnames())
    (made,) = session.plan(tmp_path / "run", [found], Wish(), HOSTS, cluster="c")
    assert made.scripts == session.read(tmp_path / "run", made.id).scripts


def test_a_suite_without_executables(tmp_path: Path) -> None:
    """It is refused, with what to do."""
    make(tmp_path / "s", {})
    (tmp_path / "s/readme.txt").write_text("hello")
    with pytest.raises(UsageError, match="has no executables; expected scripts with a run bit"):
        suite.load(tmp_path / "s")


def test_a_suite_that_does_not_exist(tmp_path: Path) -> None:
    """The message names those that do."""
    make(tmp_path / "mine", {})
    with pytest.raises(UsageError, match=r"no suite 'nine' \(did you mean mine\?\); there are: mine"):
        suite.find("nine", [tmp_path])


def test_a_suite_of_ones_own_goes_first(tmp_path: Path) -> None:
    """Folders are looked through in their order; a path is a suite anywhere."""
    for place in "ab":
        make(tmp_path / place / "s", {"x": "#!/bin/sh\n"})
    assert str(tmp_path / "a/s") == suite.find("s", [tmp_path / "none", tmp_path / "a", tmp_path / "b"]).folder
    assert str(tmp_path / "b/s") == suite.find(str(tmp_path / "b/s"), []).folder
    places = [tmp_path / "none", tmp_path / "a", tmp_path / "b"]
    assert [[tmp_path / "b/s"], []] == [suite.shadowed(suite.find("s", one), one) for one in (places, places[:2])]


@pytest.mark.parametrize("name", ["no-run-bit", "link", "spoken-of", "comment"])
def test_a_script_that_cannot_be_run_is_counted(tmp_path: Path, name: str) -> None:
    """It is expected, and fails with the reason; the rest of the suite runs."""
    folder = make(tmp_path / "s", {"good": "#!/bin/sh\n"}, "scripts: {spoken-of: {tier: core}}\n" if name == "spoken-of" else None)
    if name == "no-run-bit":
        (folder / name).write_text("#!/bin/sh\n")
    elif name == "link":
        (folder / name).symlink_to("nowhere")
    elif name == "comment":
        make(folder, {name: "#!/bin/sh\n# smoke: timeout=soon\n"})
    expected = {
        "no-run-bit": "has no run bit: chmod",
        "link": "a link to nowhere",
        "spoken-of": "suite.yml speaks of it, and it is not there",
    }.get(name, "cannot be read")
    problems = {one.name: one.problem for one in suite.load(folder).scripts}
    assert {"good", name} == set(problems)
    assert [True, ""] == [expected in problems[name], problems["good"]]


def test_the_digest_is_that_of_all_files(tmp_path: Path) -> None:
    """Content, names and run bits are part of it; times are not."""
    folder = make(tmp_path / "s", {"a": "#!/bin/sh\n"})
    digests = [suite.load(folder).digest]
    os.utime(folder / "a", (1, 1))
    assert digests == [suite.load(folder).digest]
    (folder / "data").write_text("1")
    digests.append(suite.load(folder).digest)
    (folder / "data").chmod(stat.S_IRWXU)
    digests.append(suite.load(folder).digest)
    (folder / "a").write_text("#!/bin/sh\nexit 0\n")
    digests.append(suite.load(folder).digest)
    assert 4 == len(set(digests))


# Sessions


def planned(folder: Path, where: str = "each", wish: Wish | None = None, declared: str = "") -> Session:
    """A session of a suite of two scripts, in the run's folder."""
    made = make(folder.parent / "suites/s", {"a": "#!/bin/sh\n", "b": "#!/bin/sh\n"}, f"where: {where}\n{declared}")
    return session.plan(folder, [suite.load(made)], wish or Wish(), HOSTS, cluster="c")[0]


def results(host: str, **statuses: str) -> list[Result]:
    """What a host reports."""
    return [msgspec.convert({"script": name, "host": host, "status": status}, Result) for name, status in statuses.items()]


@pytest.mark.parametrize(
    ("where", "hosts"), [("each", ["n1", "n2", "n3"]), ("one", ["n1"]), ("versions", ["n1", "n3"]), ("controller", ["controller"])]
)
def test_where_a_suite_runs(tmp_path: Path, where: str, hosts: list[str]) -> None:
    """The number of results is known before the run."""
    one = planned(tmp_path / "run", where)
    assert [hosts, 2 * len(hosts)] == [one.hosts, one.expected]


def test_an_unknown_version_may_be_one_of_its_own(tmp_path: Path) -> None:
    """A host whose version nobody could read is run on."""
    made = suite.load(make(tmp_path / "s", {"a": "#!/bin/sh\n"}, "where: versions\n"))
    assert ["n1", "n2"] == session.plan(tmp_path / "r", [made], Wish(), {"n1": "1", "n2": None, "n3": "1"})[0].hosts


def test_nothing_of_the_tier(tmp_path: Path) -> None:
    """A run of nothing is refused, not passed."""
    with pytest.raises(UsageError, match="nothing to run: no script of tier core in s"):
        planned(tmp_path / "run", declared="tier: stress\n")


def test_a_gate_that_cannot_be_read(tmp_path: Path) -> None:
    """It is refused before anything runs."""
    with pytest.raises(Refused, match="gate mine cannot be read"):
        planned(tmp_path / "run", declared='gates: {mine: {that: "1 +", fail_msg: x}}\n')


def judged(tmp_path: Path, *reported: list[Result], declared: str = "") -> session.Concluded:
    """A session on three hosts, after these have reported."""
    one = planned(tmp_path / "run", declared=declared)
    for host in reported:
        session.keep(tmp_path / "run", one.id, host[0].host, host)
    return session.conclude(tmp_path / "run", one.id)


def test_all_passed(tmp_path: Path) -> None:
    """Passes and skips together are what was expected."""
    done = judged(tmp_path, *(results(host, a="pass", b="skip") for host in HOSTS))
    assert [True, 6, 3, 3, []] == [done.ok, done.counts.expected, done.counts.passed, done.counts.skipped, done.blamed()]


def test_a_failure(tmp_path: Path) -> None:
    """The gate names host, script and reason, and whose fault it is."""
    done = judged(tmp_path, results("n1", a="pass", b="fail"), results("n2", a="pass", b="pass"), results("n3", a="pass", b="pass"))
    assert [False, 1, ["n1"]] == [done.ok, done.counts.failed, done.blamed()]
    assert "smoke_passed: scripts failed, or did not report; found" in done.reason
    assert "n1 b" in done.reason


@pytest.mark.parametrize("torn", [False, True])
def test_a_host_that_did_not_report(tmp_path: Path, torn: bool) -> None:
    """Its scripts have failed: the counts are those that were expected."""
    one = planned(tmp_path / "run")
    for host in ("n1", "n2"):
        session.keep(tmp_path / "run", one.id, host, results(host, a="pass", b="pass"))
    if torn:
        (tmp_path / "run/smoke/s/n3").mkdir()
        (tmp_path / "run/smoke/s/n3/results.json").write_text('[{"script": "a"')
    done = session.conclude(tmp_path / "run", one.id)
    assert [6, 4, 2, 4, False] == [done.counts.expected, done.counts.passed, done.counts.failed, done.counts.reported, done.ok]
    assert "n3 a: did not report: the host gave no answer" in done.reason


def test_a_script_that_did_not_report(tmp_path: Path) -> None:
    """A result that is missing among the others is a failed one."""
    done = judged(tmp_path, results("n1", a="pass"), results("n2", a="pass", b="pass"), results("n3", a="pass", b="pass"))
    assert [False, 1] == [done.ok, done.counts.failed]


def test_all_skipped_is_no_pass(tmp_path: Path) -> None:
    """A suite in which nothing was tried fails the gate smoke_ran."""
    done = judged(tmp_path, *(results(host, a="skip", b="skip") for host in HOSTS))
    assert [False, 0] == [done.ok, done.counts.failed]
    assert "smoke_ran: nothing was tried, and what was skipped has not passed" in done.reason


def test_a_gate_of_the_suites_own(tmp_path: Path) -> None:
    """It is asked about the same counts."""
    gate = 'gates: {steady: {that: "smoke.flaky == `0`", fail_msg: some were flaky, shows: smoke.flaky}}\n'
    flaky = results("n1", a="pass", b="pass")
    flaky[0].flaky = True
    rest = [results(host, a="pass", b="pass") for host in ("n2", "n3")]
    done = judged(tmp_path, flaky, *rest, declared=gate)
    assert [False, 6, "steady: some were flaky; found 1"] == [done.ok, done.counts.passed, done.reason]


ASKS = {
    "smoke.pased > `0`": "asks about smoke.pased, which is not there (did you mean smoke.passed?)",
    "passed > `0`": "asks about passed, which is not there",
    "length(smoke.hots) == `3` && smoke.passed > `0`": "asks about smoke.hots",
    "sum([smoke.passed, smoke.skiped]) > `0`": "asks about smoke.skiped",
    "smok.failures[0] == `null`": "asks about smok.failures",
    "smoke.failures[?contains(@, 'x')] | length(@) == `0`": "",
    "smoke.failures[*].x | [0] == `null`": "",
    "smoke.cases_failed == `0` && smoke.suite == 's'": "",
}


@pytest.mark.parametrize(("that", "expected"), ASKS.items())
def test_a_gate_that_asks_about_nothing(tmp_path: Path, that: str, expected: str) -> None:
    """It is refused before anything runs: after all was run it would fail, whatever came of it."""
    declared = yaml.safe_dump({"gates": {"mine": {"that": that, "fail_msg": "x"}}})
    if not expected:
        planned(tmp_path / "run", declared=declared)
        return
    with pytest.raises(UsageError) as raised:
        planned(tmp_path / "run", declared=declared)
    assert f"gate mine {expected}" in str(raised.value)
    assert [] == list(tmp_path.glob("run/smoke/*"))


def test_two_suites_of_one_name(tmp_path: Path) -> None:
    """Each says where it is from, and their cases have names of their own."""
    folders = [make(tmp_path / place / "s", {"a": "#!/bin/sh\n"}) for place in "xy"]
    made = session.plan(tmp_path / "run", [suite.load(one) for one in folders], Wish(), HOSTS, cluster="c")
    told = [next(iter(report.lines(session.conclude(tmp_path / "run", one.id)))) for one in made]
    assert [True, True] == [f"s (in {folder}), tier" in line for folder, line in zip(folders, told, strict=True)]
    report.put_junit(tmp_path / "run")
    cases = ElementTree.parse(tmp_path / "run/junit.xml").iter("testcase")  # noqa: S314  our own
    assert {f"{name}.{host}" for name in ("s", "s.2") for host in HOSTS} == {one.get("classname") for one in cases}


def test_lines_are_those_of_the_failed_case() -> None:
    """Of much output what is shown begins where the failure does; without such a line it is the end."""
    said = "1..30\n" + "".join(f"{'not ok' if n == 3 else 'ok'} {n} - case {n}\n" for n in range(1, 31))
    said = said.replace("case 3\n", "case 3\n# expected 1, found 2\n", 1)
    result = verdict.judge(Ended(script="one", code=0, stdout=said, stderr="bye\n"), Script(name="one"), "n1")
    assert ["not ok 3 - case 3", "# expected 1, found 2", "ok 4 - case 4"] == result.lines[:3]
    ended = Ended(script="one", code=1, stdout="a\nb\n", units=["run-r1.service"])
    assert ["a", "b"] == verdict.judge(ended, Script(name="one"), "n1").lines
    assert any("run-r1.service" in note for note in verdict.judge(ended, Script(name="one"), "n1").notes)


def test_a_suite_twice_in_a_run(tmp_path: Path) -> None:
    """Each session has a folder of its own, and the totals are of both."""
    ids = [planned(tmp_path / "run").id for _ in range(2)]
    assert ["s", "s.2"] == ids
    for host in HOSTS:
        session.keep(tmp_path / "run", "s.2", host, results(host, a="pass", b="pass"))
    totals = session.totals(tmp_path / "run")
    assert [12, 6, 6] == [totals[key] for key in ("expected", "passed", "failed")]
    assert [False, True] == [one["ok"] for one in totals["sessions"]]


def test_a_pinned_suite_that_changed(tmp_path: Path) -> None:
    """What is new, gone or changed since the last run of the same cluster is named; another cluster's does not count."""
    before = planned(tmp_path / "run1", declared="pinned: true\n")
    assert [[], ""] == [before.changed, before.was]
    folder = tmp_path / "suites/s"
    (folder / "a").write_text("#!/bin/sh\nexit 0\n")
    (folder / "b").unlink()
    make(folder, {"c": "#!/bin/sh\n"})
    now = session.plan(tmp_path / "run2", [suite.load(folder)], Wish(), HOSTS, cluster="c")[0]
    assert [["a changed", "b gone", "c new"], "run1"] == [now.changed, now.was]
    assert [] == session.plan(tmp_path / "run3", [suite.load(folder)], Wish(), HOSTS, cluster="other")[0].changed
    same = session.plan(tmp_path / "run4", [suite.load(folder)], Wish(), HOSTS, cluster="c")[0]
    assert [[], "run2"] == [same.changed, same.was]
    assert "these are not the cases of run1: a changed" in "\n".join(report.lines(session.conclude(tmp_path / "run2", now.id)))


def test_a_suite_that_is_pinned_by_its_digest(tmp_path: Path) -> None:
    """A pin that is not the digest's beginning is told."""
    digest = planned(tmp_path / "run").digest
    assert [0, 1] == [len(planned(tmp_path / "run", wish=Wish(pins={"s": pin})).changed) for pin in (digest[:12], "beef")]


# Reports


def test_the_table_shows_what_failed(tmp_path: Path) -> None:
    """A failed script comes with its reason and first lines, a flaky one with what it failed by before."""
    mine = results("n1", a="fail", b="pass")
    mine[0].reason, mine[0].lines, mine[0].timeout = "timeout: no end after 5 s", ["one", "two"], True
    mine[1].flaky, mine[1].notes = True, ["failed before: exit code 1"]
    told = list(report.lines(judged(tmp_path, mine, *(results(host, a="pass", b="pass") for host in ("n2", "n3")))))
    assert "FAILED s, tier core, on 3: 5 passed, 1 failed, 0 skipped of 6, 1 flaky" == told[0]
    assert "  timeout  n1  a  timeout: no end after 5 s" == told[1]
    assert ["             | one", "             | two", "  flaky    n1  b  failed before: exit code 1"] == told[2:]


def test_junit_is_merged(tmp_path: Path) -> None:
    """Every case is a case of its own, beside what is there; merging twice changes nothing, and junk is no XML."""
    mine = results("n1", a="fail", b="pass")
    mine[0].cases = [Case("x", "pass", seconds=0.5), Case("y", "fail", "no\x00\x1b")]
    judged(tmp_path, mine, results("n2", a="skip", b="pass"))
    (tmp_path / "run/junit.xml").write_text('<testsuite name="gates"><testcase name="g"/></testsuite>')
    report.put_junit(tmp_path / "run")
    once = (tmp_path / "run/junit.xml").read_text()
    report.put_junit(tmp_path / "run")
    assert once == (tmp_path / "run/junit.xml").read_text()
    root = ElementTree.fromstring(once)  # noqa: S314  our own
    assert ["gates", "smoke s"] == [one.get("name") for one in root]
    assert {"tests": "7", "failures": "3", "skipped": "1", "name": "smoke s"} == root[1].attrib
    assert ["a: x", "a: y", "b", "a", "b", "a", "b"] == [one.get("name") for one in root[1]]


def test_a_run_without_sessions(tmp_path: Path) -> None:
    """Nothing was run: no totals, and a junit.xml as it was."""
    assert {"expected": 0, "sessions": []} == {k: session.totals(tmp_path)[k] for k in ("expected", "sessions")}


def test_output_stays_in_its_folder(tmp_path: Path) -> None:
    """The name of a file that a host returns leads nowhere else."""
    session.output(tmp_path, "s", "n1", {"a.out": b"1", "../../../x": b"2", "/x": b"3"})
    assert ["a.out"] == [path.name for path in tmp_path.rglob("*") if path.is_file()]
