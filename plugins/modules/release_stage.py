#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_stage
short_description: Fetch, verify and unpack a release beside the running one
version_added: 0.1.0
description:
  - Fetches the artifacts of a release on the node, holds each against its checksum, unpacks them, and lets the release appear
    as C(<root>/releases/<version>) in one atomic rename. Nothing that runs is touched.
  - A release that is staged from the same artifacts, and whole, is left as it is, and nothing is fetched. One that is damaged
    or was staged from other artifacts is staged again, unless it is in use, which is refused.
  - Whatever goes wrong, nothing is left half-staged. What a killed try left is removed by the next one.
options:
  root:
    description: Folder of the system on the node, such as C(/opt/nodewise/etcd).
    type: path
    required: true
  link:
    description: Link to the release in use. C(<root>/current) when not given.
    type: path
  version:
    description: Version to stage; the name of its folder.
    type: str
    required: true
  artifacts:
    description: Files that the release consists of.
    type: list
    elements: dict
    required: true
    suboptions:
      url:
        description: Where to fetch it from (http, https or file), as the node sees it. May be empty for a V(package).
        type: str
        required: true
      sha256:
        description: Its checksum, in lower-case hexadecimal digits. Empty for a V(package) whose checksum nobody knows any more.
        type: str
        required: true
      kind:
        description:
          - How it is unpacked. V(package) is kept whole, to be installed by the node's package manager when the release is switched
            to; what the node lacks to install it is staged with it.
          - An V(image) is pulled by podman, from C(docker://HOST/NAME@sha256:DIGEST); C(run) is the program that runs it.
        type: str
        choices: [deb, tar, wheel, package, image]
        required: true
      size:
        description: Bytes, when known, so that the space on disk is looked at beforehand.
        type: int
      package:
        description: Name and exact version (V(name=version)). Of a V(package) it says what to ask the node's manager for.
        type: str
  binaries:
    description: Path inside the unpacked artifacts, for each program that gets its place in C(bin/).
    type: dict
    required: true
  deadline:
    description: Seconds that all of it may take; connections that fail are tried again within it.
    type: float
    default: 120
  min_free:
    description: Bytes that have to stay free on the disk.
    type: int
    default: 67108864
  optional:
    description: Whether a release that cannot be had on this node is no failure. What was found instead is in RV(says).
    type: bool
    default: false
  back:
    description:
      - The version that runs, which has to be there for going back to it. It is verified by its checksums; where something else
        installed it, what O(link) leads to is kept aside as C(<root>/releases/<version>). Empty when there is none.
    type: str
    default: ''
  fetch:
    description: Whether what is missing is staged. If not, RV(lacks) says whether it is missing.
    type: bool
    default: true
  one_way:
    description: Whether it is no failure that O(back) could not be put back. What was found instead is in RV(says).
    type: bool
    default: false
  lease_root:
    description: Folder of the system whose lease fences the change, when that is not O(root), such as for one of its components.
    type: path
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.change
attributes:
  check_mode:
    description: Says what it would do.
    support: full
  diff_mode:
    description: The release's files are not text.
    support: none
"""

EXAMPLES = r"""
- name: Stage a release of one's own
  nodewise.cluster.release_stage:
    root: /opt/nodewise/etcd
    version: 3.5.16
    artifacts:
      - url: https://downloads.example.org/etcd-v3.5.16-linux-amd64.tar.gz
        sha256: b414b27a5ad05f7cb01395c447c85d3227e3fb1c176e51757a283b817f645ccc
        kind: tar
    binaries:
      etcd: etcd-v3.5.16-linux-amd64/etcd
      etcdctl: etcd-v3.5.16-linux-amd64/etcdctl
"""

RETURN = r"""
path:
  description: Folder of the release.
  returned: success
  type: str
  sample: /opt/nodewise/etcd/releases/3.5.16
says:
  description: Why it was staged, or would be in check mode; or why it was not. Empty when it was staged already.
  returned: success
  type: str
  sample: is not staged
lacks:
  description: Whether the release would have to be staged, and O(fetch) does not allow that.
  returned: success
  type: bool
staged:
  description: Whether it is there now. False in check mode when it was not, and when it is O(optional) and cannot be had.
  returned: success
  type: bool
kept:
  description: The folder from which the running version was kept aside; empty when it was staged already.
  returned: success
  type: str
packages:
  description: Version of each package in it, those included that the node lacked.
  returned: success
  type: dict
bytes:
  description: Bytes that were fetched.
  returned: success
  type: int
binaries:
  description: Checksum (sha256) of each program, as staged.
  returned: success
  type: dict
seconds:
  description: How long it took, waiting for the lock included.
  returned: success
  type: float
"""

import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import changing
from ansible_collections.nodewise.cluster.plugins.module_utils.release.keeping import keep
from ansible_collections.nodewise.cluster.plugins.module_utils.release.staging import NotToBeHad, stage
from ansible_collections.nodewise.cluster.plugins.module_utils.release.store import Store

ARTIFACT = {
    "url": {"type": "str", "required": True},
    "sha256": {"type": "str", "required": True},
    "kind": {"type": "str", "required": True, "choices": ["deb", "tar", "wheel", "package", "image"]},
    "size": {"type": "int"},
    "package": {"type": "str"},
}
SPEC = {
    "root": {"type": "path", "required": True},
    "link": {"type": "path"},
    "version": {"type": "str", "required": True},
    "artifacts": {"type": "list", "elements": "dict", "required": True, "options": ARTIFACT},
    "binaries": {"type": "dict", "required": True},
    "deadline": {"type": "float", "default": 120.0},
    "min_free": {"type": "int", "default": 67108864},
    "optional": {"type": "bool", "default": False},
    "back": {"type": "str", "default": ""},
    "fetch": {"type": "bool", "default": True},
    "one_way": {"type": "bool", "default": False},
    "lease_root": {"type": "path"},
    "lease": {"type": "dict", "default": {}},
}


NICE = 10  # unpacking takes a core for a second or more, and what serves on this node has precedence


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    given, began = module.params, time.monotonic()
    os.umask(0o022)
    os.nice(NICE)

    def act(dry: bool) -> dict[str, Any]:
        limits = {"deadline": given["deadline"] - (time.monotonic() - began), "min_free": given["min_free"]}
        store, kept = Store(given["root"], given["link"]), {"kept": ""}
        try:
            kept["kept"] = keep(store, given["back"], given["min_free"], dry) if given["back"] else ""
        except NotToBeHad as error:
            if not given["one_way"]:
                raise
            kept["says"] = str(error)
        try:
            result = stage(store, given, limits, dry)
        except NotToBeHad as error:
            if not given["optional"]:
                raise
            none: dict[str, Any] = {"changed": False, "staged": False, "lacks": False, "bytes": 0, "binaries": {}, "packages": {}}
            result = {**none, "path": "", "says": str(error)}
        return {**result, **kept, "changed": result["changed"] or bool(kept["kept"]), "seconds": round(time.monotonic() - began, 3)}

    changing(module, act, f"release_stage of {given['version']}")


if __name__ == "__main__":
    main()
