# Copyright: Nodewise contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Observations: what is still missing from one, and waiting on the node until nothing is.

An observation is a dict in the shape of nodewise.model.Observation; only the standard library is used here.
"""

from __future__ import annotations

import datetime
import time

INTERVAL = 0.03  # seconds between two looks: a restart takes some hundred milliseconds, and this is what waiting adds to it


def timestamp(seconds=None):
    """Return a time (seconds since the epoch, now by default) as UTC, ISO 8601 with milliseconds."""
    moment = datetime.datetime.fromtimestamp(time.time() if seconds is None else seconds, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + "{0:03d}Z".format(moment.microsecond // 1000)


def absent(name, error):
    """Return the member entry of one that could not be seen."""
    return {
        "name": name,
        "version": None,
        "role": None,
        "serving": False,
        "lag": None,
        "fingerprint": None,
        "started_at": None,
        "errors": [error],
    }


def missing(observation, settled):
    """Return one line for each thing in `settled` that `observation` does not show; none means settled.

    `members` are names that must be there, and no others; `serving`, `leader` and `fingerprint` are true or left out;
    `versions` maps names to versions; `max_lag` is a number; `cluster_version` a version. An unknown key is an error.
    """
    unknown = sorted(set(settled) - set(_CHECKS))
    if unknown:
        raise ValueError("settled: unknown {0}; known are {1}".format(", ".join(unknown), ", ".join(sorted(_CHECKS))))
    lines = []
    for key, wanted in settled.items():
        # False and None say "not asked for"; 0 is a lag that may be asked for.
        if wanted is not None and wanted is not False:
            lines.extend(_CHECKS[key](observation, wanted))
    return lines


def settle(look, complete, settled, deadline):
    """Look until nothing is missing or `deadline` seconds have passed.

    `look()` returns an observation without what is expensive, `complete(observation)` adds that (fingerprints, start times):
    it runs once the rest has settled, and at the deadline, so that the last observation is always whole.
    Returns the last observation, what is missing from it, how many looks it took, and the seconds.
    """
    began = time.monotonic()
    cheap = dict((key, wanted) for key, wanted in settled.items() if key != "fingerprint")
    looks = 0
    while True:
        looks += 1
        observation = look()
        late = time.monotonic() - began >= deadline
        if late or not missing(observation, cheap):
            observation = complete(observation)
            lacking = missing(observation, settled)
            if late or not lacking:
                return observation, lacking, looks, round(time.monotonic() - began, 4)
        time.sleep(INTERVAL)


def _members(observation, wanted):
    seen = set(member["name"] for member in observation["members"])
    lines = ["{0}: not among the members".format(name) for name in wanted if name not in seen]
    return lines + ["{0}: a member that is not expected".format(name) for name in sorted(seen - set(wanted))]


def _serving(observation, dummy_wanted):
    silent = [member for member in observation["members"] if not member["serving"]]
    lines = ["{0}: not serving ({1})".format(member["name"], "; ".join(member["errors"]) or "no reason given") for member in silent]
    return lines or ([] if observation["members"] else ["no members seen"])


def _versions(observation, wanted):
    seen = dict((member["name"], member["version"]) for member in observation["members"])
    return [
        "{0}: runs {1}, expected {2}".format(name, seen.get(name) or "an unknown version", version)
        for name, version in wanted.items()
        if seen.get(name) != version
    ]


def _leader(observation, dummy_wanted):
    leading = [member["name"] for member in observation["members"] if member["role"] in ("leader", "primary")]
    if len(leading) != 1:
        return ["{0} leaders ({1}), expected one".format(len(leading), ", ".join(leading) or "none")]
    if observation["cluster"]["leader"] != leading[0]:
        return ["{0} leads, and not all members say so".format(leading[0])]
    return []


def _fingerprint(observation, dummy_wanted):
    seen = [(member["name"], member["fingerprint"]) for member in observation["members"]]
    if seen and seen[0][1] is not None and len(set(value for name, value in seen)) == 1:
        return []
    shown = ", ".join("{0} {1}".format(name, value or "unknown") for name, value in seen)
    return ["fingerprints are not equal on all members: {0}".format(shown or "no members seen")]


def _max_lag(observation, wanted):
    return [
        "{0}: lag {1}, expected at most {2}".format(member["name"], "unknown" if member["lag"] is None else member["lag"], wanted)
        for member in observation["members"]
        if member["lag"] is None or member["lag"] > wanted
    ]


def _cluster_version(observation, wanted):
    seen = observation["cluster"]["version"]
    return [] if seen == wanted else ["the cluster acts as {0}, expected {1}".format(seen or "an unknown version", wanted)]


_CHECKS = {
    "members": _members,
    "serving": _serving,
    "versions": _versions,
    "leader": _leader,
    "fingerprint": _fingerprint,
    "max_lag": _max_lag,
    "cluster_version": _cluster_version,
}
