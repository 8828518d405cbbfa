# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which protocol a script speaks: TAP, JUnit XML, JSON lines, or nothing but its exit code.

Output is read on the controller, with the standard library: docs/adr/0040 says why. A stream may begin anywhere in it.
What looks like a protocol and cannot be read is `Unparsable`, a failure of the script and never a pass; a case that was announced
and is not there is a failed one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from nodewise.smoke import jsonl, junit, prove, tap
from nodewise.smoke.cases import Case

Protocol = Literal["auto", "exit", "tap", "junit", "jsonl"]


def _tap(text: str) -> list[Case]:
    """TAP itself, or what prove made of it."""
    return prove.read(text) if prove.speaks(text) else tap.read(text)


READERS: dict[Protocol, Callable[[str], list[Case]]] = {"tap": _tap, "junit": junit.read, "jsonl": jsonl.read}
COLOURS = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])"
)  # ECMA-48: what a terminal does not show

MARKS = re.compile(r"^\ufeff", re.MULTILINE)


def detect(said: str) -> Protocol:
    """Which protocol this is, from the lines that only it has; `exit` when there are none.

    JUnit XML is known by the start of a document, TAP by a version, a plan with a test point, a failed point or a call to bail out,
    JSON lines by a case.
    """
    text = plain(said)
    if junit.BEGINS.search(text):
        return "junit"
    if prove.speaks(text) or tap.speaks(text):
        return "tap"
    return "jsonl" if any(line.lstrip().startswith("{") and jsonl.is_case(line) for line in text.split("\n")) else "exit"


def cases(said: str, protocol: Protocol = "auto") -> list[Case] | None:
    """The cases in what a script said; None when its exit code is all there is. Raises Unparsable."""
    found = detect(said) if protocol == "auto" else protocol
    return READERS[found](plain(said)) if found in READERS else None


def plain(said: str) -> str:
    """What was said without colours, byte order marks before lines, and carriage returns at their ends."""
    text = COLOURS.sub("", said) if "\x1b" in said else said
    text = text.replace("\r\n", "\n")
    return MARKS.sub("", text) if "\ufeff" in text else text
