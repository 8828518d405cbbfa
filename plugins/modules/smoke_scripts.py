#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: smoke_scripts
short_description: Run the scripts of a suite on this host, whatever they do
version_added: 0.1.0
description:
  - The node's half of M(nodewise.cluster.smoke), which packs the suite, and reads what its scripts said.
  - Unpacks the suite into a folder of its own and runs the scripts in their order, each with nothing to read.
  - A script that takes longer than it may gets SIGTERM, and SIGKILL two seconds later, with everything that it began.
    What a script leaves running in the background is ended, too.
  - When nobody waits for the answer any more (Ctrl-C, a connection that died), all of it is ended, and the folder removed.
  - Output is kept up to O(cap), head and tail. Secrets are masked in output and files before they leave the node.
options:
  archive:
    description: The suite, as a tar archive in base64.
    type: str
    default: ''
  archive_file:
    description: The suite, as a tar archive on the node; one that is too large to be sent with the task.
    type: path
  scripts:
    description: The scripts to run.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Its name in the archive.
        type: str
        required: true
      timeout:
        description: Seconds that it may take.
        type: float
        default: 60.0
  environment:
    description: Variables that the scripts see, besides those that O(inherit) is about.
    type: dict
    default: {}
  inherit:
    description:
      - Whether scripts get all of the machine's own environment, as those on the controller do. On a node they get a path, a
        language that all nodes have, the home of the user, proxies, and what is given here.
    type: bool
    default: false
  secrets:
    description: More of them, whose values are masked wherever they turn up.
    type: dict
    default: {}
  keep:
    description: Patterns of files to return, relative to the suite's folder or absolute.
    type: list
    elements: str
    default: []
  workers:
    description: How many scripts may run at once.
    type: int
    default: 1
  cap:
    description: Bytes of each script's output, and of its errors, that are kept.
    type: int
    default: 262144
  scratch:
    description: Where to make the folder; if not given, in the first of /var/tmp, /tmp, /dev/shm, /opt that lets programs run.
    type: path
    default: ''
author:
  - Nodewise maintainers (@nodewise)
attributes:
  check_mode:
    description: Nothing is run.
    support: none
  diff_mode:
    description: Shows no diff.
    support: none
"""

EXAMPLES = r"""
- name: Run two scripts
  nodewise.cluster.smoke_scripts:
    archive_file: /tmp/suite.tar
    scripts:
      - {name: 10-read, timeout: 5}
      - {name: 20-write, timeout: 5}
"""

RETURN = r"""
results:
  description: How each script ended, in the order that was given.
  returned: success
  type: list
  elements: dict
  contains:
    script: {description: Its name., type: str}
    code: {description: Exit code; null when it has none., type: int}
    signal: {description: The signal that ended it; null when none did., type: int}
    timeout: {description: Whether it took longer than it may., type: bool}
    error: {description: Why it did not run to its end; empty when it did., type: str}
    left: {description: Names of the processes that it left running., type: list, elements: str}
    alive: {description: Names of those that could not be ended., type: list, elements: str}
    units:
      description: Names of transient units of systemd that began meanwhile and are still there. They are not ended.
      type: list
      elements: str
    seconds: {description: How long it took., type: float}
    stdout: {description: Its output., type: str}
    stdout_cut: {description: Bytes of it that are left out., type: int}
    stderr: {description: Its errors., type: str}
    stderr_cut: {description: Bytes of them that are left out., type: int}
    told: {description: 'What it wrote to $NODEWISE_RESULTS; null when nothing.', type: str}
    told_cut: {description: Bytes of that that are left out., type: int}
files:
  description: The files to keep.
  returned: success
  type: list
  elements: dict
  contains:
    script: {description: 'Whose it is, one that it put into $NODEWISE_ARTIFACTS; null for one of the suite.', type: str}
    name: {description: Its path., type: str}
    content: {description: Its content in base64; null when there was no room for it., type: str}
    size: {description: Its size in bytes., type: int}
    cut: {description: Bytes of it that are left out., type: int}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.smoke.suite import SmokeError, run_suite

SCRIPT = {"name": {"type": "str", "required": True}, "timeout": {"type": "float", "default": 60.0}}
SPEC = {
    "archive": {"type": "str", "default": "", "no_log": True},
    "archive_file": {"type": "path"},
    "scripts": {"type": "list", "elements": "dict", "required": True, "options": SCRIPT},
    "environment": {"type": "dict", "default": {}},
    "inherit": {"type": "bool", "default": False},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "keep": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "workers": {"type": "int", "default": 1},
    "cap": {"type": "int", "default": 262144},
    "scratch": {"type": "path", "default": ""},
}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, required_one_of=[("archive", "archive_file")])
    # no_log keeps them out of the node's log. What is returned was masked already; a second time would cost seconds a megabyte.
    module.no_log_values = set()
    given = dict(module.params)
    for kind in ("environment", "secrets"):
        given[kind] = {str(name): str(value) for name, value in given[kind].items()}
    try:
        module.exit_json(changed=False, **run_suite(given))
    except SmokeError as problem:
        module.fail_json(msg=str(problem))


if __name__ == "__main__":
    main()
