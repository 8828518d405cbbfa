# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Doing something to a member, and waiting until it shows: draining, bringing back, bootstrapping."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.app.asking import Unanswered, act, ask

INTERVAL = 0.1  # seconds between two looks


def perform(given: dict[str, Any], dry: bool = False) -> dict[str, Any]:
    """Return changed and seconds, from the parameters of app_act. Unanswered says what was not done, or does not hold."""
    began = time.monotonic()
    member, places = given["member"], given["places"]
    if given["once"] and not _open(given["until"], member, places):
        return {"changed": False, "seconds": _since(began)}
    if not dry:
        until = began + given["deadline"]
        _act(given, member, places, until if given["once"] else began)
        _wait(given, member, places, until)
    return {"changed": True, "seconds": _since(began)}


def _act(given: dict[str, Any], member: dict[str, str], places: dict[str, str], until: float) -> None:
    """Act; once more where that fails before `until`, as a service that has just started may not listen yet."""
    for number, one in enumerate(given["act"]):
        while True:
            try:
                act(one, member, places)
                break
            except Unanswered as error:
                if time.monotonic() > until:
                    raise Unanswered(f"{given['what']}: act {number + 1} of {len(given['act'])} failed: {error}") from None
            time.sleep(INTERVAL)


def _wait(given: dict[str, Any], member: dict[str, str], places: dict[str, str], until: float) -> None:
    while lacking := _open(given["until"], member, places):
        if time.monotonic() > until:
            raise Unanswered(f"{given['what']}: after {given['deadline']:g} s it is still to come that {lacking}")
        time.sleep(INTERVAL)


def _open(questions: list[dict[str, Any]], member: dict[str, str], places: dict[str, str]) -> str:
    """Return what does not hold yet, or nothing."""
    for one in questions:
        try:
            ask(one, member, places)
        except Unanswered as error:
            return str(error)
    return ""


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
