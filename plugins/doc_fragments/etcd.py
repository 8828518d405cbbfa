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
        description:
          - Client URL, for example V(https://10.0.0.1:2379). Of several, with commas between, the first that connects is used.
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
  user:
    description:
      - A user of etcd's own with the role C(root), for a cluster whose authentication is on. Without it etcd goes by the name
        in O(cert).
    type: str
  password:
    description: Its password.
    type: str
  etcdctl:
    description:
      - The C(etcdctl) of a staged release, on the node. It is asked where the members have no gRPC gateway, or go by the
        certificate's name.
    type: path
  timeout:
    description: Seconds that one question to one member may take.
    type: float
    default: 2.0
"""
