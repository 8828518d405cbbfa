# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of the modules that have a unit run from a staged release."""

from __future__ import annotations


class ModuleDocFragment:
    """Which unit, and from which release."""

    DOCUMENTATION = r"""
options:
  unit:
    description: The systemd unit.
    type: str
    required: true
  root:
    description: Folder of the system on the node, such as C(/opt/nodewise/etcd).
    type: path
    required: true
  link:
    description: Link to the release in use. C(<root>/current) when not given.
    type: path
  version:
    description: Version to run; it must be staged.
    type: str
    required: true
  timeout_s:
    description: Seconds that stopping may take, and starting as well.
    type: float
    default: 60
  start:
    description: Whether to start a unit that does not run. False is for the first of several releases that one unit needs.
    type: bool
    default: true
  enabled:
    description: Whether to have the unit started at boot, too. False leaves that as it is.
    type: bool
    default: false
  kill:
    description: Whether to kill what does not stop in time. True is for taking back a release that does not work.
    type: bool
    default: false
  since:
    description:
      - Restart the unit, and leave release and link alone, unless its process began after this moment, in seconds since the epoch
        by the node's clock; V(0) starts one that does not run. Without it the version says what has to be done.
    type: float
  lease_root:
    description: Folder of the system whose lease fences the change, when that is not O(root), such as for one of its components.
    type: path
"""
