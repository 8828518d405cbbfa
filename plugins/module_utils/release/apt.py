# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages by apt and dpkg. apt finds and fetches; dpkg alone installs, so that no hook of apt's runs (needrestart restarts units).

Services are kept as they are by a policy-rc.d of ours, which only programs below our dpkg obey: one that a killed run leaves behind
says to all others what the node's own one would have said.
"""

from __future__ import annotations

import glob
import os
import re
import time
from contextlib import contextmanager
from typing import Any, Iterator

from ansible_collections.nodewise.cluster.plugins.module_utils.release.manager import (
    CACHE,
    FETCH_S,
    INSTALL_S,
    MAX_AGE_S,
    Locks,
    Manager,
    PackageError,
    locked_file,
    refuse_more,
    run,
    said,
    upstream,
)

LISTS = f"{CACHE}/apt"
CONFIG = f"{LISTS}/apt.conf"
SETTINGS = f"""Dir::State::lists "{LISTS}/lists";
Dir::Cache "{LISTS}/cache";
Acquire::Languages "none";
Acquire::Retries "3";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""
NO_ARCHIVES = ("Dir::Etc::sourcelist=/dev/null", "Dir::Etc::sourceparts=/dev/null")
NO_CACHE = ("Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache=")  # of what is in archives
FRONTEND_LOCK, LOCK = "/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock"
TELLING = ("/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock")  # of a run of apt that may be about to install
POLICY, SAVED = "/usr/sbin/policy-rc.d", "/usr/sbin/policy-rc.d.nodewise-saved"
MARK = "# Nodewise"
POLICY_TEXT = f"""#!/bin/sh
{MARK}: what installs packages for an upgrade starts and stops nothing; everybody else gets the answer of the node's own policy.
[ "$NODEWISE_PACKAGES" = 1 ] && exit 101
[ -x {SAVED} ] && exec {SAVED} "$@"
exit 0
"""
STATUS = "${Package}\t${db:Status-Want}\t${db:Status-Status}\t${db:Status-Eflag}\t${Version}\n"
URI = re.compile(r"'([^']+)' (\S+) (\d+) SHA256:([0-9a-f]{64})$")
UNMET = re.compile(r"^ ?(\S+ : (?:Pre)?Depends: .+)$", re.MULTILINE)
PLANNED = re.compile(r"(Inst|Remv) (\S+?)(?::\S+)? (?:\[(\S+)\] ?)?(?:\((\S+) )?")
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "DEBIAN_PRIORITY": "critical", "UCF_FORCE_CONFFOLD": "1", "NEEDRESTART_SUSPEND": "1"}


