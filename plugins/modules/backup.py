#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/backup.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backup
short_description: Take a system's backup off its node
version_added: 0.1.0
description:
  - Runs the system's module, which makes a file on the node and returns V(path) and V(sha256), copies the file to the controller,
    and holds the copy against the checksum.
  - A module that relies on a backup of another tool makes no file and returns V(evidence) instead, which is kept in the journal.
options:
  module:
    description: The module, by its fully qualified name.
    type: str
    required: true
  args:
    description: Its arguments.
    type: dict
    default: {}
  folder:
    description: Folder on the controller for the copy.
    type: path
    required: true
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.controller
"""

EXAMPLES = r"""
- name: Take a system's backup off its node
  nodewise.cluster.backup:
    module: nodewise.cluster.etcd_backup
    args:
      path: /opt/nodewise/etcd/backups/now.db
    folder: '{{ nodewise_run.dir }}/backup'
"""

RETURN = r"""#"""
