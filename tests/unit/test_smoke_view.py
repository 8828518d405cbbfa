"""What `nodewise smoke` shows, and what it says to words that are off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from nodewise.record.run import Run
from nodewise.views.suites import Board

COMMAND = [str(Path(sys.executable).with_name("testnet")), "smoke"]


def test_the_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Suites by host: running, passed, or with the first failure; without a terminal it is a line each."""
    board = Board(Run(tmp_path))
    begun = {"kind": "step", "phase": "begin", "step": "smoke", "smoke": "s"}
    board.feed({"kind": "note", "phase": "end", "text": "s: 2 results expected of n1, n2", "smoke": "s", "digest": "d"})
    for node in ("n1", "n2", None):
        board.feed({**begun, "node": node})
    ended = {**begun, "phase": "end", "duration_s": 1.5}
    board.feed({**ended, "node": "n1", "ok": True})
    board.feed({**ended, "node": "n2", "ok": False, "error": "1 of 1 scripts of s, the first a: exit code 1"})
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123  nobody reads it
    console.print(board.table())
    shown = [line.split(maxsplit=2) for line in console.export_text().splitlines()[1:]]
    assert [["s", "controller", "running 0 s"], ["s", "n1", "passed, 1.5 s"]] == [[w.strip() for w in line] for line in shown[:2]]
    assert "the first a: exit code 1, 1.5 s" in shown[2][2]
    board.feed({**ended, "node": "n3", "ok": True, "tried": 0})
    assert board.cells["s", "n3"].plain == "nothing was tried, 1.5 s"
    assert ["s: 2 results expected of n1, n2", "  n1: passed, 1.5 s"] == capsys.readouterr().out.splitlines()[:2]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--name", "nosuch"], "no testnet named nosuch"),
        ([], "testnets with a cluster on them: none; name one"),
        (["--tier", "hardcore"], "invalid value for '--tier'"),
        (["-e", "nothing"], "expected KEY=VALUE"),
        (["--workers", "0"], "invalid value for '--workers'"),
    ],
)
def test_words_that_are_off(words: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are one line and exit code 2, and nothing is run."""
    monkeypatch.setenv("NODEWISE_HOME", str(tmp_path))
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert [2, True] == [done.returncode, expected in done.stderr]
    assert [] == list(tmp_path.glob("runs/*"))