class Apt(Manager):
    """apt with indexes of our own, and dpkg."""

    name = "apt"
    suffix = ".deb"
    cache = "/var/cache/apt/archives/*.deb"

    def installed(self, names: list[str]) -> dict[str, str]:
        """Return those that dpkg calls installed, with nothing to be done about them."""
        return {name: version for name, _want, status, flag, version in _status(names) if (status, flag) == ("installed", "ok")}

    def held(self, names: list[str]) -> list[str]:
        """Return those whose selection is to hold."""
        return [name for name, want, _status_, _flag, _version in _status(names) if want == "hold"]

    def hold(self, names: list[str]) -> None:
        """Hold as apt-mark does it, which asks for a lock that we have."""
        free = sorted(set(names) - set(self.held(names)))
        if free:
            selections = "".join(f"{name} hold\n" for name in free)
            _dpkg(["--set-selections"], text=selections)

    def about(self, file: str) -> tuple[str, str, int]:
        """Read the control file."""
        done = run(["dpkg-deb", "--showformat=${Package}\t${Version}\t${Installed-Size}", "--show", file])
        fields = done.stdout.split("\t")
        if done.returncode or len(fields) != 3:  # noqa: PLR2004 - the three that were asked for
            raise PackageError(f"{os.path.basename(file)} is not a Debian package: {said(done)}")
        return fields[0], fields[1], int(fields[2] or 0) << 10

    def download(self, wanted: list[str], folder: str, timeout: float) -> None:
        """Fetch by apt, with the node's proxies and credentials."""
        done = _apt(["apt-get", "download", "-q", *wanted], timeout, cwd=folder)
        if done.returncode:
            raise PackageError(f"apt could not fetch {', '.join(wanted)}: {said(done)}")

    def needed(self, files: list[str]) -> list[str]:
        """Ask apt's resolver, which only simulates."""
        with self._index_lock():
            trouble = "" if self._fresh(MAX_AGE_S) else self._refresh()
        return self._resolved(files, ["-c", CONFIG], trouble)

    def fits(self, files: list[str]) -> None:
        """Ask the resolver without any archive, which is how it knows of nothing else, and takes a tenth of the time."""
        self._resolved(files, [word for option in NO_ARCHIVES + NO_CACHE for word in ("-o", option)])

    def _resolved(self, files: list[str], options: list[str], trouble: str = "") -> list[str]:
        """What apt, which only simulates, would install besides the files."""
        ours = {self.about(file)[0] for file in files}
        words = ["--simulate", "--yes", "--no-install-recommends", "--allow-downgrades", "--allow-change-held-packages"]
        done = run(["apt-get", *options, "install", "-q", *words, *files], FETCH_S)
        if done.returncode:
            unmet = "; ".join(UNMET.findall(done.stdout))
            why = f"{unmet}: install that first" if unmet else said(done)
            raise PackageError(f"apt cannot install {', '.join(sorted(ours))}: {why} {trouble}".strip())
        return _further(done.stdout, ours)

    def install(self, files: list[str]) -> None:
        """A pre-dependency that was only unpacked is configured by the second pass."""
        with _nothing_started():
            words = ["--force-confold", "--force-confdef", "--install", *files]
            done = _dpkg(words, check=False)
            if done.returncode:
                _dpkg(["--force-confold", "--force-confdef", "--configure", "--pending"], check=False)
                done = _dpkg(words, check=False)
        if done.returncode:
            raise PackageError(f"dpkg could not install {', '.join(map(os.path.basename, files))}: {said(done)}")

    def broken(self) -> list[str]:
        """What waits for triggers only is not broken."""
        return [name for name, _want, status, flag, _version in _status([]) if _half(status, flag)]

    def locks(self) -> Locks:
        """Those of dpkg; ours of apt are in folders of our own."""
        return Locks([FRONTEND_LOCK, LOCK], list(TELLING))

    @contextmanager
    def locked(self, timeout: float) -> Iterator[None]:
        """Whoever has the frontend's lock may call dpkg; a dpkg that outlived its killed caller has only its own."""
        until = time.monotonic() + timeout
        with locked_file(FRONTEND_LOCK, until):
            with locked_file(LOCK, until):
                pass
            _sweep()
            yield

    def _offered(self, names: list[str]) -> dict[str, list[dict[str, Any]]]:
        shown = _apt(["apt-cache", "show", *names]).stdout
        stanzas = [dict(re.findall(r"^([\w-]+): (.*)$", text, re.MULTILINE)) for text in shown.split("\n\n") if text.strip()]
        arch = run(["dpkg", "--print-architecture"]).stdout.strip()
        offered = [s for s in stanzas if s.get("Filename") and s.get("SHA256") and s.get("Architecture") in (arch, "all")]
        urls = _urls([f"{stanza['Package']}={stanza['Version']}" for stanza in offered])
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        for stanza in offered:
            found.setdefault(stanza["Package"], []).append(
                {
                    "version": stanza["Version"],
                    "upstream": upstream(stanza["Version"]),
                    "url": urls.get(stanza["SHA256"], ""),
                    "sha256": stanza["SHA256"],
                    "size": int(stanza["Size"]),
                }
            )
        return found

    def _refresh(self) -> str:
        for folder in ("lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(LISTS, folder), mode=0o755, exist_ok=True)
        with open(CONFIG, "w", encoding="ascii") as stream:
            stream.write(SETTINGS)
        # Without the error mode apt-get reports an archive that does not answer as a warning, and success.
        done = _apt(["apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any"], FETCH_S)
        if done.returncode:
            return f"apt could not fetch the index of the node's archives: {said(done)}"
        with open(os.path.join(LISTS, "updated"), "w", encoding="ascii"):
            return ""

    def _chosen(self) -> float:
        sources = ["/etc/apt/sources.list", "/etc/apt/sources.list.d", *glob.glob("/etc/apt/sources.list.d/*")]
        return max((os.stat(source).st_mtime for source in sources if os.path.exists(source)), default=0.0)


def _further(planned: str, ours: set[str]) -> list[str]:
    """What a simulated installation would install besides the files; PackageError when it would do more than that."""
    found: list[str] = []
    touched: list[str] = []
    removed: list[str] = []
    for line in planned.splitlines():
        match = PLANNED.match(line)
        if not match:
            continue
        kind, name, old, new = match.groups()
        if kind == "Remv":
            removed.append(name)
        elif name not in ours:
            (touched if old else found).append(f"{name}={new}")
    refuse_more(ours, removed, touched)
    return found


def _urls(packages: list[str]) -> dict[str, str]:
    """URL by checksum. apt passes over what it cannot download, and says so."""
    if not packages:
        return {}
    lines = _apt(["apt-get", "download", "--print-uris", *packages]).stdout.splitlines()
    return {match[4]: match[1] for match in map(URI.match, lines) if match}


def _status(names: list[str]) -> list[tuple[str, str, str, str, str]]:
    """What dpkg knows of packages, of all without names; nothing of those that it does not know."""
    done = run(["dpkg-query", "--showformat", STATUS, "--show", *names])
    if done.returncode and "no packages found" not in done.stderr:
        raise PackageError(f"dpkg does not say what is installed: {said(done)}")
    found = []
    for line in done.stdout.splitlines():
        name, want, status, flag, version = line.split("\t")
        found.append((name, want, status, flag, version))
    return found


def _half(status: str, flag: str) -> bool:
    return flag != "ok" or status not in ("installed", "config-files", "not-installed", "triggers-awaited", "triggers-pending")


def _apt(command: list[str], timeout: float = FETCH_S, cwd: str | None = None) -> Any:
    return run([command[0], "-c", CONFIG, *command[1:]], timeout, cwd=cwd)


def _dpkg(words: list[str], text: str | None = None, check: bool = True) -> Any:
    """Call dpkg under the lock that we hold."""
    env = {**QUIET, "DPKG_FRONTEND_LOCKED": "true", "NODEWISE_PACKAGES": "1"}
    done = run(["dpkg", *words], INSTALL_S, text, env=env)
    if check and done.returncode:
        raise PackageError(f"dpkg {words[0]}: {said(done)}")
    return done


@contextmanager
def _nothing_started() -> Iterator[None]:
    """Put our policy-rc.d in the place of the node's own one, which is kept beside it."""
    fresh = f"{POLICY}.nodewise-{os.getpid()}"
    with open(fresh, "w", encoding="ascii") as stream:
        stream.write(POLICY_TEXT)
    os.chmod(fresh, 0o755)  # noqa: S103 - a program
    if os.path.lexists(POLICY):
        os.link(POLICY, SAVED, follow_symlinks=False)
    os.replace(fresh, POLICY)
    try:
        yield
    finally:
        _sweep()


def _sweep() -> None:
    """Have the node's own policy-rc.d back, whatever a killed run left."""
    for fresh in glob.glob(f"{POLICY}.nodewise-[0-9]*"):
        os.unlink(fresh)
    if os.path.lexists(SAVED):
        os.replace(SAVED, POLICY)
        if os.path.lexists(SAVED):  # two names of one file: killed before ours took its place
            os.unlink(SAVED)
    elif _is_ours():
        os.unlink(POLICY)


def _is_ours() -> bool:
    try:
        with open(POLICY, encoding="utf-8", errors="replace") as stream:
            return MARK in stream.read(200)
    except OSError:
        return False
