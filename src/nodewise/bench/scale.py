# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows about many hosts: what the controller itself takes for a batch, and how much memory, of an upgrade of the toy system.

All hosts are this machine, reached by Ansible's local connection, so that what their modules take is not the controller's: each of
them runs under a shell that notes it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from nodewise.bench.command import program
from nodewise.bench.figures import Row
from nodewise.errors import SetupError
from nodewise.record.run import Run
from nodewise.testnet import tools
from nodewise.testnet.home import checkout

GROUP = 5  # members of a quorum group; batches take one of each
TARGET = "1.1.0"
# The interpreter of modules: its shell says at the end what it and the module took.
PYTHON = '#!/bin/sh\n{python} "$@"\ncode=$?\ntimes >>{times}\nexit $code\n'


class Scale:
    """An upgrade of the toy system `acme.demo.notes`, which only writes files, on so many hosts in groups of five."""

    def __init__(self, count: int, folder: Path) -> None:
        hosts = f"{count} hosts in {count // GROUP} groups"
        self.row = Row(f"scale-{count}", f"{hosts}: the controller's own processor time a batch", "s", "value", 5)
        self.memory = Row(f"scale-memory-{count}", f"{hosts}: the most memory of one of its processes", "MB", "value", 1024)
        self.rows = [self.row, self.memory]
        self._count, self._folder = count, folder

    def prepare(self) -> None:
        """A folder for the members, in memory where that is possible."""
        self._members = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))  # noqa: S108

    def round(self, number: int) -> None:
        """One upgrade; one that did not end `upgraded` has no figure."""
        self._write()
        record = self._folder / f"{self.row.name}-{number}"
        words = [program("ansible-playbook"), "playbooks/upgrade.yml", "-i", str(self._members / "hosts.json")]
        words += ["-e", f"nodewise_to={TARGET}", "-e", "nodewise_approve=any"]
        usage = self._used(words, record)
        run = Run(record)
        if (outcome := (run.outcome() or ("none",))[0]) != "upgraded":
            raise SetupError(f"the upgrade of {self._count} hosts ended {outcome}, so it has no figure. Its record: {record}")
        batches = sum("batch" in one for one in run.records("note"))
        modules = sum(map(seconds, (self._members / "times").read_text().split()))
        self.row.nodewise.append((usage.ru_utime + usage.ru_stime - modules) / batches)
        self.memory.nodewise.append(usage.ru_maxrss / 1024)

    def clean(self) -> None:
        """Remove the members."""
        shutil.rmtree(getattr(self, "_members", ""), ignore_errors=True)

    def _write(self) -> None:
        """Members on the old version, the second of each group leads; and their inventory."""
        hosts = {}
        for number in range(self._count):
            role = "leader" if number % GROUP == 1 else "follower"
            about = {"version": "1.0.0", "role": role, "data": "same", "serving": True, "starts": 0, "started_at": "1"}
            shutil.rmtree(self._members / f"n{number:03}", ignore_errors=True)
            (self._members / f"n{number:03}.json").write_text(json.dumps(about))
            hosts[f"n{number:03}"] = {"nodewise_quorum_group": f"g{number // GROUP:02}"}
        times, python = self._members / "times", self._members / "python"
        times.write_text("")
        python.write_text(PYTHON.format(python=sys.executable, times=times))
        python.chmod(0o755)
        shared = {"nodewise_system": "acme.demo.notes", "notes_folder": str(self._members), "ansible_connection": "local"}
        inventory = {"notes": {"hosts": hosts, "vars": {**shared, "ansible_python_interpreter": str(python)}}}
        (self._members / "hosts.json").write_text(json.dumps(inventory))

    def _used(self, words: list[str], record: Path) -> Any:
        """What the command and all that it waited for used (struct_rusage)."""
        root, log = checkout(), record.with_suffix(".log")
        settings = {
            "ANSIBLE_CONFIG": str(root / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": f"{root}:{root / 'tests/collections'}",
            "NODEWISE_RUN_DIR": str(record),
            "NODEWISE_VIEW": "off",
        }
        with log.open("w") as output:
            running = subprocess.Popen(
                words, cwd=root, env={**os.environ, **settings}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            _pid, status, usage = os.wait4(running.pid, 0)
            running.returncode = os.waitstatus_to_exitcode(status)
        if running.returncode:
            raise SetupError(
                f"the upgrade of {self._count} hosts ended with {running.returncode}: {tools.last_line(log.read_text())}\n{log}"
            )
        return usage


def seconds(said: str) -> float:
    """A time as the shell says it: 1m2.34s."""
    minutes, _m, rest = said.rstrip("s").partition("m")
    return 60 * int(minutes) + float(rest)
