# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Switching a node to a staged release: stop, install its packages if it has any, replace the link, start."""

from __future__ import annotations

import os
import time
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import sync
from ansible_collections.nodewise.cluster.plugins.module_utils.host.observation import timestamp
from ansible_collections.nodewise.cluster.plugins.module_utils.host.process import DELETED
from ansible_collections.nodewise.cluster.plugins.module_utils.host.unit import State, Unit, UnitError, reload_units
from ansible_collections.nodewise.cluster.plugins.module_utils.release.manager import PackageError
from ansible_collections.nodewise.cluster.plugins.module_utils.release.payload import Payload
from ansible_collections.nodewise.cluster.plugins.module_utils.release.store import ReleaseError, Store

EXEC_S = 2.0  # seconds for a started process to become the program that it is to run


class SwitchError(Failure):
    """How far the switch came, and why no further; `journal` has the unit's last words."""

    def __init__(self, says: str, journal: list[str] | None = None) -> None:
        super().__init__(says)
        self.journal = journal or []


OPTIONS: dict[str, Any] = {
    "unit": {"type": "str", "required": True},
    "root": {"type": "path", "required": True},
    "link": {"type": "path"},
    "version": {"type": "str", "required": True},
    "timeout_s": {"type": "float", "default": 60.0},
    "start": {"type": "bool", "default": True},
    "enabled": {"type": "bool", "default": False},
    "kill": {"type": "bool", "default": False},
    "since": {"type": "float"},
    "lease_root": {"type": "path"},
}


def perform(given: dict[str, Any], dry: bool = False) -> dict[str, Any]:
    """Return what release_switch returns, from its module parameters (OPTIONS); call it under the node's lock."""
    store, unit = Store(given["root"], given["link"]), Unit(given["unit"])
    if given["since"] is not None:
        return {"version": given["version"], **restart(unit, given["since"], given["timeout_s"], dry, given["kill"])}
    result = switch(store, unit, given["version"], given["timeout_s"], dry, given["start"], given["kill"])
    enabled = given["enabled"] and unit.enable(dry)
    return {**result, "changed": result["changed"] or enabled}


def switch(
    store: Store, unit: Unit, version: str, timeout: float, check: bool = False, start: bool = True, kill: bool = False
) -> dict[str, Any]:
    """Have the unit run from `version`; call it under the node's lock. Without `start` a unit that does not run is left so.

    With `kill` one that does not stop in time is killed: of a release that does not work, to which nothing else may help.

    A unit that is active and runs from it already, with its packages installed, is left alone. Stopping and starting may each take
    `timeout` seconds. A unit that does not start is left stopped, with the link on `version`: nothing flaps, and the caller decides
    about going back. In check mode a version or a unit that is not there yet is taken for one to come.
    """
    began = time.monotonic()
    _refuse_unusable(store, version, check)
    state, previous, payload = unit.state() if check else unit.loaded(), store.linked(), Payload(store, version)
    idle = not start and state.active in ("inactive", "failed")
    right = previous == version if idle else settled(store, version, state)
    changed = not (right and payload.settled())
    result: dict[str, Any] = {"changed": changed, "version": version, "previous": previous}
    if changed and not check:
        with payload.ready(timeout):
            if idle or (right and not payload.missing()):
                payload.install()
                if not right:
                    point(store.link, store.path(version))
            else:
                state = _change(store, unit, payload, version, timeout, kill, result)
    result.update(state.as_dict(), seconds=round(time.monotonic() - began, 3))
    return result


def restart(unit: Unit, since: float, timeout: float, check: bool = False, kill: bool = False) -> dict[str, Any]:
    """Have the unit's process be one that began after `since` (seconds since the epoch), from the files that are there now.

    Call it under the node's lock. No release is asked for: what something else installed is restarted as well. Returns changed,
    seconds, and what systemd says of the unit.
    """
    began, state = time.monotonic(), unit.loaded()
    changed = not begun_since(state, since)
    if changed and not check:
        unit.forget_failures()
        try:
            (unit.end if kill else unit.stop)(timeout)
            if unit.state().needs_reload:
                reload_units()
            state = unit.start(timeout)
        except UnitError as error:
            raise SwitchError(str(error), error.journal) from None
    return {"changed": changed, **state.as_dict(), "seconds": round(time.monotonic() - began, 3)}


def begun_since(state: State, since: float) -> bool:
    """Return whether a unit is active with a process that began after a moment."""
    return state.active == "active" and state.started is not None and state.started > since


def settled(store: Store, version: str, state: State) -> bool:
    """Return whether the link leads to the version and the active unit runs from it."""
    return store.linked() == version and state.active == "active" and runs_from(store, version, state)


def runs_from(store: Store, version: str, state: State) -> bool:
    """Return whether the main process runs from the version.

    Of a process whose program is not in any release (an interpreter) it is told by whether it began after the link was made.
    """
    if state.exe is None or state.started is None or state.exe.endswith(DELETED):
        return False
    if state.exe.startswith(os.path.realpath(store.releases) + "/"):
        return store.holds(version, state.exe)
    return store.linked() == version and state.started >= os.lstat(store.link).st_mtime


def point(link: str, target: str) -> None:
    """Make `link` lead to `target` (relatively) in one rename, and have the disk keep it."""
    folder = os.path.dirname(link)
    fresh = f"{link}.{os.getpid()}"
    os.symlink(os.path.relpath(target, folder), fresh)
    os.replace(fresh, link)
    sync(folder)


def _refuse_unusable(store: Store, version: str, check: bool) -> None:
    damage = store.damage(version)
    if damage and not (check and not os.path.isdir(store.path(version))):
        staged = ", ".join(store.staged()) or "none"
        raise ReleaseError(f"{version} {damage}; staged are: {staged}. Nothing was changed: stage it first")
    if os.path.lexists(store.link) and not os.path.islink(store.link):
        raise ReleaseError(
            f"{store.link} is not a symbolic link; nothing was changed: name the link that the unit's ExecStart goes through"
        )


def _change(store: Store, unit: Unit, payload: Payload, version: str, timeout: float, kill: bool, result: dict[str, Any]) -> State:
    unit.forget_failures()
    moment = time.monotonic()
    try:
        (unit.end if kill else unit.stop)(timeout)
    except UnitError as error:
        raise SwitchError(f"{error}; {store.link} was not changed") from None
    stopped = time.monotonic()
    try:
        payload.install()
    except PackageError as error:
        raise SwitchError(f"{error}\n{unit.name} was left stopped, and {store.link} was not changed") from None
    installed = time.monotonic()
    point(store.link, store.path(version))
    try:
        if unit.state().needs_reload:
            reload_units()
        state = _started(store, unit, version, timeout)
    except UnitError as error:
        raise SwitchError(f"{error}, and {store.link} leads to {version}", error.journal) from None
    result.update(stop_s=round(stopped - moment, 3), install_s=round(installed - stopped, 3))
    result.update(start_s=round(time.monotonic() - installed, 3), switched_at=timestamp())
    return state


def _started(store: Store, unit: Unit, version: str, timeout: float) -> State:
    state = unit.start(timeout)
    until = time.monotonic() + EXEC_S
    while not runs_from(store, version, state):
        if time.monotonic() > until:
            raise UnitError(
                f"{unit.name} runs {state.exe or 'nothing'}, expected a program of {store.path(version)}: "
                f"have its ExecStart go through {store.link}\n{unit.give_up(timeout)}"
            )
        time.sleep(0.02)
        state = unit.state()
    return state
