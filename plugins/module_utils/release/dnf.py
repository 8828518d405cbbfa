# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages by dnf (version 4) and rpm. dnf finds and fetches, through its Python interface; rpm alone installs.

Scriptlets cannot start or stop a service: to systemctl the system looks as if it were not running (SYSTEMD_OFFLINE).
"""

from __future__ import annotations

import glob
import json
import os
import time
from contextlib import contextmanager
from typing import Any, Iterator

from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import replace
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
)

PLACE = f"{CACHE}/dnf"
LOCKS = "/etc/dnf/plugins/versionlock.list"
PLUGIN = "/etc/dnf/plugins/versionlock.conf"
PYTHONS = ("/usr/libexec/platform-python", "/usr/bin/python3")  # the one that dnf is for
EVR = "%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}"
# Its words: what to do, a folder, then names, or files. It prints one JSON value.
HELPER = """
import json, os, shutil, sys
import dnf
what, place, asked = sys.argv[1], sys.argv[2], sys.argv[3:]
base = dnf.Base()
base.conf.substitutions["releasever"] = base.conf.substitutions.get("releasever") or "unknown"
base.conf.read()
base.conf.substitutions.update_from_etc(base.conf.installroot, varsdir=base.conf.varsdir)
base.conf.cachedir = CACHE
base.read_all_repos()
for repo in base.repos.iter_enabled():
    repo.metadata_expire = 0 if what == "refresh" else -1
base.fill_sack(load_system_repo=what == "needed")
arches = [base.conf.substitutions["arch"], base.conf.substitutions["basearch"], "noarch"]
evr = lambda p: ("%s:" % p.epoch if p.epoch else "") + "%s-%s" % (p.version, p.release)
if what == "offered":
    found = sorted(base.sack.query().available().filter(name=asked, arch=arches), reverse=True)
    print(json.dumps([{"name": p.name, "version": evr(p), "upstream": p.version, "url": p.remote_location() or "",
                       "sha256": p.chksum[1].hex(), "size": p.downloadsize} for p in found]))
elif what == "download":
    wanted = [p for p in base.sack.query().available().filter(arch=arches) if "%s=%s" % (p.name, evr(p)) in asked]
    missing = set(asked) - {"%s=%s" % (p.name, evr(p)) for p in wanted}
    if missing:
        sys.exit("error: not offered: " + ", ".join(sorted(missing)))
    for repo in base.repos.iter_enabled():
        repo.pkgdir = place
    base.download_packages(wanted)
    for package in wanted:
        code, text = base.package_signature_check(package)
        if code:
            sys.exit("error: " + text)
        if os.path.dirname(package.localPkg()) != place:  # dnf leaves the files of a local repository where they are
            shutil.copy(package.localPkg(), place)
    print("[]")
elif what == "needed":
    installed = {p.name: evr(p) for p in base.sack.query().installed()}
    for package in base.add_remote_rpms(asked):
        if installed.get(package.name) != evr(package):
            base.package_downgrade(package) if package.name in installed and package < max(
                base.sack.query().installed().filter(name=package.name)) else base.package_install(package)
    base.conf.install_weak_deps = False
    base.resolve(allow_erasing=True)
    new = {p.name: evr(p) for p in base.transaction.install_set}
    print(json.dumps({"new": new, "old": {p.name: evr(p) for p in base.transaction.remove_set}}))
else:
    print("[]")
