# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module release_stage; what the controller has, such as wheels, is shipped to the node first, which needs no index."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    ON_CONTROLLER,
    Artifact,
    EngineAction,
    NodewiseError,
    msgspec,
    pypi,
)

MODULE = "nodewise.cluster.release_stage"


class ActionModule(EngineAction):
    """Run the module, with the files that it cannot fetch for itself."""

    _requires_connection = True

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        shipped = [one for one in args["artifacts"] if one["kind"] == "wheel" or one["url"].startswith(ON_CONTROLLER)]
        if not shipped or self._task.check_mode:
            return self.stage(args, task_vars)
        there = self.stage({**args, "fetch": False}, task_vars)
        if not there.get("lacks"):  # all is there, or why it cannot be is said
            return there
        folder = self._make_tmp_path()
        try:
            places = {artifact["sha256"]: self.ship(artifact, folder) for artifact in shipped}
            artifacts = [{**one, "url": places.get(one["sha256"], one["url"])} for one in args["artifacts"]]
            return self.stage({**args, "artifacts": artifacts}, task_vars)
        finally:
            self._remove_tmp_path(folder, force=True)

    def stage(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """What the module says."""
        answer: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=args, task_vars=task_vars)
        return answer

    def ship(self, artifact: dict[str, Any], folder: str) -> str:
        """The URL of a file on the node. One of the user's own, with a URL on the network, is the node's to fetch."""
        if artifact["url"].startswith(ON_CONTROLLER):
            file = Path(artifact["url"].removeprefix(ON_CONTROLLER))
            if not file.is_file():
                raise NodewiseError(f"{file} is not on the controller; expected an artifact there. Nothing was staged")
        else:
            file = pypi.cached(msgspec.convert(artifact, Artifact))
        if file:
            place = self._connection._shell.join_path(folder, file.name)  # noqa: SLF001 - as ansible's own actions do
            self._transfer_file(str(file), place)
            return f"file://{quote(place)}"
        if artifact["url"].startswith("wheel:"):
            raise NodewiseError(f"{artifact['package']} is no longer in {pypi.folder()}: run the playbook again, which fetches it")
        return str(artifact["url"])
