# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image of a release: pulled by its digest, and run by podman as the unit's own process."""

from __future__ import annotations

import os
import time

from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import PYTHON
from ansible_collections.nodewise.cluster.plugins.module_utils.release.fetch import FetchError
from ansible_collections.nodewise.cluster.plugins.module_utils.release.manager import run

TRANSPORT = "docker://"
PROGRAM = "run"  # what a release has of an image: the program that runs it
_LAUNCHER = """#!{python}
# Runs the image of this release, and no other: USER, options of podman run, --, the arguments of its program.
import os, pwd, sys
owner, at = pwd.getpwnam(sys.argv[1]), sys.argv.index("--")
options = ["--pull=never", f"--user={{owner.pw_uid}}:{{owner.pw_gid}}", *sys.argv[2:at]]
os.execvp("podman", ["podman", "run", *options, {image!r}, *sys.argv[at + 1 :]])
"""


def stage(url: str, target: str, until: float) -> None:
    """Pull an image (docker://HOST/NAME@sha256:DIGEST) and write the program that runs it to the folder `target`.

    Podman refuses what has another digest. FetchError, or PackageError, says why nothing was staged.
    """
    image = url[len(TRANSPORT) :]
    pull(image, until)
    program = os.path.join(target, PROGRAM)
    with open(program, "w", encoding="utf-8") as stream:
        stream.write(_LAUNCHER.format(python=PYTHON, image=image))
    os.chmod(program, 0o755)  # noqa: S103 - as programs are


def pull(image: str, until: float) -> None:
    """Have an image in podman's storage; of one that is there nobody is asked."""
    if run(["podman", "image", "exists", image]).returncode == 0:
        return
    done = run(["podman", "pull", "--quiet", TRANSPORT + image], max(1.0, until - time.monotonic()))
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise FetchError(f"podman could not pull {image}: {said}; nothing was staged")
