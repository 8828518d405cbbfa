# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that all modules share that change a node."""

from __future__ import annotations


class ModuleDocFragment:
    """Whose change it is."""

    DOCUMENTATION = r"""
options:
  root:
    description: Folder of the system on the node, which keeps who holds the cluster. Without it, nobody is asked.
    type: path
  lease:
    description:
      - Whose change this is (run, fence, ttl, step), as in the fact C(nodewise_lease). Refused unless that run holds the node.
      - Without one, the change is refused while somebody holds the node. See M(nodewise.cluster.lease).
    type: dict
    default: {}
"""
