# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which lines and branches the tests ran, of src/nodewise and plugins/, in every process, modules on nodes of testnets included.

`python scripts/covering.py` merges what layers left (COVERAGE=1) and prints it. Exit 1 when fewer lines than expected were run.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import coverage

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build/coverage"
MODULES = """[run]
branch = true
parallel = true
include = */ansible_collections/nodewise/cluster/plugins/*
omit = */__init__.py
"""
# Nodes find the package where Debian's Python looks, and leave what they have at the path that it has on this machine.
PODMAN = """#!/bin/sh
[ "$1" = run ] || exec {podman} "$@"
shift
exec {podman} run --volume {package}:/usr/lib/python3/dist-packages/coverage:ro --volume {folder}:{folder} "$@"
"""
WORST = 10


def environment(layer: str) -> dict[str, str]:
    """The variables with which every Python that a layer's tests start is measured; modules, too, where nodes can be."""
    data = FOLDER / "data" / layer
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    variables = {
        "COVERAGE_PROCESS_START": str(ROOT / "pyproject.toml"),
        "COVERAGE_FILE": str(data / "process"),
        "NODEWISE_CHECKOUT": str(ROOT),
    }
    podman = shutil.which("podman")
    return variables if os.geteuid() or not podman else {**variables, **for_modules(data, podman)}  # sudo would not mind PATH


def for_modules(data: Path, podman: str) -> dict[str, str]:
    """The variables with which modules are measured, on this machine and on nodes, in which the package is mounted."""
    package = Path(coverage.__file__).parent
    for name in ("bin", "lib"):
        (FOLDER / name).mkdir(exist_ok=True)
    (FOLDER / "modules.ini").write_text(MODULES)
    (FOLDER / "lib/coverage").unlink(missing_ok=True)
    (FOLDER / "lib/coverage").symlink_to(package)
    (FOLDER / "bin/podman").write_text(PODMAN.format(podman=podman, package=package, folder=FOLDER))
    (FOLDER / "bin/podman").chmod(0o755)
    data.chmod(0o777)  # a module need not be root
    return {
        "PYTHONPATH": str(FOLDER / "lib"),
        "PATH": f"{FOLDER / 'bin'}:{os.environ['PATH']}",
        "_ANSIBLE_ANSIBALLZ_COVERAGE_CONFIG": json.dumps({"config": f"{FOLDER}/modules.ini", "output": f"{data}/module"}),
    }


def merge(sources: Iterable[Path], target: Path) -> coverage.Coverage:
    """One file of data from many; what a killed process has left half is passed over."""
    merged = coverage.Coverage(data_file=str(target), config_file=str(ROOT / "pyproject.toml"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", coverage.exceptions.CoverageWarning)
        merged.combine([str(path) for path in sources], keep=target.name == "all")
    merged.save()
    return merged


def gather(layer: str) -> None:
    """Merge the data of the many processes of a layer."""
    merge((FOLDER / "data" / layer).iterdir(), FOLDER / f"layer-{layer}")


def packages(files: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """Lines and branches by folder: how many there are, and how many were run."""
    found: dict[str, Counter[str]] = {}
    for name, file in files.items():
        found.setdefault(str(Path(name).parent), Counter()).update(
            {key: file["summary"][key] for key in ("num_statements", "covered_lines", "num_branches", "covered_branches")}
        )
    return dict(sorted(found.items()))


def share(part: int, whole: int) -> str:
    """A share in percent."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def table(files: Mapping[str, Any]) -> list[str]:
    """A row a folder, and one for all."""
    rows = packages(files)
    total: Counter[str] = sum(rows.values(), Counter())
    lines = [f"{'package':<40}{'lines':>8}{'run':>10}{'branches':>12}{'run':>10}"]
    for name, one in [*rows.items(), ("all", total)]:
        lines.append(
            f"{name:<40}{one['num_statements']:>8}{share(one['covered_lines'], one['num_statements']):>10}"
            f"{one['num_branches']:>12}{share(one['covered_branches'], one['num_branches']):>10}"
        )
    return lines


def gaps(files: Mapping[str, Any]) -> list[str]:
    """The lines that were not run, the worst file first: one line a file."""
    worst = sorted(files.items(), key=lambda one: len(one[1]["missing_lines"]), reverse=True)
    return [
        f"{len(file['missing_lines']):5}  {name}: {ranges(file['missing_lines'])}" for name, file in worst if file["missing_lines"]
    ]


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in short: 1-3, 7."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def report() -> tuple[list[str], bool]:
    """What all layers together ran, and whether it is enough; the whole list of gaps is in build/coverage/gaps.txt."""
    left = sorted(FOLDER.glob("layer-*"))
    if not left:
        return ["no layer has run with COVERAGE=1 yet"], False
    merged = merge(left, FOLDER / "all")
    merged.json_report(outfile=str(FOLDER / "coverage.json"))
    files = json.loads((FOLDER / "coverage.json").read_text())["files"]
    expected, total = float(merged.get_option("report:fail_under") or 0), sum(packages(files).values(), Counter())  # type: ignore[arg-type]
    reached = 100 * total["covered_lines"] / max(total["num_statements"], 1)
    missing = gaps(files)
    (FOLDER / "gaps.txt").write_text("\n".join([*missing, ""]))
    told = f"coverage of {', '.join(path.name.removeprefix('layer-') for path in left)}: {reached:.1f} % of lines"
    return [
        *table(files),
        "",
        f"not run most ({FOLDER.relative_to(ROOT)}/gaps.txt has all)",
        *(line[:100] for line in missing[:WORST]),
        "",
        f"{told}, expected at least {expected:.0f} %",
    ], reached >= expected


def main() -> int:
    """Print the report."""
    lines, enough = report()
    print("\n".join(lines))
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
