"""Change what all members share: its file gets other fields, unless it is told to stay as it is, or to break."""

from __future__ import annotations

import json
import pathlib

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Write the file of the cluster."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "width": {"type": "int"},
            "narrow": {"type": "bool"},
        },
    )
    path = pathlib.Path(module.params["folder"]) / "cluster.json"
    state = json.loads(path.read_text()) if path.exists() else {}
    wanted = {name: module.params[name] for name in ("width", "narrow") if module.params[name] is not None}
    if state.get("jams") in wanted:
        module.fail_json(msg=f"{state['jams']} is jammed")
    if state.get("stays") not in wanted:
        state.update(wanted, changes=state.get("changes", 0) + 1)
    path.write_text(json.dumps(state))
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
