"""What production asks for: its plan rehearsed on a testnet, and an upgrade that is refused until it was."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nodewise.testnet import state
from tests.system.etcd_cluster import NEW, OLD, Cluster

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(etcd: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Three members that stand for production, and a controller with a key of its own."""
    monkeypatch.setenv("NODEWISE_REHEARSAL_KEY", str(tmp_path / "rehearsal.key"))
    return etcd.reset()


def gates(name: str) -> dict[str, dict[str, str]]:
    """A gate of the inventory's own, which the testnet has to have as well."""
    return {name: {"that": "now.cluster.quorum != `null`", "fail_msg": "there is no quorum"}}


def rehearse(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`nodewise rehearse`, to its end; its runs are kept in a folder."""
    command = [str(Path(sys.executable).with_name("nodewise")), "rehearse", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)


def test_production_asks_for_a_rehearsal(cluster: Cluster, new_name: Callable[[], str], tmp_path: Path) -> None:
    """Refused with the command; rehearsed, with the inventory's gate; then it is let through, and nothing else is."""
    asked = {"nodewise_require_rehearsal": "7d", "nodewise_rehearsals": str(tmp_path / "kept"), "nodewise_gates": gates("mine")}
    assert "nodewise rehearse --plan RUN" in cluster.refuse(**asked)
    planned = cluster.play("upgrade", "--check", **cluster.given(**asked))
    assert ("planned", 0) == (planned.outcome, planned.code), planned.said
    name = new_name()
    done = rehearse(tmp_path, "--plan", str(planned.folder), "--to", str(tmp_path / "kept"), "--name", name, "--seed", "4711")
    assert 0 == done.returncode, done.stdout + done.stderr
    assert state.find(name) is None
    (path,) = (tmp_path / "kept").iterdir()
    said = json.loads(path.read_text())
    assert ("valid", path.stem, NEW) == (said["verdict"], said["digest"], said["to"])
    assert ["quiet"] == [one["scenario"] for one in said["trials"]]
    # The files that etcd allocates ahead are more than the most that is made up.
    assert [True] == ["the testnet has 64 MiB of made-up values" in gap for gap in said["gaps"] if gap.startswith("data: ")]
    summary = json.loads((tmp_path / "runs" / said["trials"][0]["run"] / "summary.json").read_text())
    assert ("volume", "valid") in [(one["checker"], one["verdict"]) for one in summary["checkers"]]
    assert {OLD} == cluster.versions()  # production was not touched
    forged = {**said, "signature": "0" * len(said["signature"])}
    path.write_text(json.dumps(forged))
    assert "its signature does not fit" in cluster.refuse(**asked)
    path.write_text(json.dumps(said))
    assert "has no rehearsal of release" in cluster.refuse(**{**asked, "nodewise_gates": gates("other")})  # it is another release
    ended = cluster.upgrade(**asked)
    assert ("upgraded", 0) == (ended.outcome, ended.code), ended.said
