"""The info module of a system of a user's own: each member is a JSON file in one folder."""

from __future__ import annotations

import datetime
import json
import pathlib
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule


def member(folder: pathlib.Path, name: str, version: str) -> dict[str, Any]:
    """One member, as its file says; a missing file is a member that is down."""
    path = folder / f"{name}.json"
    state = json.loads(path.read_text()) if path.exists() else {}
    serving = bool(state.get("serving"))
    return {
        "name": name,
        "version": state.get(version),
        "role": state.get("role"),
        "serving": serving,
        "lag": 0 if serving else None,
        "fingerprint": state.get("data"),
        "started_at": state.get("started_at"),
        "errors": [] if serving else ["it is down"],
        "details": {
            "unfinished": bool(state.get("unfinished")),
            **{name: state.get(name, default) for name, default in (("clients", 0), ("alarm", None), ("apart", None))},
        },
    }


def observe(folder: pathlib.Path, names: list[str], version: str) -> dict[str, Any]:
    """All members, and what they agree on."""
    members = [member(folder, name, version) for name in names]
    data = {one["fingerprint"] for one in members}
    leaders = [one["name"] for one in members if one["role"] == "leader"]
    versions = [one["version"] for one in members if one["version"]]
    shared = folder / "cluster.json"
    cluster = {
        "details": {"width": 1, "narrow": True, **(json.loads(shared.read_text()) if shared.exists() else {})},
        "id": "notes" if not any(one["details"]["apart"] for one in members) else None,
        "version": min(versions) if versions else None,
        "leader": leaders[0] if len(leaders) == 1 else None,
        "quorum": len(names) // 2 + 1,
        "fingerprint": data.pop() if len(data) == 1 else None,
        "fingerprint_at": 1,
        "alarms": [f"{one['details']['alarm']} {one['name']}" for one in members if one["details"]["alarm"]],
    }
    at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"system": "acme.demo.notes", "at": at, "cluster": cluster, "members": members}


def missing(observation: dict[str, Any], settled: dict[str, Any]) -> list[str]:
    """What is still missing of what is waited for."""
    wanted = settled.get("versions", {})
    down = [one["name"] for one in observation["members"] if not one["serving"]]
    off = [one["name"] for one in observation["members"] if one["version"] != wanted.get(one["name"], one["version"])]
    return [f"{name} is down" for name in down] + [f"{name} does not run {wanted[name]}" for name in off]


def hand_over(folder: pathlib.Path, old: str, new: str) -> str:
    """Have another member lead; returns why that was not done."""
    for name, role in ((old, "follower"), (new, "leader")):
        path = folder / f"{name}.json"
        state = json.loads(path.read_text())
        if state.get("stubborn"):
            return f"{name} does not let go"
        path.write_text(json.dumps({**state, "role": role}))
    return ""


def main() -> None:
    """Hand over where that is asked for. Ask until settled or until the deadline."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "members": {"type": "list", "elements": "str", "required": True},
            "version": {"type": "str", "default": "version"},
            "settled": {"type": "dict", "default": {}},
            "deadline": {"type": "float", "default": 1.0},
            "handover": {"type": "list", "elements": "str"},  # from whom to whom, before it looks
        },
        supports_check_mode=True,
    )
    if module.params["handover"] and (why := hand_over(pathlib.Path(module.params["folder"]), *module.params["handover"])):
        module.fail_json(msg=why)
    folder, until = pathlib.Path(module.params["folder"]), time.monotonic() + module.params["deadline"]
    while True:
        observation = observe(folder, module.params["members"], module.params["version"])
        lacking = missing(observation, module.params["settled"]) if module.params["settled"] else []
        if not lacking or time.monotonic() > until:
            module.exit_json(changed=False, observation=observation, missing=lacking)
        time.sleep(0.02)


if __name__ == "__main__":
    main()
