# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows about hot paths of the engine: processor time of a pass, each sample by a process of its own.

Beside them stand the same rows by the code of an earlier commit, when one is given: both are measured in turns, on this machine.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec

from nodewise.bench import earlier
from nodewise.bench.figures import Row
from nodewise.bench.paths import paths
from nodewise.errors import SetupError
from nodewise.testnet import tools
from nodewise.testnet.home import checkout

LONGEST = 300  # seconds of one sample


class Sampled(msgspec.Struct):
    """What a process of nodewise.bench.sampling prints."""

    checkout: str
    sample: tuple[float, float] | None


class Micro:
    """All hot paths; `before` are the same rows by the code of an earlier commit, where one is given."""

    def __init__(self, folder: Path, commit: str | None = None) -> None:
        self.rows, self.before = _rows(), _rows() if commit else []
        self._commit = commit
        self._earlier = folder / "earlier"

    def limit(self, names: AbstractSet[str]) -> None:
        """Leave all other rows out."""
        self.rows, self.before = ([row for row in side if row.name in names] for side in (self.rows, self.before))

    def prepare(self) -> None:
        """Unpack the earlier code."""
        if self._commit:
            earlier.unpack(self._commit, self._earlier)

    def round(self, number: int) -> None:  # noqa: ARG002  (all rounds are alike)
        """Two samples of each row. With earlier code: now, before, before, now, so that what drifts meets both alike."""
        for row in self.rows:
            sides = [(checkout(), row), *((self._earlier, before) for before in self.before if before.name == row.name)]
            for root, one in [*sides, *reversed(sides)]:
                measure(root, one)

    def clean(self) -> None:
        """Remove the earlier code."""
        shutil.rmtree(self._earlier, ignore_errors=True)


def _rows() -> list[Row]:
    return [Row(path.name, path.what, "ms", "value", path.limit) for path in paths()]


def measure(root: Path, row: Row) -> None:
    """Add a sample of a row by the code of a checkout; none where that has no such row. SetupError when it cannot be measured."""
    if not (root / "src/nodewise/bench/sampling.py").exists():
        return
    settings = [f"--chdir={root}", f"PYTHONPATH={root / 'src'}", "PYTHONHASHSEED=0"]
    done = tools.run(["env", *settings, sys.executable, "-m", "nodewise.bench.sampling", row.name], timeout=LONGEST, check=False)
    if done.returncode:
        raise SetupError(f"{row.name} cannot be measured by the code in {root}: {tools.last_line(done.stderr or done.stdout)}")
    found = msgspec.json.decode(done.stdout, type=Sampled)
    if Path(found.checkout) != root.resolve():
        raise SetupError(f"{row.name} was measured in {found.checkout}, expected {root}: is another nodewise on PYTHONPATH?")
    if found.sample:
        row.nodewise.append(found.sample[0])
        row.calibration.append(found.sample[1])
