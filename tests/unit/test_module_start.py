"""What modules import before they do anything: a node compiles all of it, each time."""

from __future__ import annotations

import subprocess
import sys

MODULES = "ansible_collections.nodewise.cluster.plugins.modules"
UTILS = "ansible_collections.nodewise.cluster.plugins.module_utils"
EACH_BATCH = ("node_info", "etcd_info", "etcd_switch", "postgresql_info", "postgresql_switch", "release_stage")
SLOW = ("ansible.module_utils.urls", f"{UTILS}.release.apt", f"{UTILS}.release.dnf")  # a tenth of a second, on a busy node half


def test_what_is_slow_to_import_is_left_until_it_is_needed() -> None:
    """Fetching and package managers are most of what these modules could import, and few of their tasks need them."""
    lines = [f"import {MODULES}.{name}" for name in EACH_BATCH]
    lines += ["import sys", f"print(*(name for name in {SLOW} if name in sys.modules))"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert "" == done.stdout.strip()
