# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The environment of every program that we start on a node: ours, whatever root's login, sudo or /etc/environment would add."""

from __future__ import annotations

import os

# A language of the node's would change what programs say, and PGOPTIONS or ETCDCTL_ENDPOINTS tell a program something that was
# never meant for us. What a program needs besides it is told by whoever starts it.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
PYTHON = "/usr/bin/python3"  # of the node's own system
PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")


def environment(**own: str) -> dict[str, str]:
    """Return that environment with the variables that one program is told."""
    return {**ENVIRONMENT, **own}


def proxies() -> dict[str, str]:
    """Return the node's proxies: for programs that fetch from elsewhere, as package managers do. No member is behind one."""
    return {name: value for name, value in os.environ.items() if name.lower() in PROXIES}


def home() -> dict[str, str]:
    """Return our user's home, which commands of the operator's own may count on."""
    return {"HOME": os.path.expanduser("~")}
