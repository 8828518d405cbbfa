# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that the etcd modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """How the members are reached."""

    DOCUMENTATION = r"""
options:
  members:
    description:
      - The members that are expected, each with its name and the URL that clients use.
      - With C(https) the URL's host must be named in the member's certificate.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the member, as in the inventory and as the member itself says.
        type: str
        required: true
      url:
        description: Client URL, for example V(https://10.0.0.1:2379).
        type: str
        required: true
  ca:
    description: Certificate of the authority that signed the members' certificates, on the node.
    type: path
  cert:
    description: The node's own certificate, on the node.
    type: path
  key:
    description: Its private key, on the node.
    type: path
  etcdctl:
    description: The C(etcdctl) of a staged release, on the node.
    type: path
  timeout:
    description: Seconds that one question to one member may take.
    type: float
    default: 2.0
"""
