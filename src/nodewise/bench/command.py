# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands by the clock: from the start of the process to its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from nodewise.errors import SetupError
from nodewise.testnet import tools
from nodewise.testnet.home import checkout, home
from nodewise.testnet.state import Testnet

LONGEST = 900  # seconds


def program(name: str) -> str:
    """A program of the environment that this one runs in."""
    return str(Path(sys.executable).with_name(name))


def timed(words: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> float:
    """Seconds that a command took, in the checkout; its output is in `log`. SetupError when it fails: then there is no figure."""
    settings = [f"{name}={value}" for name, value in (env or {}).items()]
    began = time.monotonic()
    done = tools.run(["env", f"--chdir={checkout()}", *settings, *words], timeout=LONGEST, check=False)
    took = time.monotonic() - began
    log.write_text(done.stdout + done.stderr)
    if done.returncode:
        said = tools.last_line(done.stderr or done.stdout)
        raise SetupError(f"`{Path(words[0]).name}` ended with {done.returncode}, so it has no figure: {said}\nAll of it: {log}")
    return took


def ansible(net: Testnet) -> dict[str, str]:
    """The environment for ansible-playbook: this checkout's configuration, this testnet as the whole inventory."""
    config = str(checkout() / "ansible.cfg")
    return {"ANSIBLE_CONFIG": config, "ANSIBLE_NOCOLOR": "1", "NODEWISE_TESTNET": net.name, "NODEWISE_HOME": str(home())}
