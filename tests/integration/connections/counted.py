"""The connection `local`, with a line in COUNTED_FILE for each command that it runs: time (ns) and host."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = """
name: counted
short_description: A local connection that counts
description: With pipelining each command is a task that runs on a node.
author: Nodewise maintainers (@nodewise)
options:
  become_success_timeout:
    description: As of the connection local.
    type: int
    default: 10
  become_strip_preamble:
    description: As of the connection local.
    type: bool
    default: true
extends_documentation_fragment: [connection_pipelining]
"""


class Connection(Local):  # type: ignore[misc]  # ansible-core ships no types
    """Each command is counted before it runs."""

    def exec_command(self, *args: Any, **more: Any) -> tuple[int, bytes, bytes]:
        """Run it, on this machine."""
        with Path(os.environ["COUNTED_FILE"]).open("a") as file:
            file.write(f"{time.time_ns()} {self._play_context.remote_addr}\n")
        answer: tuple[int, bytes, bytes] = super().exec_command(*args, **more)
        return answer
