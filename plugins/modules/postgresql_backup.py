#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_backup
short_description: Back up a PostgreSQL cluster, or see that another tool did
version_added: "0.1.0"
description:
  - Makes a base backup of the node's own PostgreSQL, which must be the primary, with the WAL that it needs, holds it against its
    manifest with C(pg_verifybackup) and packs it into one file of the node.
  - With O(restore) the file is unpacked, started on the node as an instance that is reached through its own socket alone and
    reaches nobody, and asked for its system identifier, how far it reaches, every table that was there meanwhile, and all rows.
  - A backup that fails, or that nobody waits for any more, leaves nothing behind. What a process that was killed left is removed by
    the next. Older backups in the same folder are removed once the new one is good.
  - With O(evidence) nothing is made. The command's output must tell of a backup by another tool that is not older than O(max_age).
author:
  - Nodewise maintainers (@nodewise)
options:
  member:
    description: The node's own member.
    type: str
    required: true
  path:
    description: File to save to, on the node; its name ends in C(.tgz). The folder is made when it is missing.
    type: path
    required: true
  owner:
    description:
      - User on the node that may read the file. Without it the user that privileges were escalated from by C(sudo).
    type: str
  restore:
    description: Whether the backup is restored and read before it counts.
    type: bool
    default: false
  evidence:
    description:
      - A shell command that prints what C(pgbackrest info --output=json) does, or the time at which the newest backup ended, with
        its zone (ISO 8601) or in seconds since the epoch.
    type: str
    default: ''
  max_age:
    description: Seconds that the backup of O(evidence) may be old.
    type: float
    default: 86400.0
  deadline:
    description: Seconds that all of it may take.
    type: float
    default: 3600.0
extends_documentation_fragment:
  - nodewise.cluster.postgresql
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Saves nothing and runs no command in check mode, and says that it would.
    support: full
  diff_mode:
    description: What changes is not text.
    support: none
  platform:
    description: Nodes are Linux hosts.
    platforms: linux
    support: full
"""

EXAMPLES = r"""
- name: Make a base backup, and restore it
  nodewise.cluster.postgresql_backup:
    members:
      - {name: n1, host: 10.0.0.1, rest: "https://10.0.0.1:8008"}
    bin_dir: /usr/lib/postgresql/15/bin
    member: n1
    path: /opt/nodewise/postgresql/backups/before-15.20.tgz
    restore: true

- name: Rely on pgBackRest
  nodewise.cluster.postgresql_backup:
    members:
      - {name: n1, host: 10.0.0.1, rest: "https://10.0.0.1:8008"}
    member: n1
    path: /opt/nodewise/postgresql/backups/none.tgz
    evidence: runuser -u postgres -- pgbackrest --stanza=main info --output=json
    max_age: 90000
"""

RETURN = r"""
path:
  description: The file on the node.
  returned: when saved
  type: str
sha256:
  description: Its SHA-256.
  returned: when saved
  type: str
size:
  description: Its size in bytes.
  returned: when saved
  type: int
system:
  description: The cluster's system identifier.
  returned: when saved
  type: str
version:
  description: The server's version.
  returned: when saved
  type: str
unpacked:
  description: Bytes that its data may have on disk.
  returned: when saved
  type: int
timeline:
  description: The timeline that it ends on.
  returned: when saved
  type: int
revision:
  description: How far it reaches, an LSN as a number.
  returned: when saved
  type: int
unit:
  description: What C(revision) counts.
  returned: when saved
  type: str
restored:
  description: What was found when it was restored, as V(databases), V(tables), V(rows) and V(seconds); null when it was not.
  returned: when saved
  type: dict
seconds:
  description: How long it took on the node.
  returned: when saved
  type: float
evidence:
  description: The newest backup of another tool, with V(tool), V(label), V(at) (when it ended, UTC) and V(age_s).
  returned: with O(evidence)
  type: dict
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import FilesError
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql import evidence
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import PostgresqlError, argument_spec
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.backup import save, system_of
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.evidence import EvidenceError

NICE = 5  # the primary's clients come first


def main() -> None:
    spec = argument_spec()
    spec.update(
        member={"type": "str", "required": True},
        path={"type": "path", "required": True},
        owner={"type": "str"},
        restore={"type": "bool", "default": False},
        evidence={"type": "str", "default": ""},
        max_age={"type": "float", "default": 86400.0},
        deadline={"type": "float", "default": 3600.0},
    )
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    given = module.params
    if module.check_mode:
        module.exit_json(changed=not given["evidence"])
    os.nice(NICE)
    try:
        if given["evidence"]:
            found = evidence.ask(given["evidence"], given["max_age"], system_of(given), time.time(), given["deadline"])
            module.exit_json(changed=False, evidence=found)
        module.exit_json(changed=True, **save(given))
    except EvidenceError as error:
        module.fail_json(msg=f"no backup to rely on (nodewise_backup_evidence): {error}")
    except (PostgresqlError, FilesError) as error:
        module.fail_json(msg=f"no backup: {error}; nothing was kept")
    except OSError as error:
        module.fail_json(msg=f"no backup: {error.filename or 'the backup'}: {error.strerror}; nothing was kept")


if __name__ == "__main__":
    main()