""".replace("CACHE", repr(f"{PLACE}/cache"))


class Dnf(Manager):
    """dnf with an index of our own, and rpm."""

    name = "dnf"
    cache = "/var/cache/dnf/*/packages/*.rpm"
    suffix = ".rpm"

    def installed(self, names: list[str]) -> dict[str, str]:
        """Return those of which there is one version: two are what an interrupted transaction leaves."""
        found: dict[str, list[str]] = {}
        for line in run(["rpm", "-q", "--queryformat", f"%{{NAME}}\t{EVR}\n", *names]).stdout.splitlines():
            name, tab, version = line.partition("\t")
            if tab:
                found.setdefault(name, []).append(version)
        return {name: versions[0] for name, versions in found.items() if len(versions) == 1}

    def held(self, names: list[str]) -> list[str]:
        """Return those that the plugin versionlock has at the version that is installed."""
        has, lines = self.installed(names), _locked()
        return [name for name in names if name in has and _lock(name, has[name]) in lines]

    def hold(self, names: list[str]) -> None:
        """Lock them as `dnf versionlock add` does it, in the place of other versions of them."""
        free = sorted(set(names) - set(self.held(names)))
        if free and not os.path.exists(PLUGIN):
            raise PackageError(f"dnf cannot hold {', '.join(free)}: install python3-dnf-plugin-versionlock")
        if free:
            has = self.installed(free)
            others = [line for line in _locked() if not any(line.startswith(f"{name}-") and _of(line) == name for name in free)]
            replace(LOCKS, "".join(f"{line}\n" for line in [*others, *(_lock(name, has[name]) for name in free)]).encode())

    def about(self, file: str) -> tuple[str, str, int]:
        """Read the header."""
        done = run(["rpm", "-qp", "--nosignature", "--queryformat", f"%{{NAME}}\t{EVR}\t%{{LONGSIZE}}", file])
        fields = done.stdout.split("\t")
        if done.returncode or len(fields) != 3:  # noqa: PLR2004 - the three that were asked for
            raise PackageError(f"{os.path.basename(file)} is not an RPM package: {said(done)}")
        return fields[0], fields[1], int(fields[2])

    def download(self, wanted: list[str], folder: str, timeout: float) -> None:
        """Fetch by dnf, with the node's proxies, credentials and keys."""
        _helper("download", folder, wanted, timeout)

    def needed(self, files: list[str]) -> list[str]:
        """Ask dnf's resolver, which only plans."""
        with self._index_lock():
            if not self._fresh(MAX_AGE_S):
                self._refresh()
        return further(_helper("needed", "-", files), {self.about(file)[0] for file in files})

    def install(self, files: list[str]) -> None:
        """All in one transaction."""
        command = ["rpm", "-U", "--oldpackage", "--replacepkgs", *files]
        done = run(command, INSTALL_S, env={"SYSTEMD_OFFLINE": "1", "NODEWISE_PACKAGES": "1"})
        if done.returncode:
            raise PackageError(f"rpm could not install {', '.join(os.path.basename(file) for file in files)}: {said(done)}")

    def broken(self) -> list[str]:
        """None: a transaction is checked whole, and packages are there or not."""
        return []

    def locks(self) -> Locks:
        """That of rpm."""
        return Locks([os.path.join(run(["rpm", "--eval", "%{_dbpath}"]).stdout.strip(), ".rpm.lock")], [])

    @contextmanager
    def locked(self, timeout: float) -> Iterator[None]:
        """Wait for others. The lock is rpm's own, which it takes for itself."""
        with locked_file(self.locks().blocking[0], time.monotonic() + timeout):
            pass
        yield

    def _offered(self, names: list[str]) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        for offer in _helper("offered", "-", names):
            found[offer.pop("name")].append(offer)
        return found

    def _refresh(self) -> str:
        try:
            _helper("refresh", "-", [])
        except PackageError as error:
            return f"dnf could not fetch the metadata of the node's repositories: {error}"
        with open(os.path.join(PLACE, "updated"), "w", encoding="ascii"):
            return ""

    def _chosen(self) -> float:
        return max((os.stat(file).st_mtime for file in ["/etc/dnf/dnf.conf", *glob.glob("/etc/yum.repos.d/*")]), default=0.0)


def further(planned: dict[str, dict[str, str]], ours: set[str]) -> list[str]:
    """What a planned transaction would install besides the files; PackageError when it would do more than that."""
    new, old = planned["new"], planned["old"]
    removed = sorted(set(old) - set(new))
    touched = sorted(f"{name}={new[name]}" for name in set(old) & set(new) - ours)
    refuse_more(ours, removed, touched)
    return sorted(f"{name}={version}" for name, version in new.items() if name not in ours)


def _helper(what: str, place: str, asked: list[str], timeout: float = FETCH_S) -> Any:
    python = next((path for path in PYTHONS if os.path.exists(path)), PYTHONS[-1])
    done = run([python, "-c", HELPER, what, place, *asked], timeout)
    if done.returncode:
        raise PackageError(f"dnf: {said(done)}")
    return json.loads(done.stdout.splitlines()[-1])


def _lock(name: str, version: str) -> str:
    return f"{name}-{version if ':' in version else '0:' + version}.*"


def _of(line: str) -> str:
    """The name in a line of the plugin's list: name-epoch:version-release.arch."""
    return line.rpartition(":")[0].rpartition("-")[0]


def _locked() -> list[str]:
    try:
        with open(LOCKS, encoding="utf-8") as stream:
            return stream.read().splitlines()
    except FileNotFoundError:
        return []
