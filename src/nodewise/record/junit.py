# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""junit.xml of a run, for a CI system: suites of cases, put there by whoever judged them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple
from xml.etree import ElementTree

from nodewise import files

NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 has no place for these


class Case(NamedTuple):
    """One thing that was judged. `says` is why it failed or was skipped, `lines` the evidence, `notes` what it printed besides."""

    where: str
    name: str
    status: Literal["pass", "fail", "skip"]
    says: str = ""
    lines: str = ""
    notes: str = ""
    seconds: float | None = None


def put(folder: Path, suites: Mapping[str, list[Case]]) -> None:
    """Put suites into a run's junit.xml, beside those that others put there; one of the same name is replaced."""
    path, root = folder / "junit.xml", ElementTree.Element("testsuites", name=folder.name)
    if path.exists():
        found = ElementTree.parse(path).getroot()  # noqa: S314  our own
        root.extend(one for one in found.iter("testsuite") if one.get("name") not in suites)
    root.extend(_suite(name, cases) for name, cases in suites.items())
    ElementTree.indent(root)
    files.write(path, ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n")


def _suite(name: str, cases: list[Case]) -> ElementTree.Element:
    counts = {"failures": "fail", "skipped": "skip"}
    told = {key: str(sum(case.status == status for case in cases)) for key, status in counts.items()}
    suite = ElementTree.Element("testsuite", {"name": name, "tests": str(len(cases)), **told})
    suite.extend(map(_case, cases))
    return suite


def _case(case: Case) -> ElementTree.Element:
    element = ElementTree.Element("testcase", classname=_clean(case.where), name=_clean(case.name))
    if case.seconds is not None:
        element.set("time", f"{case.seconds:.3f}")
    if case.status == "fail":
        ElementTree.SubElement(element, "failure", message=_clean(case.says)).text = _clean(case.lines)
    elif case.status == "skip":
        ElementTree.SubElement(element, "skipped", message=_clean(case.says))
    if case.notes:
        ElementTree.SubElement(element, "system-out").text = _clean(case.notes)
    return element


def _clean(text: str) -> str:
    return NOT_XML.sub("\ufffd", text)
