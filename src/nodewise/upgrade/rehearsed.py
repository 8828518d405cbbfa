# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what is about to be done has been rehearsed, as an inventory may ask for (`nodewise_require_rehearsal`)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from nodewise.errors import NodewiseError, Refused
from nodewise.model import Plan
from nodewise.record import rehearsal
from nodewise.upgrade.waivers import way_to


def unrehearsed(plan: Plan, within: str, where: str, keys: Collection[str], now: datetime) -> str:
    """Why a plan counts as not rehearsed; nothing where it was, where nobody asks for it, or where nothing would be upgraded.

    `within` is the oldest that a rehearsal may be, such as 7d; `where` a folder or a URL; `keys` the public keys that count. Raises
    Refused for an age that is none.
    """
    if not within or plan.kind != "upgrade" or not plan.batches:
        return ""
    try:
        oldest = rehearsal.age(within)
    except ValueError as error:
        raise Refused(f"nodewise_require_rehearsal: {error}") from None
    release = rehearsal.digest(plan)
    try:
        found = rehearsal.find(where, release)
    except NodewiseError as error:
        return str(error)
    if found is None:
        return f"{where} has no rehearsal of release {release[:12]}"
    why = rehearsal.objection(found, release, keys, oldest, now)
    return f"the rehearsal of release {release[:12]} in {where} does not count: {why}" if why else ""


def refuse_unrehearsed(plan: Plan, why: str) -> None:
    """Raise Refused for a plan that is not rehearsed, unless that is waived."""
    if why and "rehearsed" not in plan.settings.waive:
        raise Refused(
            f"{why}.\n"
            f"Rehearse the run that --check leaves: nodewise rehearse --plan RUN. Or let it pass in this run: {way_to('rehearsed')}"
        )
