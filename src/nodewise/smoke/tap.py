# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""TAP, the Test Anything Protocol, versions 12 to 14: plan, test points, directives, YAML blocks, subtests, bailing out.

And the kernel's KTAP, whose subtests are two spaces in, and what node prints, whose subtests stand in braces after their point. A
line that is none of these is no TAP and is passed over, as the protocol has it. No library at hand reads subtests.
"""

from __future__ import annotations

import re

from nodewise.smoke.cases import Case, Status, Unparsable, short

MANY = 1000  # missing cases that are named one by one
VERSION = re.compile(r"(K?)TAP version (\d+)\s*$")
KNOWN = {"": ("12", "13", "14"), "K": ("1", "2")}  # versions of TAP, and of KTAP
PLAN = re.compile(r"1\.\.(\d+)\s*(?:#\s*(.*))?$")
POINT = re.compile(r"(not )?ok\b(?:\s+(\d+)(?=\s|$))?\s*(?:-\s)?\s*(.*)$")
BAIL = "Bail out!"
_DIRECTIVE = re.compile(r"(?:^|(?<=[^\\]))\s*#\s*(skip|todo|xfail|timeout)\S*\s*(.*)$", re.IGNORECASE)
_REMARK = re.compile(r"(?:^|\s+)#\s+(\S.*)$")  # of the program that printed it, such as # time=5ms
_EXCUSES = ("todo", "xfail")  # of a point that failed
_INDENT = {"": 4, "K": 2}  # columns that a subtest is in


_CERTAIN = re.compile(r"^\s*(?:K?TAP version \d+\s*$|Bail out!|not ok\b)", re.MULTILINE)
_PLANNED = re.compile(r"^1\.\.\d+[ \t]*(?:#.*)?$", re.MULTILINE)
_POINTED = re.compile(r"^\s*ok\b", re.MULTILINE)
_FIRST = re.compile(r"\A(?:\s*\n|#.*\n)*1\.\.\d+[ \t]*(?:#.*)?$", re.MULTILINE)


def speaks(text: str) -> bool:
    """Whether this is TAP: by a version, a point that failed, a call to bail out, a plan that comes first, or one beside points."""
    return bool(_CERTAIN.search(text) or _FIRST.match(text) or (_PLANNED.search(text) and _POINTED.search(text)))


class Tap:
    """One stream of TAP, or a subtest in it; `reported` are the cases so far."""

    def __init__(self, parent: str = "", kind: str = "") -> None:
        self.parent = parent
        self.kind = kind  # K of KTAP
        self.braces: re.Match[str] | None = None  # the point whose subtest follows it, until that ends
        self.reported: list[Case] = []
        self.numbers: list[int] = []
        self.plan: int | None = None
        self.skipped = ""  # why all of it was, when it was
        self.inner: list[str] = []  # lines of the subtest before its own test point
        self.yaml: list[str] | None = None  # lines of a YAML block, until it ends
        self.bailed = False

    def read(self, text: str) -> list[Case]:
        """All cases, and a failed one for each that was announced and is missing."""
        for line in text.splitlines():
            if not self.bailed:
                self._line(line.rstrip())
        if self.plan is None and not self.bailed:
            raise Unparsable("TAP without a plan: a line such as 1..4 is expected, before the tests or after them")
        if self.yaml is not None:
            raise Unparsable("TAP ends in the middle of a YAML block: expected a line with ...")
        if self.braces is not None:
            raise Unparsable("TAP ends in the middle of a subtest in braces: expected a line with }")
        if self.inner and any(map(POINT.match, self.inner)):
            self.reported.append(Case(f"{self.parent}subtest", "fail", "it never ended: expected its own test point after it"))
        if not self.bailed:
            self._account()
        return self.reported

    def _line(self, line: str) -> None:
        indent = _INDENT[self.kind] * " "
        if line.strip().startswith(BAIL):
            self._bail(line.strip())
        elif self.yaml is not None:
            self._in_yaml(line)
        elif line.strip() == "---" and line.startswith("  ") and not line.startswith(indent):
            self.yaml = []
        elif line.startswith(indent):
            self.inner.append(line[len(indent) :])
        elif self.braces is not None and line.startswith("}"):
            point, self.braces = self.braces, None
            self._point(point)
        else:
            self._plain(line)

    def _bail(self, line: str) -> None:
        self.bailed, self.yaml, self.braces = True, None, None
        self.reported.append(Case(f"{self.parent}bail out", "fail", short(line.removeprefix(BAIL)) or "without a reason"))

    def _plain(self, line: str) -> None:
        if version := VERSION.match(line):
            self.kind, number = version[1], version[2]
            if number not in KNOWN[self.kind]:
                raise Unparsable(f"{self.kind}TAP version {number} is not known; expected {' or '.join(KNOWN[self.kind][-2:])}")
        elif plan := PLAN.match(line):
            self._planned(plan)
        elif point := POINT.match(line):
            if line.endswith(" {"):
                self.braces = POINT.match(line.removesuffix(" {"))
            else:
                self._point(point)
        elif line.startswith("#") and not line.startswith("# Subtest") and self.reported and self.reported[-1].status == "fail":
            self._because(line.lstrip("# "))

    def _planned(self, plan: re.Match[str]) -> None:
        if self.plan is not None:
            raise Unparsable("TAP with two plans; expected one")
        self.plan = int(plan[1])
        if not self.plan:
            self.skipped = short(re.sub(r"^skip\S*\s*", "", plan[2] or "", flags=re.IGNORECASE)) or "nothing was planned"

    def _point(self, point: re.Match[str]) -> None:
        number = int(point[2]) if point[2] else len(self.numbers) + 1
        rest, directive, why = point[3], "", ""
        if found := _DIRECTIVE.search(rest):
            rest, directive, why = rest[: found.start()], found[1].lower(), found[2]
        elif found := _REMARK.search(rest):
            rest, why = rest[: found.start()], found[1]
        name = self.parent + (re.sub(r"\\([#\\])", r"\1", rest).strip() or str(number))
        excused = directive == "skip" or (directive in _EXCUSES and bool(point[1]))
        status: Status = "skip" if excused else "fail" if point[1] else "pass"
        children = self._subtest(name, directive if directive != "timeout" else "", why)
        self.numbers.append(number)
        if not children or (status == "fail" and all(child.status != "fail" for child in children)):
            told = ": ".join(filter(None, (directive, why))) if excused or status == "fail" else ""
            self.reported.append(Case(name, status, short(told)))

    def _subtest(self, name: str, directive: str, why: str) -> list[Case]:
        lines, self.inner = self.inner, []
        if not any(POINT.match(line) or PLAN.match(line) for line in lines):
            return []
        children = Tap(f"{name} / ", self.kind).read("\n".join(lines))
        if directive:
            children = [Case(c.name, "skip", short(f"{directive}: {why}")) if c.status == "fail" else c for c in children]
        self.reported += children
        return children

    def _in_yaml(self, line: str) -> None:
        assert self.yaml is not None  # noqa: S101  for the type alone
        if line.strip() != "...":
            self.yaml.append(line.strip())
            return
        if self.reported and self.reported[-1].status == "fail":
            said = [row.partition(":")[2].strip(" '\"") for row in self.yaml if row.startswith("message:")]
            self._because(next(filter(None, said), " ".join(self.yaml)))
        self.yaml = None

    def _because(self, text: str) -> None:
        last = self.reported[-1]
        last.reason = short(f"{last.reason} {text}".strip())

    def _account(self) -> None:
        """Hold what was reported against the plan."""
        planned = self.plan or 0
        for number in sorted(n for n in set(self.numbers) if n > planned or self.numbers.count(n) > 1):
            why = "reported twice" if number <= planned else f"the plan is 1..{planned}"
            self.reported.append(Case(f"{self.parent}{number}", "fail", why))
        absent = planned - len({n for n in self.numbers if 1 <= n <= planned})
        if absent:
            seen = set(self.numbers)
            named = [n for n in range(1, min(planned, MANY + len(seen)) + 1) if n not in seen][:MANY]
            self.reported += [Case(f"{self.parent}{n}", "fail", "it was planned and did not report") for n in named]
            if absent > len(named):
                self.reported.append(
                    Case(f"{self.parent}{absent - len(named)} more", "fail", "they were planned and did not report")
                )
        if self.skipped and not self.numbers:
            self.reported.append(Case(f"{self.parent}all", "skip", self.skipped))


def read(said: str) -> list[Case]:
    """The cases in TAP. Raises Unparsable."""
    return Tap().read(said.lstrip("\ufeff"))
