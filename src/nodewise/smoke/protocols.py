# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which protocol a script speaks: TAP, JUnit XML, JSON lines, or nothing but its exit code.

Output is read on the controller, with the standard library: docs/adr/0040 says why. What cannot be read is `Unparsable`, a failure
of the script and never a pass; a case that was announced and is not there is a failed one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from nodewise.smoke import jsonl, junit, tap
from nodewise.smoke.cases import Case

Protocol = Literal["auto", "exit", "tap", "junit", "jsonl"]
READERS: dict[Protocol, Callable[[str], list[Case]]] = {"tap": tap.read, "junit": junit.read, "jsonl": jsonl.read}


def detect(said: str) -> Protocol:
    """Which protocol this is, from how it begins (a TAP plan may come last); `exit` when it is none."""
    text = said.lstrip("\ufeff \t\r\n")
    if text.startswith(("<?xml", "<testsuite")):
        return "junit"
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if lines and (tap.VERSION.match(lines[0]) or tap.PLAN.match(lines[0])):
        return "tap"
    if lines and tap.PLAN.match(lines[-1]) and any(map(tap.POINT.match, lines)):
        return "tap"
    return "jsonl" if lines and jsonl.is_case(lines[0]) else "exit"


def cases(said: str, protocol: Protocol = "auto") -> list[Case] | None:
    """The cases in what a script said; None when its exit code is all there is. Raises Unparsable."""
    found = detect(said) if protocol == "auto" else protocol
    return READERS[found](said) if found in READERS else None
