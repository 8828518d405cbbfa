# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""junit.xml of a run, for a CI system: suites of cases, put there by whoever judged them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple
from xml.etree import ElementTree

from nodewise import files
from nodewise.errors import UnknownResult
from nodewise.text import fit


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
    """Put suites into a run's junit.xml, beside those that others put there; one of the same name is replaced.

    A file that is no XML is kept as junit.xml.unreadable. Raises UnknownResult for it, when all is written.
    """
    path, root = folder / "junit.xml", ElementTree.Element("testsuites", name=fit(folder.name))
    named, why = {fit(name): cases for name, cases in suites.items()}, ""
    try:
        found = ElementTree.parse(path).getroot()  # noqa: S314  our own
        root.extend(one for one in found.iter("testsuite") if one.get("name") not in named)
    except FileNotFoundError:
        pass
    except ElementTree.ParseError as error:
        why = f"{path} was no XML ({error}); it is junit.xml.unreadable now, and what others had put into it is missing"
        path.replace(path.with_name("junit.xml.unreadable"))
    root.extend(_suite(name, cases) for name, cases in named.items())
    ElementTree.indent(root)
    files.write(path, ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n")
    if why:
        raise UnknownResult(why)


def _suite(name: str, cases: list[Case]) -> ElementTree.Element:
    counts = {"failures": "fail", "skipped": "skip"}
    told = {key: str(sum(case.status == status for case in cases)) for key, status in counts.items()}
    suite = ElementTree.Element("testsuite", {"name": name, "tests": str(len(cases)), **told})
    suite.extend(map(_case, cases))
    return suite


def _case(case: Case) -> ElementTree.Element:
    element = ElementTree.Element("testcase", classname=fit(case.where), name=fit(case.name))
    if case.seconds is not None:
        element.set("time", f"{case.seconds:.3f}")
    if case.status == "fail":
        ElementTree.SubElement(element, "failure", message=fit(case.says)).text = fit(case.lines)
    elif case.status == "skip":
        ElementTree.SubElement(element, "skipped", message=fit(case.says))
    if case.notes:
        ElementTree.SubElement(element, "system-out").text = fit(case.notes)
    return element
