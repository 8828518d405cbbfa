# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that the PostgreSQL modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """How the members are reached."""

    DOCUMENTATION = r"""
options:
  members:
    description:
      - The members that are expected. A member's name is the one that Patroni knows it by.
      - Host and name of the URL must be named in the member's certificate.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the member, as in the inventory and as Patroni says.
        type: str
        required: true
      host:
        description: Address of its PostgreSQL.
        type: str
        required: true
      port:
        description: Port of its PostgreSQL.
        type: int
        default: 5432
      rest:
        description: URL of its Patroni's REST API, for example V(https://10.0.0.1:8008).
        type: str
        required: true
  ca:
    description:
      - Certificate of the authority that signed the members' certificates, on the node.
      - Without it members are not verified, and connections are encrypted only where the members offer it.
    type: path
  cert:
    description: The node's own certificate, on the node. It is shown to Patroni's REST API.
    type: path
  key:
    description: Its private key, on the node.
    type: path
  passfile:
    description: A password file of libpq on the node, readable by its owner alone. No password is given in any other way.
    type: path
  user:
    description: The role that asks. It needs what C(pg_monitor) gives, and C(pg_read_all_data) for digests of data.
    type: str
    default: nodewise
  database:
    description: The database that is asked where it does not matter which.
    type: str
    default: nodewise
  bin_dir:
    description: Where C(psql) is on the node. Without it it is looked for in E(PATH).
    type: path
  rest_auth:
    description:
      - YAML file on the node with V(username) and V(password) of Patroni's REST API, which changes things only with these.
      - Patroni's own configuration file has them, too, in C(restapi). Empty where the REST API asks for no password.
    type: path
  patroni:
    description: Folder of Patroni's modules on the node. What is written as YAML is read with the parser that Patroni has.
    type: path
  patroni_python:
    description: The Python on the node that Patroni runs with. C(/usr/bin/python3) when not given.
    type: path
  socket_dir:
    description: Where PostgreSQL's socket is on the node. Without it it is where this C(psql) looks for it.
    type: path
  os_user:
    description: The user that PostgreSQL runs as, and its superuser.
    type: str
    default: postgres
  timeout:
    description: Seconds that one question to one member may take.
    type: float
    default: 3.0
"""
