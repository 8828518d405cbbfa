# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""JUnit XML: cases are read from it, and all that a run has found is written as it."""

from __future__ import annotations

from xml.etree import ElementTree

from nodewise.smoke.cases import Case, Status, Unparsable, seconds, short

_VERDICTS: dict[str, Status] = {"failure": "fail", "error": "fail", "skipped": "skip"}


def read(said: str) -> list[Case]:
    """The cases in JUnit XML, as pytest and Go's tools write it. Raises Unparsable."""
    if "<!" in said.partition("<testsuite")[0].replace("<!--", ""):
        raise Unparsable("JUnit XML with a DTD, which is not read: it may name files and grow without end")
    try:
        root = ElementTree.fromstring(said.strip())  # noqa: S314  without a DTD there is nothing to expand
    except ElementTree.ParseError as error:
        raise Unparsable(f"XML that cannot be read: {error}") from None
    found = [_junit_case(one) for one in root.iter("testcase")]
    if not found and root.tag not in ("testsuite", "testsuites"):
        raise Unparsable(f"XML that begins with <{root.tag}>; expected <testsuites> or <testsuite>")
    if not found:
        raise Unparsable("JUnit XML without a test case")
    return found + [case for suite in root.iter("testsuite") for case in _announced(suite)]


def _junit_case(one: ElementTree.Element) -> Case:
    name = ".".join(filter(None, (one.get("classname"), one.get("name")))) or "without a name"
    verdicts = [(child, _VERDICTS[child.tag]) for child in one if child.tag in _VERDICTS]
    if not verdicts:
        return Case(name, "pass", seconds=seconds(one.get("time")))
    child, status = next((pair for pair in verdicts if pair[1] == "fail"), verdicts[0])
    reason = child.get("message") or (child.text or "").strip() or child.get("type") or child.tag
    return Case(name, status, short(reason), seconds(one.get("time")))


def _announced(suite: ElementTree.Element) -> list[Case]:
    """What a suite says in numbers, and its cases do not."""
    inside, name, bad = list(suite.iter("testcase")), suite.get("name") or "suite", []
    said = {key: int(value) for key in ("tests", "failures", "errors") if (value := suite.get(key) or "").isdigit()}
    if said.get("tests", 0) > len(inside):
        bad.append(Case(f"{name}: tests", "fail", f"it says {said['tests']} tests and has {len(inside)}"))
    failed = any(child.tag in ("failure", "error") for one in inside for child in one)
    if said.get("failures", 0) + said.get("errors", 0) and not failed:
        bad.append(Case(f"{name}: failures", "fail", "it says that tests failed and shows none"))
    bad += [
        Case(name, "fail", short(child.get("message") or child.text or "")) for child in suite if child.tag in ("failure", "error")
    ]
    return bad
