# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of a rehearsal: of which release, under which scenarios, with which verdicts, and signed by who rehearsed it.

It is one file for a release, named by the release's digest, in a folder or below a URL.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from nodewise import files
from nodewise.errors import SetupError, UnknownResult
from nodewise.model import Plan
from nodewise.record.schema import accepted, as_kind, stamped

AGE = re.compile(r"(\d+)([dhm])")
UNITS = {"d": "days", "h": "hours", "m": "minutes"}
PATIENCE = 10.0  # seconds for an answer of a server
SKEW = timedelta(minutes=5)  # that the clock of another controller may be ahead


class Trial(msgspec.Struct, forbid_unknown_fields=True):
    """One scenario of a rehearsal, as it ended."""

    scenario: str
    seed: int
    verdict: str
    run: str  # name of its record


class Rehearsed(msgspec.Struct, forbid_unknown_fields=True):
    """A rehearsal. `gaps` are what differs from production, in words; `key` and `signature` are hexadecimal."""

    digest: str
    at: str  # when it ended, UTC, ISO 8601
    system: str
    to: str
    verdict: str
    trials: list[Trial]
    gaps: list[str] = []
    key: str = ""
    signature: str = ""

    @property
    def signed(self) -> bytes:
        """What the signature is over."""
        return msgspec.json.encode(msgspec.structs.replace(self, signature=""), order="sorted")


def parts(plan: Plan) -> dict[str, Any]:
    """What of a plan makes a release of it: the same on any hosts, whatever they are called.

    `shape` is how many members the groups have, and how they lie in failure domains; the rest is what is done.
    """
    fields = msgspec.to_builtins(plan)
    artifacts = [[(one.sha256, one.kind, one.package) for one in hop.release.artifacts] for hop in plan.hops]
    domains = {group: Counter(plan.domains.get(name) for name in names) for group, names in plan.groups.items()}
    return {
        "system": [plan.system, plan.role.rpartition(".")[2], plan.component],
        "path": [[hop.start, hop.to] for hop in plan.hops],
        "artifacts": artifacts,
        "steps": [fields[key] for key in ("before_first", "steps", "finalize", "after_last", "back", "ready")],
        "gates": fields["gates"],
        "shape": sorted(sorted(count.values()) for count in domains.values()),
    }


def digest(plan: Plan) -> str:
    """64 hexadecimal digits: the same for the same release, wherever it is rolled out to."""
    return hashlib.sha256(msgspec.json.encode(parts(plan), order="sorted")).hexdigest()


def differs(plan: Plan, rehearsed: Plan) -> list[str]:
    """The parts in which a plan is not the one that was rehearsed."""
    ours, theirs = parts(plan), parts(rehearsed)
    return [name for name, value in ours.items() if msgspec.to_builtins(value) != msgspec.to_builtins(theirs[name])]


def key_file() -> Path:
    """Where the controller's key is: NODEWISE_REHEARSAL_KEY, else in the user's own configuration."""
    named = os.environ.get("NODEWISE_REHEARSAL_KEY")
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Path(named) if named else base / "nodewise" / "rehearsal.key"


def own_key(path: Path) -> Ed25519PrivateKey:
    """The controller's key, made when it is asked for first; nobody else may read it. Raises SetupError."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            text = Ed25519PrivateKey.generate().private_bytes(serialization.Encoding.PEM, *private)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(text)
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError) as error:
        raise SetupError(f"{path}: the key that signs rehearsals cannot be read or made: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SetupError(f"{path}: expected an Ed25519 key in PEM")
    return key


def public(key: Ed25519PrivateKey) -> str:
    """The public half, as records and inventories have it."""
    return key.public_key().public_bytes_raw().hex()


def sign(record: Rehearsed, key: Ed25519PrivateKey) -> Rehearsed:
    """The record with its signature."""
    named = msgspec.structs.replace(record, key=public(key))
    return msgspec.structs.replace(named, signature=key.sign(named.signed).hex())


def keep(record: Rehearsed, folder: Path) -> Path:
    """Write it, in place of an earlier one of the same release."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record.digest}.json"
    files.write(path, files.as_json(stamped(msgspec.to_builtins(record))))
    return path


def find(where: str, release: str) -> Rehearsed | None:
    """The record of a release in a folder or below a URL; None where there is none. Raises UnknownResult where nobody can tell."""
    place = f"{where.rstrip('/')}/{release}.json"
    try:
        if where.startswith(("http://", "https://")):
            answer = httpx.get(place, timeout=PATIENCE, follow_redirects=True)
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            content = answer.raise_for_status().content
        else:
            content = Path(place).expanduser().read_bytes()
        fields = msgspec.json.decode(content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, httpx.HTTPError) as error:
        raise UnknownResult(f"{place} cannot be read: {error}") from error
    if not isinstance(fields, dict):
        raise UnknownResult(f"{place} cannot be read: expected named fields")
    return as_kind(place, accepted(Path(place), fields), Rehearsed)


def age(said: str) -> timedelta:
    """A time such as 7d, 12h or 90m. Raises ValueError."""
    if not (found := AGE.fullmatch(said)):
        raise ValueError(f"{said!r} is not an age; expected one such as 7d, 12h or 90m")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def objection(record: Rehearsed, release: str, keys: Collection[str], oldest: timedelta, now: datetime) -> str:
    """Why a record does not count for a release now; nothing where it does."""
    if record.digest != release:
        return "it is of another release"
    if record.key not in keys:
        return f"it is signed with {record.key[:16] or 'no key'}, which is none of the keys that count"
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(record.key)).verify(bytes.fromhex(record.signature), record.signed)
        at = datetime.fromisoformat(record.at)
    except (InvalidSignature, ValueError):
        return "its signature does not fit what it says"
    if record.verdict != "valid" or not record.trials or any(one.verdict != "valid" for one in record.trials):
        return f"it ended {record.verdict}"
    if now - at > oldest:
        return f"it is of {record.at}, which is too old"
    return "it is of the future: is a clock wrong?" if at - now > SKEW else ""


def merged(trials: Iterable[Trial]) -> str:
    """One verdict for all."""
    found = {one.verdict for one in trials}
    return next((one for one in ("invalid", "unknown") if one in found), "valid" if found == {"valid"} else "unknown")


def now() -> str:
    """The time as records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
