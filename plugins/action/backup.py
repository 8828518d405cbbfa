# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A system's backup, off its node: made there by the system's own module, copied here, and held against its checksum."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import EngineAction, NodewiseError, Run


class ActionModule(EngineAction):
    """Run `module`, which returns path and sha256 of a file on the node; keep the verified copy in `folder` on the controller."""

    _requires_connection = True

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = self._execute_module(module_name=args["module"], module_args=args["args"], task_vars=task_vars)
        if made.get("failed") or self._task.check_mode:
            return made
        if made.get("evidence"):
            return self.accepted(made, task_vars)
        copy = Path(args["folder"]) / f"{self.host(task_vars)}{Path(made['path']).suffix}"
        self.fetch(made["path"], copy, made["sha256"])
        run = Run.of(task_vars["nodewise_run"]) if "nodewise_run" in task_vars else None
        if run:
            said = f"backup of {self.host(task_vars)} in {copy.parent.name}/{copy.name}, {made['size']} bytes"
            run.note(f"{said}, sha256 {made['sha256'][:12]}…", backup={**self.told(made), "copy": str(copy)})
        return {**made, "copy": str(copy)}

    def accepted(self, made: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Keep which backup of another tool is relied on: nothing is copied."""
        run, seen = Run.of(task_vars["nodewise_run"]) if "nodewise_run" in task_vars else None, made["evidence"]
        if run:
            which = " ".join(filter(None, (seen["tool"], seen["label"])))
            run.note(f"the backup is that of {which}, which ended at {seen['at']}", backup={"evidence": seen})
        return made

    def fetch(self, path: str, copy: Path, expected: str) -> None:
        """Copy through the connection; a copy that is not the file is removed."""
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = copy.with_name(f"{copy.name}.new")
        part.touch(mode=0o600)
        try:
            self._connection.fetch_file(path, str(part))
            found = digest(part)
            if found != expected:
                raise NodewiseError(f"the copy of {path} has sha256 {found}, expected {expected}; it was removed: run it again")
            part.replace(copy)
        except AnsibleError as error:
            raise NodewiseError(f"{path} could not be copied off the node: {str(error).splitlines()[0]}") from None
        finally:
            part.unlink(missing_ok=True)

    def told(self, made: dict[str, Any]) -> dict[str, Any]:
        """What the module said, without Ansible's own keys."""
        return {
            key: value for key, value in made.items() if not key.startswith("_") and key not in ("invocation", "changed", "failed")
        }


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
