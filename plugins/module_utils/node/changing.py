# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every change of a node goes through, whichever module makes it."""

from __future__ import annotations

import signal
from contextlib import nullcontext
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.node.state import fenced

# Options of every such module. `root` is where the node keeps who holds the cluster; without one nobody is asked.
OPTIONS = {"root": {"type": "path"}, "lease": {"type": "dict", "default": {}}}


def changing(
    module: AnsibleModule,
    act: Callable[[bool], dict[str, Any]],
    what: str,
    after: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> None:
    """Make one change, and end the module with what `act` returns, or with why it failed.

    `act(dry)` makes the change; with `dry`, in check mode, it says what it would be. It runs under the node's lock, once the
    options `lease` and `root` (or `lease_root`) let it, and is kept as a step of the upgrade, which `what` begins with. The lock
    is waited for as long as the change itself: `timeout_s` or `deadline`. `after(params)` observes when the lock is free again.
    The change goes on when the connection that asked for it ends: a node is not left half changed.
    """
    given, dry = module.params, module.check_mode
    root, version = given.get("lease_root") or given["root"], given.get("version")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    patience = given["timeout_s"] if "timeout_s" in given else given["deadline"]
    lock = fenced(root, patience, what, None if dry else given["lease"], version) if root else nullcontext()
    try:
        with lock:
            result = act(dry)
        if after:
            result = {**after(given), **result}
    except Failure as error:
        module.fail_json(msg=str(error), journal=error.journal)
    except OSError as error:
        module.fail_json(msg=f"{error.filename or what}: {error.strerror or error}")
    module.exit_json(**result)
