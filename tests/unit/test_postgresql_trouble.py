"""What PostgreSQL and Patroni log when they are in trouble, and what is everyday: real lines against the role's patterns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

DEFAULTS = yaml.safe_load((Path(__file__).parents[2] / "roles/postgresql/defaults/main.yml").read_text())
STAMP = "2026-11-25 16:44:29.701 UTC [25614] "
TROUBLE = [
    STAMP + 'PANIC:  could not write to file "pg_wal/xlogtemp.7": No space left on device',
    STAMP + "LOG:  server process (PID 71) was terminated by signal 11: Segmentation fault",
    STAMP + 'FATAL:  could not start WAL streaming: ERROR:  replication slot "n2" does not exist',
    STAMP + 'FATAL:  could not connect to the primary server: connection to server at "10.0.0.1" failed',
    STAMP + "FATAL:  sorry, too many clients already",
    STAMP + "WARNING:  page verification failed, calculated checksum 1 but expected 2",
    STAMP + "ERROR:  invalid page in block 0 of relation base/16385/16398",
    STAMP + 'ERROR:  could not extend file "base/5/1": No space left on device',
    STAMP + "ERROR:  requested WAL segment 000000010000000000000003 has already been removed",
    STAMP + "LOG:  archive command failed with exit code 1",
    STAMP + "ERROR:  canceling statement due to conflict with recovery",
    "2026-11-25 16:44:24,936 ERROR: postmaster is not running",
    "2026-11-25 16:44:24,936 WARNING: Loop time exceeded, rescheduling immediately.",
    "2026-11-25 16:44:24,936 INFO: Demoting self (immediate-nolock)",
    "Traceback (most recent call last):",
]
EVERYDAY = [
    STAMP + "LOG:  checkpoint starting: time",
    STAMP + "FATAL:  terminating connection due to administrator command",
    STAMP + 'FATAL:  password authentication failed for user "nobody"',
    STAMP + 'FATAL:  no pg_hba.conf entry for host "10.0.0.9", user "nobody", database "x", no encryption',
    STAMP + "FATAL:  the database system is starting up",
    STAMP + 'ERROR:  duplicate key value violates unique constraint "rows_pkey"',
    STAMP + "LOG:  could not receive data from client: Connection reset by peer",
    "2026-11-25 16:44:25,353 INFO: no action. I am (n1), the leader with the lock",
    "2026-11-25 16:44:24,936 WARNING: Could not activate Linux watchdog device: Can't open watchdog device: [Errno 2]",
]


def patterns(line: str) -> list[str]:
    """The patterns that a line matches."""
    return [pattern for pattern in DEFAULTS["postgresql_trouble"] if re.search(pattern, line)]


@pytest.mark.parametrize("line", TROUBLE)
def test_trouble_is_counted(line: str) -> None:
    """A line that tells trouble is counted."""
    assert patterns(line)


@pytest.mark.parametrize("line", EVERYDAY)
def test_what_is_everyday_is_not(line: str) -> None:
    """What clients do, and what a healthy member logs, is no trouble."""
    assert [] == patterns(line)


def test_every_pattern_is_for_something() -> None:
    """A pattern that no line here matches does not exist."""
    assert set(DEFAULTS["postgresql_trouble"]) == {pattern for line in TROUBLE for pattern in patterns(line)}
