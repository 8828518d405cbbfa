# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds the collection into build/ and checks what is in it: all that it needs, and nothing that git would not keep."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GENERATED = {"MANIFEST.json", "FILES.json"}
NEEDED = {"MANIFEST.json", "FILES.json", "LICENSE", "README.md", "meta/runtime.yml", "changelogs/changelog.yaml"}
NEEDED_BELOW = ("plugins/", "roles/", "playbooks/", "meta/")


def problems(packed: set[str], kept: set[str]) -> list[str]:
    """What is off in a tarball that holds the files `packed`, when git keeps the files `kept`: one line each."""
    needed = NEEDED | {name for name in kept if name.startswith(NEEDED_BELOW)}
    missing = [f"missing in the tarball: {name}" for name in sorted(needed - packed)]
    return missing + [f"in the tarball, and git does not keep it: {name}" for name in sorted(packed - kept - GENERATED)]


def build() -> Path:
    """Build the tarball; one that is there already is replaced."""
    command = ["ansible-galaxy", "collection", "build", "--force", "--output-path", str(ROOT / "build")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"ansible-galaxy could not build the collection:\n{done.stderr.strip()}")
    return Path(done.stdout.strip().rsplit(" ", 1)[-1])


def packed_files(tarball: Path) -> set[str]:
    """The files in the tarball."""
    with tarfile.open(tarball) as tar:
        return {member.name for member in tar if not member.isdir()}


def kept_files() -> set[str]:
    """The files that git keeps, or would: what is ignored is left out."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return {name for name in listed if name and (ROOT / name).exists()}


def main() -> int:
    """Print each problem; exit 1 when there is one."""
    found = problems(packed_files(build()), kept_files())
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
