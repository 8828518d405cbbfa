# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs every linter, two at a time: one line each with its time, and its output only when it failed.

`python scripts/lint.py [name ...]` runs those named. Exit 1 when one failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHOWN = 40
MODULES = "ansible_collections.nodewise.cluster.plugins"

WORKFLOWS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(".github/workflows/*.yml"))
SCHEMA = ["check-jsonschema", "--builtin-schema"]  # the package brings them along

LINTERS: dict[str, list[list[str]]] = {  # the slow ones first, so that the others fill the second core
    "ansible-test sanity": [[sys.executable, "scripts/sanity.py"]],
    "ansible-lint": [["ansible-lint", "--offline", "--strict"]],
    "mypy": [["mypy", "src", "scripts"], ["mypy", "-p", f"{MODULES}.module_utils"]],
    "collection": [[sys.executable, "scripts/collection.py"]],
    "changelog": [["antsibull-changelog", "lint"]],
    "yamllint": [["yamllint", "--strict", "."]],
    "check-jsonschema": [
        [*SCHEMA, "vendor.github-workflows", *WORKFLOWS],
        [*SCHEMA, "vendor.dependabot", ".github/dependabot.yml"],
        [*SCHEMA, "vendor.gitlab-ci", "--data-transform", "gitlab-ci", "docs/ci/gitlab-ci.yml"],
    ],
    "zizmor": [["zizmor", "--offline", "--persona", "pedantic", "--strict-collection", "--quiet", ".github"]],
    "ruff check": [["ruff", "check", "--quiet", "--output-format", "concise", "."]],
    "ruff format": [["ruff", "format", "--check", "--output-format", "concise", "."]],
}


@dataclass
class Result:
    """How one linter ended; `output` is what it printed."""

    name: str
    ok: bool
    seconds: float
    output: str


def environment() -> dict[str, str]:
    """The tools of this environment first, colours off, everything that they keep inside the checkout."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ANSIBLE_HOME": str(ROOT / ".cache/ansible"),
        "XDG_CACHE_HOME": str(ROOT / ".cache"),
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
    }


def run(name: str, commands: list[list[str]]) -> Result:
    """Run all of the linter's commands; a linter that cannot be started has failed."""
    start, output, ok = time.monotonic(), "", True
    for command in commands:
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        except OSError as error:
            ok, output = False, f"{command[0]}: {error.strerror}; expected it in .venv: make setup\n"
            break
        output += done.stdout + done.stderr
        ok = ok and done.returncode == 0
    return Result(name, ok, time.monotonic() - start, output)


def shortened(result: Result) -> str:
    """The first findings: what to repair first; all of them are a command away."""
    lines = result.output.rstrip().splitlines()
    more = [f"... and {len(lines) - SHOWN} lines more: python scripts/lint.py '{result.name}' | less"] if len(lines) > SHOWN else []
    return "\n".join(lines[:SHOWN] + more)


def link_collection() -> None:
    """Give plugins/ the full name that they import each other by, without a whole environment for mypy to read."""
    link = ROOT / "build/mypy/ansible_collections/nodewise/cluster"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(ROOT)


def main(names: list[str]) -> int:
    """Run the linters of these names, or all."""
    unknown = set(names) - set(LINTERS)
    if unknown:
        print(f"no linter {', '.join(sorted(unknown))}; expected some of: {', '.join(LINTERS)}", file=sys.stderr)
        return 2
    link_collection()
    with ThreadPoolExecutor(max_workers=2) as pool:
        failed = 0
        running = [pool.submit(run, name, commands) for name, commands in LINTERS.items() if not names or name in names]
        for future in running:
            result = future.result()
            print(f"{'ok    ' if result.ok else 'FAILED'} {result.name:<20} {result.seconds:5.1f} s", flush=True)
            if not result.ok:
                failed += 1
                print(shortened(result) or "it failed without a message", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
