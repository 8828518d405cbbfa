# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An example of a description that works on a testnet as it is: a small HTTP service in two releases."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

from nodewise import files
from nodewise.errors import UsageError

HERE = Path(__file__).parent
VERSIONS = ("1.0.0", "1.1.0")


def write(folder: Path) -> Path:
    """Write description and releases to a folder that is not there yet; return the description. Raises UsageError."""
    if folder.exists():
        raise UsageError(f"{folder} is there already; nothing was written: name a folder that is not")
    folder.mkdir(parents=True)
    text = (HERE / "example.yml").read_text()
    for version in VERSIONS:
        content = release(version)
        archive = folder.resolve() / f"greeter-{version}.tar"
        archive.write_bytes(content)
        text = text.replace(f"URL {version}", f"controller://{archive}").replace(f"SHA256 {version}", digest(content))
    file = folder / "greeter.yml"
    files.write(file, text.encode())
    return file


def digest(content: bytes) -> str:
    """The checksum of an artifact."""
    return hashlib.sha256(content).hexdigest()


def release(version: str, program: Path = HERE / "greeter.py", **change: str) -> bytes:
    """A release of a service as a tar archive: its program, of which `change` replaces values of names in capitals."""
    name, text = program.stem, "#!/usr/bin/python3\n" + program.read_text()
    for constant, value in {"VERSION": version, **change}.items():
        text = text.replace(f'\n{constant} = ""', f"\n{constant} = {value!r}", 1)
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(text.encode()), 0o755
        archive.addfile(member, io.BytesIO(text.encode()))
    return made.getvalue()
