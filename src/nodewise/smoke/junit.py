# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""JUnit XML, as pytest, Go's tools, googletest, bats, node and surefire write it: elements, attributes and totals count."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from nodewise.smoke.cases import Case, Status, Unparsable, seconds, short
from nodewise.text import fit

BEGINS = re.compile(r"^\s*(?:<\?xml\s|<testsuites?[\s>/])", re.MULTILINE)
_BEGIN = re.compile(r"<\?xml\s|<testsuite")
_DECLARATION = re.compile(r"<\?xml\s[^>]*\?>")
_REFERENCE = re.compile(r"&#(?:x([0-9A-Fa-f]+)|([0-9]+));")
_MOST = 0x10FFFF  # Unicode's last character
_VERDICTS: dict[str, Status] = {"failure": "fail", "error": "fail", "skipped": "skip"}
_FLAKY = ("flakyFailure", "flakyError")  # of surefire: a try that failed before one that passed
_WORDS: dict[str, Status] = {  # of the attributes `status` and `result`
    **dict.fromkeys(("", "passed", "pass", "ok", "success", "successful", "run", "completed", "executed"), "pass"),
    **dict.fromkeys(("failed", "fail", "failure", "error", "errored", "broken"), "fail"),
    **dict.fromkeys(("notrun", "skipped", "skip", "disabled", "suppressed", "ignored", "pending", "todo"), "skip"),
}


def read(said: str) -> list[Case]:
    """The cases in JUnit XML: in one document or several, after whatever was printed before. Raises Unparsable."""
    roots = _documents(said)
    found = [_case(one) for root in roots for one in root.iter("testcase")]
    others = [root.tag for root in roots if root.tag not in ("testsuite", "testsuites")]
    if others:
        raise Unparsable(f"XML that begins with <{others[0]}>; expected <testsuites> or <testsuite>")
    if not found:
        raise Unparsable("JUnit XML without a test case")
    suites = [one for root in roots for one in root.iter() if one.tag in ("testsuite", "testsuites")]
    return found + [case for suite in suites for case in _announced(suite)]


def _documents(said: str) -> list[ElementTree.Element]:
    """The roots of all documents, their tags without namespaces. Characters that XML forbids are replaced."""
    begins = _BEGIN.search(said)
    start = begins.start() if begins else 0
    text = _DECLARATION.sub("", said[start : said.rfind(">") + 1])
    if re.search(r"<!(?:DOCTYPE|ENTITY)", text.partition("<testcase")[0]):
        raise Unparsable("JUnit XML with a DTD, which is not read: it may name files and grow without end")
    try:
        whole = ElementTree.fromstring(f"<all>{_REFERENCE.sub(_allowed, fit(text))}</all>")  # noqa: S314  a DTD is no child
    except ElementTree.ParseError as error:
        raise Unparsable(f"XML that cannot be read: {error}") from None
    for one in whole.iter():
        one.tag = one.tag.rpartition("}")[2]
    if not len(whole):
        raise Unparsable("XML without an element")
    return list(whole)


def _allowed(reference: re.Match[str]) -> str:
    number = int(reference[1], 16) if reference[1] else int(reference[2])
    return reference[0] if number <= _MOST and fit(chr(number)) == chr(number) else "\ufffd"


def _case(one: ElementTree.Element) -> Case:
    name = ".".join(filter(None, (one.get("classname"), one.get("name")))) or "without a name"
    said = [(child.get("message") or (child.text or "").strip() or child.get("type") or child.tag, child.tag) for child in one]
    verdicts = [(_VERDICTS[tag], reason) for reason, tag in said if tag in _VERDICTS]
    for key in ("status", "result"):
        word = (one.get(key) or "").lower()
        verdicts.append(
            (_WORDS.get(word, "fail"), f"{key} {word}" if word in _WORDS else f"its {key} is {word!r}, which is not known")
        )
    order: tuple[Status, ...] = ("fail", "skip", "pass")
    status, reason = min(verdicts, key=lambda verdict: order.index(verdict[0]))
    flaky = [reason for reason, tag in said if tag in _FLAKY]
    if status == "pass":
        return Case(name, "pass", short(f"failed before: {flaky[0]}") if flaky else "", seconds(one.get("time")), flaky=bool(flaky))
    return Case(name, status, short(reason), seconds(one.get("time")))


def _announced(suite: ElementTree.Element) -> list[Case]:
    """What a suite, or all of them, says in numbers, and its cases do not."""
    inside, name, bad = list(suite.iter("testcase")), suite.get("name") or suite.tag, []
    said = {key: int(value) for key in ("tests", "failures", "errors") if (value := suite.get(key) or "").isdigit()}
    if said.get("tests", 0) > len(inside):
        bad.append(Case(f"{name}: tests", "fail", f"it says {said['tests']} tests and has {len(inside)}"))
    shown = any(case.status == "fail" or case.flaky for case in map(_case, inside))
    own = [child for one in suite.iter("testsuite") for child in one if child.tag in ("failure", "error")]
    if said.get("failures", 0) + said.get("errors", 0) and not (shown or own):
        bad.append(Case(f"{name}: failures", "fail", "it says that tests failed and shows none"))
    mine = [child for child in suite if child.tag in ("failure", "error")]
    return bad + [Case(name, "fail", short(child.get("message") or child.text or "")) for child in mine]
