# Copyright: Nodewise maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which cluster this play is about, and a folder for its record."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.nodewise.cluster.plugins.plugin_utils.clusters import find
from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    EngineAction,
    NodewiseError,
    Run,
    __version__,
    halt,
    new_folder,
    role_path,
)


class ActionModule(EngineAction):
    """Choose the cluster; for a run that changes it, open the run's record."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        problem = None
        try:
            same_version()
            cluster = find(args["cluster"], task_vars, self._loader)
            everybody(cluster, task_vars)
        except NodewiseError as error:
            if not args["record"]:
                raise
            problem, cluster = str(error), {"cluster": args["cluster"] or "unknown", "system": None, "role": None, "members": []}
        facts = {"nodewise_run": dict(cluster), "nodewise_halted": False}
        if not args["record"]:
            return {"ansible_facts": facts}
        folder = Path(os.environ.get("NODEWISE_RUN_DIR") or new_folder(Path.cwd() / "runs", args["kind"], cluster["cluster"]))
        run = Run.create(folder, kind=args["kind"], cluster=cluster["cluster"], system=cluster["system"], to=args["to"])
        facts["nodewise_run"].update(dir=str(folder), id=run.id)
        run.note(f"{args['kind']} of {cluster['cluster']}", members=cluster["members"], to=args["to"])
        if not problem and args["kind"] == "upgrade" and not args["to"]:
            problem = "no target version was given; say which: -e nodewise_to=VERSION"
        ended = halt(run, "refused", problem) if problem else {}
        return {**ended, "ansible_facts": {**facts, **ended.get("ansible_facts", {})}}


def same_version() -> None:
    """Package and collection carry one version."""
    root = role_path("nodewise.cluster.upgrade").parent.parent
    galaxy, manifest = root / "galaxy.yml", root / "MANIFEST.json"  # a checkout has the one, an installed collection the other
    found = yaml.safe_load((galaxy if galaxy.exists() else manifest).read_text())
    version = found["collection_info"]["version"] if "collection_info" in found else found["version"]
    if version != __version__:
        raise NodewiseError(
            f"the collection nodewise.cluster is {version} and the Python package nodewise {__version__}; install the same of both"
        )


def everybody(cluster: dict[str, Any], task_vars: dict[str, Any]) -> None:
    """A limit may leave out other clusters, never members of this one: what is not looked at is not known."""
    left_out = sorted(set(cluster["members"]) - set(task_vars["ansible_play_hosts_all"]))
    if left_out:
        raise NodewiseError(
            f"--limit leaves out {', '.join(left_out)} of {cluster['cluster']}; a cluster is looked at and judged whole.\n"
            "Run it again without --limit: members that are done are not touched"
        )
