# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs ansible-test sanity on the collection and believes it only when it says that it tested something.

ansible-test wants a folder named ansible_collections/<namespace>/<name> under git, Pythons that are no shims, and a pip
that it would download: it gets a copy in build/, the real Pythons of this machine and the pip of the package index. Its home is
.cache/sanity, so that the user's stays as it is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import ansible_test

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / "build/sanity/ansible_collections/nodewise/cluster"
HOME = ROOT / ".cache/sanity"
PARTS = ["plugins", "roles", "playbooks", "meta", "changelogs", "tests/sanity", "galaxy.yml", "README.md"]

GET_PIP = """\
# Stands in for ansible-test's get-pip download: runs pip from its wheel, to install pip.
import runpy, sys
sys.path.insert(0, {wheel!r})
sys.argv = ["pip", "install"] + [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def problem(output: str, status: int) -> str | None:
    """Why a run of ansible-test is no pass, or None; one that tested nothing, or too little, is none, whatever its exit status."""
    if status != 0:
        return f"ansible-test sanity failed with exit status {status}"
    if "All targets skipped" in output:
        return "ansible-test sanity tested nothing (All targets skipped); expected it to see the files of the collection"
    ran = re.findall(r'^Running sanity test "(\S+)"', output, re.MULTILINE)
    for name in ("validate-modules", "import", "compile", "pylint"):
        if name not in ran:
            return f"ansible-test sanity did not run {name}; expected every test to run"
    return None


def copy_collection() -> None:
    """A fresh copy under git: in an ignored folder ansible-test would see no files and call that a pass."""
    shutil.rmtree(COPY, ignore_errors=True)
    for part in PARTS:
        source, target = ROOT / part, COPY / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, target)
    subprocess.run(["git", "init", "--quiet"], cwd=COPY, check=True)
    subprocess.run(["git", "add", "--all"], cwd=COPY, check=True)


def prepare_pip() -> None:
    """Put a get-pip where ansible-test looks for the one that it has downloaded, for each version that it may ask for."""
    cache = HOME / ".ansible/test/cache"
    cache.mkdir(parents=True, exist_ok=True)
    source = Path(next(iter(ansible_test.__path__)), "_internal/python_requirements.py").read_text(encoding="utf-8")
    for version in sorted(set(re.findall(r"""pip='([\d.]+)'""", source))):
        script = cache / f"get_pip_{version.replace('.', '_')}.py"
        wheel = cache / f"pip-{version}-py3-none-any.whl"
        if not wheel.exists():
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"--dest={cache}", f"pip=={version}"]
            subprocess.run(command, check=True)
        script.write_text(GET_PIP.format(wheel=str(wheel)), encoding="utf-8")


def environment() -> dict[str, str]:
    """The tools of this environment first, then the Pythons that pyenv hides behind shims, then the rest."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    places = [Path(sys.executable).parent, *sorted(pyenv.glob("*/bin")), *(Path(word) for word in os.environ["PATH"].split(":"))]
    return {**os.environ, "HOME": str(HOME), "PATH": ":".join(str(place) for place in places if "shims" not in place.parts)}


def main() -> int:
    """Print what ansible-test found and, when it is no pass, why; all of its output is kept in build/sanity.log."""
    copy_collection()
    prepare_pip()
    command = ["ansible-test", "sanity", "--color", "no", *sys.argv[1:]]
    done = subprocess.run(command, cwd=COPY, env=environment(), input="", capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    (ROOT / "build/sanity.log").write_text(output, encoding="utf-8")
    print("".join(f"{line}\n" for line in output.splitlines() if line.startswith(("ERROR", "FATAL"))), end="")
    found = problem(output, done.returncode)
    print(f"{found}; all of its output: build/sanity.log" if found else "ansible-test sanity ran and found nothing")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
