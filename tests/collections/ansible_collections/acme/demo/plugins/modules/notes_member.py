"""Change one member: its file gets other fields, and `switch` restarts it on another version."""

from __future__ import annotations

import json
import pathlib
import time

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Write the member's file; a member that is told to break on a version does not serve after a switch to it."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "version": {"type": "str"},
            "ink": {"type": "str"},
            "page": {"type": "str"},
        },
    )
    path = pathlib.Path(module.params["folder"]) / f"{module.params['name']}.json"
    state = json.loads(path.read_text())
    if module.params["version"]:
        time.sleep(state.get("slow_s", 0))
        setting = path.with_suffix(".conf")
        state["setting"] = setting.read_text() if setting.exists() else ""
        broken = bool({module.params["version"], state["setting"]} & set(state.get("breaks_on", [])))
        state.update(version=module.params["version"], serving=not broken)
        state.update(unfinished=False)
        state.update(started_at=str(time.time_ns()), starts=state["starts"] + 1)
        state["alarm"] = state.get("alarm") or state.get("alarms_on", {}).get(module.params["version"])
        state["apart"] = state.get("apart_on", {}).get(module.params["version"])
        state["data"] = "gone" if module.params["version"] == state.get("forgets_on") else state["data"]
    state.update({part: module.params[part] for part in ("ink", "page") if module.params[part]})
    if module.params["page"]:
        state.update(serving=module.params["page"] not in state.get("tears_on", []))
    path.write_text(json.dumps(state))
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
