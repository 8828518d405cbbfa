# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL's programs end with all that they began."""

from __future__ import annotations

import getpass
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.host.caller import Called
from ansible_collections.nodewise.cluster.plugins.module_utils.host.process import state
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import PostgresqlError
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.programs import Programs


@pytest.mark.parametrize(("ending", "until", "says"), [("exit 3", 60, "no room"), ("exec sleep 60", 0.3, "it took too long")])
def test_nothing_is_left_running(tmp_path: Path, ending: str, until: float, says: str) -> None:
    """A program that fails, or takes too long, leaves behind what it began: that is ended as well."""
    program = tmp_path / "pg_basebackup"
    program.write_text(f"#!/bin/sh\ntrap '' TERM\nsleep 60 &\necho $! >{tmp_path}/child\necho no room >&2\n{ending}\n")
    program.chmod(0o755)
    access = SimpleNamespace(os_user=getpass.getuser(), program=lambda name: str(tmp_path / name))
    with pytest.raises(PostgresqlError, match=says):
        Programs(access, Called(), time.monotonic() + until).run("pg_basebackup")  # type: ignore[arg-type]
    assert state(int((tmp_path / "child").read_text())) in ("", "Z")
