# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What perl's `prove` says of test files that speak TAP: a case for each file. It ends with counts and a result."""

from __future__ import annotations

import re

from nodewise.smoke.cases import Case

ENDED = re.compile(r"^Files=\d+, Tests=\d+,.*\nResult: (PASS|FAIL|NOTESTS)[ \t]*$", re.MULTILINE)
FILE = re.compile(r"^(\S.*?) \.{2,}(?: (.*))?$", re.MULTILINE)
REPORTED = re.compile(r"^(\S.*?) +\(Wstat: (\d+).*?Tests: \d+ Failed: (\d+)\)\n((?:  .*\n)*)", re.MULTILINE)
FAILED = re.compile(r"^\s*not ok\b(?!.*# *(?:todo|skip))", re.MULTILINE | re.IGNORECASE)


def speaks(text: str) -> bool:
    """Whether prove came to its end in this."""
    return bool(ENDED.search(text))


def read(text: str) -> list[Case]:
    """A case for each file; one more where the result is a failure that no file shows, or a failed point that it does not count."""
    bad = {
        name: " ".join(more.split()) or f"exit status {status}"
        for name, status, failed, more in REPORTED.findall(text)
        if status != "0" or failed != "0" or "Parse errors" in more
    }
    found = []
    for name, said in FILE.findall(text):
        skipped = said.startswith("skipped")
        found.append(
            Case(name, "fail", bad.pop(name)) if name in bad else Case(name, "skip" if skipped else "pass", said * skipped)
        )
    found += [Case(name, "fail", why) for name, why in bad.items()]
    results = [one[1] for one in ENDED.finditer(text)]
    if all(case.status != "fail" for case in found) and ("FAIL" in results or FAILED.search(text)):
        why = "its result is FAIL" if "FAIL" in results else "a test point failed that its result does not count"
        found.append(Case("prove", "fail", why))
    return found or [Case("prove", "skip", "no tests")]
