# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A description as the role reads it: places, members and questions of one host, written out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from nodewise.systems.app.description import App, Question, compiled, read, words

PLACES = re.compile(r"\{(bin|data|config)\}")
ANSWER_S, ACT_S = 2.0, 60.0  # seconds for an answer, and for what is done or checked, where the description does not say
# Without a cgroup of podman's own the processes stay in the unit's, where systemd counts them, limits them and ends them.
PODMAN = (
    "--rm",
    "--replace",
    "--cgroups=disabled",
    "--network=host",
    "--read-only",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
)
QUOTED = str.maketrans({'"': '\\"', "\\": "\\\\", "%": "%%", "$": "$$"})  # of an argument in a unit


def resolved(given: object, hosts: Mapping[str, Mapping[str, Any]], host: str) -> dict[str, Any]:
    """What the verbs need of a description, for `host`; `hosts` are the variables of each member. Raises UsageError."""
    app = read(given)
    own = hosts[host]
    root = own.get("nodewise_root") or f"/opt/nodewise/{app.name}"
    link = own.get("nodewise_link") or f"{root}/current"
    config = f"/etc/nodewise/{app.name}"
    places = {"bin": f"{link}/bin", "data": own.get("nodewise_data_dir") or f"/var/lib/nodewise/{app.name}", "config": config}
    unit, user = own.get("nodewise_unit") or app.name, own.get("nodewise_user") or app.user or app.name
    asked = {name: told(getattr(app, name)) for name in ("ready", "version", "started", "state")}
    return {
        "name": app.name,
        "unit": unit,
        "user": user,
        "root": root,
        "link": link,
        "places": places,
        "exec": " ".join(map(_quoted, (filled(word, places) for word in _exec(app, unit, user)))),
        "podman": app.podman is not None,
        "packages": _packages(app, str(own.get("nodewise_to") or own.get("nodewise_version") or "")),
        "unit_text": filled(app.unit, places),
        "environment": [_quoted(f"{name}={filled(value, places)}") for name, value in app.environment.items()],
        "secrets": app.secrets,
        "secrets_file": f"{config}/secrets.env",
        "files": {
            path: {key: value for key, value in msgspec.to_builtins(one).items() if value} for path, one in app.files.items()
        },
        "start_timeout": app.start_timeout,
        "access": {
            "members": [_member(name, of) for name, of in hosts.items()],
            "places": places,
            "questions": asked,
            **_asked(app),
        },
        "member": _member(host, own),
        "probe": _probe(app, _member(host, own)["address"]),
        "check": told(app.check, ACT_S),
        "drain": {"deadline": app.drain.deadline, **_all(app.drain, "act", "until", "undo", "back")} if app.drain else {},
        "bootstrap": {"deadline": app.bootstrap.deadline, **_all(app.bootstrap, "act", "until")} if app.bootstrap else {},
    }


def _exec(app: App, unit: str, user: str) -> list[str]:
    """The words of the unit's command. An image has podman's around it: its processes are the unit's, without privileges."""
    said = words(app.command)
    if app.podman is None:
        return said
    return [said[0], user, f"--name={unit}", *PODMAN, *app.podman, "--", *said[1:]]


def _packages(app: App, version: str) -> list[str]:
    """What the nodes' package managers are asked for: at the version that is wanted, so that their index is no older than that."""
    names = app.any.names(version) if app.any and app.any.packages else []
    return [f"{name}={version}" if version else name for name in names]


def filled(text: str, places: Mapping[str, str]) -> str:
    """A text with the names of places filled in; other braces are the service's own."""
    return PLACES.sub(lambda found: places[found[1]], text)


def secrets(wanted: Mapping[str, str], own: Mapping[str, Any]) -> str:
    """The file with the secrets, as systemd reads it. Raises KeyError with the variables that are not there, or empty."""
    if lacking := [name for name in wanted.values() if own.get(name) in (None, "")]:
        raise KeyError(", ".join(lacking))
    return "".join(f"{name}={_double(str(own[variable]))}\n" for name, variable in wanted.items())


def _double(text: str) -> str:
    return '"' + re.sub(r'(["\\`$])', r"\\\1", text) + '"'


def _quoted(word: str) -> str:
    told = word.translate(QUOTED)
    return f'"{told}"' if re.search(r"[\s;'\"]", told) or not told else told


def _member(name: str, of: Mapping[str, Any]) -> dict[str, str]:
    return {"name": name, "address": str(of.get("nodewise_address") or of.get("ansible_host") or name)}


def _all(part: Any, *names: str) -> dict[str, Any]:
    return {name: [told(one, ACT_S if name in ("act", "undo") else ANSWER_S) for one in getattr(part, name)] for name in names}


def _asked(app: App) -> dict[str, Any]:
    """What holds of a member that is in service, as far as any other node can ask it; and whom the balancer can spare."""
    back = [told(one) for one in app.drain.back if one.http or one.tcp] if app.drain else []
    balancer = {"servers": told(app.balancer.servers), "least": app.balancer.least} if app.balancer else None
    return {"back": back, "balancer": balancer}


def _probe(app: App, address: str) -> dict[str, Any] | None:
    """How the member is watched: as it is asked whether it serves, where that is a plain request."""
    asked = app.ready.http
    if not asked or (asked.method, asked.status) != ("GET", 200) or asked.headers:
        return None
    host = asked.host or address
    files = {name: getattr(asked, name) for name in ("ca", "cert", "key") if getattr(asked, name)}
    return {"url": f"{asked.scheme}://{f'[{host}]' if ':' in host else host}:{asked.port}", "paths": [asked.path], **files}


def told(one: Question | None, seconds: float = ANSWER_S) -> dict[str, Any] | None:
    """A question as nodes are asked it: the program as words, the JMESPath as a tree."""
    if one is None:
        return None
    told: dict[str, Any] = msgspec.to_builtins(one)
    told["timeout"] = one.timeout or seconds
    told["command"] = words(one.command) if one.command else None
    told["value"] = compiled(one.value) if one.value else None
    return told
