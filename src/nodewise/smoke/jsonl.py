# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON lines: one case a line, `{"name": ..., "status": "pass|fail|skip", "reason": ..., "seconds": ...}`."""

from __future__ import annotations

import json

from nodewise.smoke.cases import Case, Status, Unparsable, seconds, short

_WORDS: dict[str, Status] = {
    **dict.fromkeys(("pass", "passed", "ok"), "pass"),
    **dict.fromkeys(("fail", "failed", "error"), "fail"),
    **dict.fromkeys(("skip", "skipped"), "skip"),
}


def is_case(line: str) -> bool:
    """Whether a line is a case."""
    try:
        _case(line)
    except Unparsable:
        return False
    return True


def read(said: str) -> list[Case]:
    """The cases in JSON lines, from the first on: what a script says before it begins is passed over. Raises Unparsable."""
    found, began = [], ""
    for number, line in enumerate(said.split("\n"), 1):  # a text in JSON may have other ends of lines in it
        if line.strip():
            try:
                found.append(_case(line))
            except Unparsable as problem:
                began = began or f"JSON lines: line {number} {problem}"
                if found or line.lstrip().startswith("{"):
                    raise Unparsable(f"JSON lines: line {number} {problem}") from None
    if not found:
        raise Unparsable(began or "JSON lines without a line")
    return found


def _case(line: str) -> Case:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise Unparsable("is not JSON") from None
    name, status = (value.get("name"), value.get("status")) if isinstance(value, dict) else (None, None)
    if not isinstance(name, str) or not isinstance(status, str) or status.lower() not in _WORDS:
        raise Unparsable('is not a case: expected {"name": ..., "status": "pass", "fail" or "skip"}')
    reason, took = value.get("reason") or value.get("message") or "", value.get("seconds", value.get("duration_s"))
    return Case(name, _WORDS[status.lower()], short(str(reason)), seconds(took))
