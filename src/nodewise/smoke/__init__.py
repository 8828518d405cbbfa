"""Suites of scripts, run after a deploy and between the nodes of an upgrade: read, planned, judged and told.

`plan` says what is expected, `keep` what a host reported, `conclude` what came of it; `totals` and `merge_junit` put all sessions
of a run into its summary and its junit.xml.
"""

from nodewise.smoke.report import lines, merge_junit
from nodewise.smoke.session import CONTROLLER, Session, Wish, conclude, keep, output, plan, read, sessions, totals, versions
from nodewise.smoke.suite import Script, Suite, find, load, names
from nodewise.smoke.verdict import Ended, Result, again, judge, silent

__all__ = [
    "CONTROLLER",
    "Ended",
    "Result",
    "Script",
    "Session",
    "Suite",
    "Wish",
    "again",
    "conclude",
    "find",
    "judge",
    "keep",
    "lines",
    "load",
    "merge_junit",
    "names",
    "output",
    "plan",
    "read",
    "sessions",
    "silent",
    "totals",
    "versions",
]
