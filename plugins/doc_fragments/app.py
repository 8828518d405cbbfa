# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of the modules that ask the members of a described service."""

from __future__ import annotations


class ModuleDocFragment:
    """Whom to ask, and what."""

    DOCUMENTATION = r"""
options:
  members:
    description: All members, each with C(name) and C(address).
    type: list
    elements: dict
    required: true
  places:
    description: Folders by the names that stand for them in questions, C(bin), C(data) and C(config).
    type: dict
    default: {}
  questions:
    description:
      - What each member is asked, as the filter P(nodewise.cluster.app_described#filter) returns it. C(ready) is whether it serves,
        C(version) what the running process is, C(started) something that is another after a restart, and C(state) what must be
        equal on all members. Where the latter two are not there, restarts are unknown, and there are no fingerprints.
    type: dict
    required: true
  back:
    description: The questions that have their answers while a member is in service. One for which they have not is unfinished.
    type: list
    elements: dict
    default: []
  balancer:
    description: The question C(servers), which has a match for each server that takes requests, and how many to leave (C(least)).
    type: dict
  schema:
    description: The database of the service, and how its schema is changed, as P(nodewise.cluster.app_schema#filter) returns it.
    type: dict
    default: {}
"""
