#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_info
short_description: Observe a whole PostgreSQL cluster from one node
version_added: "0.1.0"
description:
  - Asks all expected members at once, by SQL over TLS and through Patroni's REST API, and returns one observation of the cluster.
  - Each member is seen from both sides. Where they contradict each other, and where members disagree, what they say is unknown.
  - Asks the primary how far it has written, waits until the replicas have replayed that, and then compares what they hold, the
    system identifier, the timelines, the catalogs of all databases that may be connected to, and the rows of C(nodewise.sentinel).
  - With O(settled) it polls on the node until everything named there is so, or O(deadline) has passed; what is then still missing
    is returned, and is no failure of the module.
  - Never changes anything.
author:
  - Nodewise maintainers (@nodewise)
options:
  settled:
    description:
      - What to wait for. V(members) (names), V(serving), V(leader), V(fingerprint) (true), V(versions) (name to version),
        V(max_lag) (bytes), V(cluster_version) (the major version).
    type: dict
    default: {}
  deadline:
    description: Seconds after which waiting ends. Without O(settled) the cluster is observed once.
    type: float
    default: 30.0
extends_documentation_fragment:
  - nodewise.cluster.postgresql
  - nodewise.cluster.postgresql_observed
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Works in check mode as otherwise, as it changes nothing.
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
- name: Observe the cluster
  nodewise.cluster.postgresql_info:
    members:
      - {name: n1, host: 10.0.0.1, rest: "https://10.0.0.1:8008"}
      - {name: n2, host: 10.0.0.2, rest: "https://10.0.0.2:8008"}
      - {name: n3, host: 10.0.0.3, rest: "https://10.0.0.3:8008"}
    ca: /etc/nodewise/postgresql/ca.crt
    cert: /etc/nodewise/postgresql/node.crt
    key: /etc/nodewise/postgresql/node.key
    passfile: /etc/nodewise/postgresql/pgpass
    bin_dir: /usr/lib/postgresql/15/bin
    settled: {serving: true, leader: true, fingerprint: true, max_lag: 0}
"""

RETURN = r"""
observation:
  description:
    - What the cluster says about itself, with C(system), C(at), C(cluster) and C(members). What is unknown is null, with an
      error.
    - C(cluster) has C(id) (the system identifier), C(version) (the major version), C(leader), C(quorum) (2 in synchronous
      mode), C(fingerprint), C(fingerprint_at) (the position in the log that all had replayed) and C(alarms) (none).
    - In its C(details) are C(timeline), C(timelines) (that it came from, oldest first, itself last), C(paused), C(paused_by)
      (the member for which Nodewise paused), C(scheduled) (switchovers and restarts), C(synchronous), C(standbys) (by name, as
      their upstream sees them), C(slots) of the leader (one that a member should have and has not is V(missing)), C(archiver),
      C(prepared) and C(prepared_transactions), C(oldest_transaction_s) and C(long_transactions), C(data_checksums),
      C(checksum_failures), C(store) (who has not seen Patroni's store for longer than its C(ttl_s)), C(standby_cluster) (whether it
      follows another cluster) and C(cascading) (members that follow another than the leader).
    - Each of C(members) has C(name), C(version), C(role), C(serving) (answers SQL, and runs by its Patroni), C(lag) (bytes
      between what the primary had written and what the member has replayed since; null unless it streams), C(fingerprint),
      C(started_at) (of PostgreSQL) and C(errors).
    - In its C(details) are C(postgresql) and C(patroni) (versions), C(state), C(timeline), C(replay_lsn) (of a primary the end
      of its log), C(replay_paused), C(tags), C(unfinished) (whether Nodewise left it in the middle of its batch), C(candidate)
      (whether it may take over), C(pending_restart), C(sessions), C(checksum_failures), C(store_seen_s), C(rest_denied) (why its
      Patroni takes no changes from this node; empty where it does) and C(collations) (those whose version on the host is not the
      one that the catalog remembers, a line each with their indexes).
  returned: always
  type: dict
missing:
  description: One line for each thing in O(settled) that is not so.
  returned: always
  type: list
  elements: str
polls:
  description: How many times the members were asked.
  returned: always
  type: int
seconds:
  description: How long that took on the node.
  returned: always
  type: float
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import argument_spec
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.info import OPTIONS, observe

SPEC = {
    "settled": {"type": "dict", "default": {}},
    "deadline": {"type": "float", "default": 30.0},
}


def main() -> None:
    module = AnsibleModule(argument_spec={**argument_spec(), **OPTIONS, **SPEC}, supports_check_mode=True)
    try:
        module.exit_json(changed=False, **observe(module.params))
    except Failure as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
