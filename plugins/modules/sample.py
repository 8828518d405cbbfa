#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: sample
short_description: Watch a unit for a while, by read-only probes
version_added: 0.1.0
description:
  - Asks the system's own probe and the operator's again and again for O(seconds), watches whether the unit goes on, and counts the
    lines that it logged in that time and that match O(patterns). Nothing is changed.
  - Ends at once, and says why in RV(sample.ended), when the unit is no longer active or its main process was replaced.
  - What could not be measured is null, and named in RV(sample.errors). It is never 0.
  - It runs niced and sleeps between the probes, as long as it takes to use 5 % of a core at most.
  - In a play, the answer is also a note in the run's journal, and the fact C(nodewise_baseline) or C(nodewise_soaked).
    What cannot be sampled at all is then a sample in which everything is null; the task itself does not fail for it.
options:
  name:
    description: What the sample is for, V(baseline) before a change and V(soak) after it.
    type: str
    choices:
      - baseline
      - soak
    required: true
  unit:
    description: The systemd unit.
    type: str
    required: true
  seconds:
    description: How long.
    type: float
    required: true
  interval:
    description: Seconds from one round of probes to the next.
    type: float
    default: 0.2
  timeout:
    description: Seconds that one probe may take; one that takes longer has failed.
    type: float
    default: 2.0
  probe:
    description:
      - The system's own probe, a program and its arguments. It must only read; exit code 0 is good.
      - With O(request) it takes over where that is refused (status 400, 401, 403 or 404).
    type: list
    elements: str
  secrets:
    description: Variables that O(probe) is told, and nobody else.
    type: dict
    default: {}
  request:
    description: The same as a question over HTTP, which costs far less than a program; status 200 is good.
    type: dict
    suboptions:
      url:
        description: Scheme, host and port.
        type: str
        required: true
      paths:
        description: Where to ask; the first that is not answered by 404 stays.
        type: list
        elements: str
        required: true
      body:
        description: What to post, as JSON. Without it the question is a GET.
        type: dict
      ca:
        description: Certificate of the authority that signed the server's, on the node.
        type: path
      cert:
        description: The node's own certificate, on the node.
        type: path
      key:
        description: Its private key, on the node.
        type: path
  command:
    description: The operator's own probe, a shell line. It must only read; exit code 0 is good.
    type: str
    default: ''
  patterns:
    description: Regular expressions to look for in the lines that the unit logs in the sampled time.
    type: list
    elements: str
    default: []
author:
  - Nodewise maintainers (@nodewise)
attributes:
  check_mode:
    description: Works in check mode as otherwise, as it changes nothing.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: Watch the member for half a minute
  nodewise.cluster.sample:
    name: soak
    unit: etcd
    seconds: 30
    request:
      url: https://10.0.0.1:2379
      paths: [/v3/kv/range, /v3beta/kv/range]
      body: {key: bm9kZXdpc2U=, keys_only: true, limit: 1}
      ca: /etc/nodewise/etcd/ca.crt
      cert: /etc/nodewise/etcd/node.crt
      key: /etc/nodewise/etcd/node.key
    command: /usr/local/bin/payments-check --read-only
    patterns: ["took too long", "^panic:"]
"""

RETURN = r"""
sample:
  description: What was measured.
  returned: success
  type: dict
  contains:
    seconds: {description: How long was sampled., type: float}
    restarts: {description: How often the main process was replaced., type: int}
    probe:
      description: Of the system's own probe; null without one.
      type: dict
      contains:
        count: {description: How often it was asked., type: int}
        failed: {description: How often in vain., type: int}
        p50_ms: {description: Milliseconds of the good ones; null when there was none., type: float}
        p99_ms: {description: 'The same, its rank rounded down.', type: float}
        max_ms: {description: The longest., type: float}
    command: {description: The same of the operator's own., type: dict}
    patterns: {description: In how many lines each pattern was found., type: dict}
    errors: {description: One line for each thing that could not be measured or failed., type: list, elements: str}
    ended: {description: Why it ended early; empty when it did not., type: str}
"""

import re

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.node.sampling import sample

REQUEST = {
    "url": {"type": "str", "required": True},
    "paths": {"type": "list", "elements": "str", "required": True},
    "body": {"type": "dict"},
    "ca": {"type": "path"},
    "cert": {"type": "path"},
    "key": {"type": "path", "no_log": False},
}
SPEC = {
    "name": {"type": "str", "choices": ["baseline", "soak"], "required": True},
    "unit": {"type": "str", "required": True},
    "seconds": {"type": "float", "required": True},
    "interval": {"type": "float", "default": 0.2},
    "timeout": {"type": "float", "default": 2.0},
    "probe": {"type": "list", "elements": "str"},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "request": {"type": "dict", "options": REQUEST},
    "command": {"type": "str", "default": ""},
    "patterns": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    for pattern in module.params["patterns"]:
        try:
            re.compile(pattern)
        except re.error as error:
            module.fail_json(msg=f"the pattern {pattern!r} cannot be read: {error}; expected a regular expression of Python")
    module.exit_json(changed=False, sample=sample(module.params))


if __name__ == "__main__":
    main()
