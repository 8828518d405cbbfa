"""Refusals that come of rare things: what was found is named, and nothing begins."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible import context

from ansible_collections.nodewise.cluster.plugins.action import begin
from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import NodewiseError
from nodewise.errors import Refused
from nodewise.record.run import Run
from nodewise.record.summary import decide
from nodewise.releases import debian, pypi
from nodewise.smoke import session
from nodewise.upgrade import backups, plan
from nodewise.upgrade.declared import declaration
from nodewise.upgrade.preflight import refuse_unready

ROOT = Path(__file__).parents[2]
BACKEND = """
import zipfile

NAME = "impure-1-cp311-cp311-linux_x86_64.whl"

def build_wheel(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(f"{folder}/{NAME}", "w") as wheel:
        wheel.writestr("impure-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: impure\\nVersion: 1\\n")
        wheel.writestr("impure-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: cp311-cp311-linux_x86_64\\n")
        wheel.writestr("impure-1.dist-info/RECORD", "")
    return NAME
"""


def test_a_backup_of_an_unknown_version(tmp_path: Path) -> None:
    """A backup whose run never saw the version that wrote it is refused until the operator says it."""
    run = Run.create(tmp_path / "run", kind="upgrade", cluster="demo")
    (tmp_path / "run/backup").mkdir()
    (made := tmp_path / "run/backup/n2.db").touch()
    sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    run.note("backup", backup={"copy": str(made), "sha256": sha256, "size": 0, "revision": 1})
    with pytest.raises(Refused, match="does not say which version ran"):
        backups.find(made)


def test_nodes_of_two_architectures() -> None:
    """One release is for one architecture; nodes of several are named by theirs."""
    with pytest.raises(Refused, match=r"\(aarch64, x86_64\)"):
        plan.architecture({"n1": {"machine": "x86_64"}, "n2": {"machine": "aarch64"}})


@pytest.mark.parametrize(("text", "expected"), [(None, "declares no upgrade"), ("steps: 1", "cannot be read")])
def test_a_role_without_a_declaration(tmp_path: Path, text: str | None, expected: str) -> None:
    """A role that declares no upgrade, or one that cannot be read, is named with the file that is expected."""
    if text:
        (tmp_path / "meta").mkdir()
        (tmp_path / "meta/upgrade.yml").write_text(text)
    with pytest.raises(Refused, match=f"{expected}.*") as refused:
        declaration(tmp_path)
    assert str(tmp_path / "meta/upgrade.yml") in str(refused.value)


def test_a_group_that_was_not_observed() -> None:
    """A quorum group that nobody observed is not ready."""
    with pytest.raises(Refused, match="g2 was not observed"):
        refuse_unready(declaration(ROOT / "roles/etcd"), {}, {"g2": ["n1"]})


def test_no_room_for_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions of one suite are numbered; when the numbers are used up, no session is overwritten."""
    monkeypatch.setattr(session, "range", lambda *_: range(1, 3), raising=False)
    assert ["etcd", "etcd.2"] == [session._own_folder(tmp_path, "etcd") for _ in range(2)]
    with pytest.raises(Refused, match="no room for another session of etcd"):
        session._own_folder(tmp_path, "etcd")


@pytest.mark.parametrize(
    ("line", "expected"),
    [("exit 0", "apt has no index of Debian's main archive"), ("exec sleep 9", "apt-get indextargets did not end within")],
)
def test_an_apt_of_no_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, expected: str) -> None:
    """An apt that knows no archive of Debian's, or that hangs, is named, with what to do instead."""
    (apt := tmp_path / "apt-get").write_text(f"#!/bin/sh\n{line}\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    run = subprocess.run
    monkeypatch.setattr(debian.subprocess, "run", lambda command, **words: run(command, **{**words, "timeout": 1}))
    with pytest.raises(Refused, match=f"{expected}(.|\n)*give nodewise_releases"):
        debian._mirror()


def test_a_pip_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pip that does not end is given up, with what it was asked for."""
    monkeypatch.setattr(pypi, "PIP_S", 0.01)
    with pytest.raises(Refused, match=r"pip did not end within 0\.01 s over its version"):
        pypi._pip(["--version"], "its version")


def test_a_wheel_for_this_machine_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources whose wheel fits only the machine on which it was built are refused, and the wheel is not kept."""
    project = {"pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'}
    with tarfile.open(tmp_path / "impure-1.tar.gz", "w:gz") as sources:
        for name, text in {**project, "backend.py": BACKEND, "PKG-INFO": "Name: impure\nVersion: 1\n"}.items():
            (member := tarfile.TarInfo(f"impure-1/{name}")).size = len(text)
            sources.addfile(member, io.BytesIO(text.encode()))
    here: dict[str, Any] = {"NODEWISE_HOME": tmp_path / "home", "PIP_FIND_LINKS": tmp_path, "PIP_NO_INDEX": 1}
    for name, value in here.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(Refused, match="was built for this machine alone"):
        pypi._built("impure==1")
    assert [] == list((tmp_path / "home").rglob("*.whl"))


def test_a_run_that_ended_before_it_began(tmp_path: Path) -> None:
    """A run that ends before any node was changed, and decided nothing, is refused, and no good outcome."""
    run = Run.create(tmp_path / "run", kind="upgrade", cluster="demo")
    run.begin("probe")
    decide(run)
    assert ("refused", "the run ended before anything was changed; the reason is above") == run.outcome()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"tags": ["switch"]}, "--tags: "),
        ({"skip_tags": ["backup"]}, "--skip-tags: "),
        ({"start_at_task": "Plan"}, "--start-at-task: "),
        ({"step": True, "tags": ["all"]}, "--step: "),
        ({"skip_tags": ["molecule-notest", "notest", "backup"]}, "--skip-tags: "),
        ({"step": True, "skip_tags": ["a"]}, "--skip-tags and --step: "),
    ],
)
def test_a_part_that_would_be_left_out(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], says: str) -> None:
    """Each option of ansible-playbook that leaves out tasks is refused by its name."""
    monkeypatch.setattr(context, "CLIARGS", given)
    with pytest.raises(NodewiseError, match=f"^{says}no part of this playbook may be left out"):
        begin.refuse_settings()


@pytest.mark.parametrize(
    "skipped", [[], ["molecule-notest", "notest"], ["molecule-notest", "notest", "molecule-idempotence-notest"]]
)
def test_a_whole_playbook(monkeypatch: pytest.MonkeyPatch, skipped: list[str]) -> None:
    """What selects everything is no reason against it, nor are the tags that molecule leaves out in every scenario."""
    monkeypatch.setattr(context, "CLIARGS", {"tags": ["all", "always"], "skip_tags": skipped, "step": False})
    begin.refuse_settings()
