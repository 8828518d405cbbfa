# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The code of an earlier commit, unpacked beside this one. A worktree would leave something in the clone when we are killed."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from nodewise.errors import SetupError
from nodewise.testnet import tools
from nodewise.testnet.home import checkout


def resolve(commit: str) -> str | None:
    """The full hash of a commit; None where this clone does not have it."""
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
    return found.stdout.decode().strip() or None


def unpack(commit: str, folder: Path) -> None:
    """Put the files of a commit, a full hash, into a folder. SetupError when git cannot."""
    packed = _git("archive", "--format=tar", commit)
    if packed.returncode:
        raise SetupError(f"the code of {commit} cannot be unpacked: {tools.last_line(packed.stderr.decode(errors='replace'))}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as files:
        files.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian 12's own Python 3.11.2 has none
        files.extractall(folder)  # noqa: S202  git's own archive


def _git(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *words], cwd=checkout(), capture_output=True, check=False)
