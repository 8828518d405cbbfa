# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node image: built once from its recipe, found again by the hash of it."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from nodewise.errors import SetupError
from nodewise.testnet import tools
from nodewise.testnet.home import home, locked
from nodewise.testnet.provider import Provider

FOLDER = Path(__file__).with_name("image")
SUITE = "bookworm"
SECURITY = f"{SUITE}-security"  # its updates: nodes are offered both
BASE = f"debian:{SUITE}-slim"  # from whichever registries the machine is configured for
REPOSITORY = "localhost/nodewise-node"
APT_SETTINGS = re.compile(r'^Acquire::(?:https?::Proxy[^ ]*|Check-Valid-Until|Check-Date) "[^"]+";$', re.MULTILINE)
NO_DOCS = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


@cache
def tag() -> str:
    """The tag of the image that the recipe as it stands makes."""
    files = [(FOLDER / name).read_bytes() for name in ("packages.conf", "setup.sh")]
    recipe = b"\0".join([SUITE.encode(), SECURITY.encode(), *files])
    return f"{REPOSITORY}:{hashlib.sha256(recipe).hexdigest()[:12]}"


def packages() -> list[str]:
    """Debian packages of a node, from packages.conf."""
    lines = (FOLDER / "packages.conf").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def ensure(provider: Provider, say: Callable[[str], None]) -> str:
    """The tag of the node image, built first if it is not there. Two at once build it once."""
    if provider.has_image(tag()):
        return tag()
    with locked("image", wait=900):
        if not provider.has_image(tag()):
            _build(provider, say)
    return tag()


def remove(provider: Provider) -> list[str]:
    """Remove all node images that no node uses; their tags."""
    tags = provider.images()
    with locked("image", wait=900):
        for old in tags:
            provider.remove_image(old)
    return tags


def _build(provider: Provider, say: Callable[[str], None]) -> None:
    began = time.monotonic()
    say(f"building the node image {tag()} (once; about a minute)")
    try:
        provider.build_image(os.environ.get("NODEWISE_BASE_IMAGE", BASE), FOLDER, packages(), tag())
    except SetupError as error:
        say(f"no base image from a registry ({_short(error)}): using the Debian mirror of this machine")
        _bootstrap(provider, say)
    say(f"built the node image in {time.monotonic() - began:.0f} s")


def _bootstrap(provider: Provider, say: Callable[[str], None]) -> None:
    """From the mirror to an image, by way of a folder that is removed whatever happens; also one that a killed build left."""
    tools.require("mmdebstrap")
    folder = home() / "image"
    _remove_folder(folder)
    folder.mkdir(parents=True)
    tar = folder / "node.tar"
    words = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages())}", *_apt_settings()]
    words += [f"--dpkgopt=path-exclude={path}" for path in NO_DOCS]
    hooks = [f"upload {shlex.quote(str(FOLDER / 'setup.sh'))} /setup.sh", 'chroot "$1" sh /setup.sh', 'rm "$1/setup.sh"']
    words += [f"--customize-hook={hook}" for hook in hooks]
    try:
        say(f"installing Debian {SUITE} with {len(packages())} packages (mmdebstrap)")
        tools.run(tools.as_root([*words, SUITE, str(tar), *_sources()]), timeout=900)
        say("importing it")
        provider.import_image(tar, tag())
    finally:
        _remove_folder(folder)


def _remove_folder(folder: Path) -> None:
    """As root, since what an import that was ended has left in it is root's."""
    tools.run(tools.as_root(["rm", "-rf", "--", str(folder)]), timeout=60)


def _sources() -> list[str]:
    """Lines for sources.list: the machine's own Debian archives, of the suite that nodes have."""
    fields = "$(ORIGIN)|$(SITE)|$(RELEASE)|$(COMPONENT)|$(CREATED_BY)"
    command = ["apt-get", "indextargets", "--format", fields]
    # The second time, archives whose index was never fetched here are among them; nobody has said yet whose they are.
    found = sources("".join(tools.run([*command, *more], timeout=20).stdout for more in ([], ["--no-release-info"])))
    if not found:
        raise SetupError("apt on this machine knows no Debian archive to build nodes from; run `apt-get update`, then try again")
    return found


def sources(targets: str) -> list[str]:
    """Lines for sources.list from `apt-get indextargets`: `bookworm` and its security archive, main only."""
    lines = []
    for target in targets.splitlines():
        origin, site, release, component, kind = target.split("|")
        secure = "-security" in release and origin in ("Debian", "$(ORIGIN)")
        if (secure or origin == "Debian") and (component, kind) == ("main", "Packages"):
            lines.append(f"deb {site} {SECURITY if secure else SUITE} main")
    known = any(line.endswith(f" {SUITE} main") for line in lines)
    return list(dict.fromkeys(lines)) if known else []


def _apt_settings() -> list[str]:
    """The machine's settings that decide whether its mirror can be used: proxies, and archives that are frozen in time."""
    dumped = tools.run(["apt-config", "dump"], timeout=20).stdout
    return [f"--aptopt={line}" for line in APT_SETTINGS.findall(dumped)]


def _short(error: SetupError) -> str:
    return str(error)[-160:]
