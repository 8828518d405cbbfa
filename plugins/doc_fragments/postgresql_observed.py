# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of the PostgreSQL modules that observe the cluster."""

from __future__ import annotations


class ModuleDocFragment:
    """What an observation is made of."""

    DOCUMENTATION = r"""
options:
  component:
    description: Whose version the members' version is.
    type: str
    choices:
      - postgresql
      - patroni
    default: postgresql
  long_transaction_s:
    description: Seconds after which a transaction counts as a long one.
    type: float
    default: 300.0
  catch_up:
    description: Seconds that replicas may take to replay what the primary had written when it was asked.
    type: float
    default: 5.0
  tables:
    description:
      - Whether the fingerprint has every row of every table, too. These are equal only while nobody writes, and all data is read.
      - It is for test hosts.
    type: bool
    default: false
"""
