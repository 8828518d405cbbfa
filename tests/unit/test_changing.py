"""What every module that changes a node goes through: lock, lease, check mode, the record of the step, its failures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.nodewise.cluster.plugins.module_utils.host import lock
from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.node import state
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import OPTIONS, changing

MODULES = Path(__file__).parents[2] / "plugins/modules"
# They change nodes outside of upgrades alone, or leave nothing that stays.
WITHOUT_A_LEASE = {
    "etcd_backup",
    "etcd_mixed_version_check",
    "fault",  # of test hosts, with a lock of its own
    "postgresql_amcheck",
    "postgresql_backup",
    "postgresql_mixed_version_check",
    "postgresql_setup",
    "release_wait",  # changes nothing
    "smoke_scripts",
}
Ended = tuple[int, dict[str, Any]]
Change = Callable[..., Ended]


@pytest.fixture
def change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Change:
    """Makes a change as a module does; returns the module's exit code and result."""
    monkeypatch.setattr(lock, "FOLDER", str(tmp_path / "run"))

    def run(act: Callable[[bool], dict[str, Any]], check: bool = False, **given: Any) -> Ended:
        with patch_module_args({**given, "_ansible_check_mode": check}):
            spec = {**OPTIONS, "deadline": {"type": "float", "default": 0.1}}
            module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
            with pytest.raises(SystemExit) as end:
                changing(module, act, "drain of n1", after=lambda _: {"seen": 1})
        return int(end.value.code or 0), json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A node that run a holds for an upgrade."""
    upgrade = {"plan": "p1", "kind": "upgrade", "to": "2", "path": ["2"], "from": "1", "cluster_version": "1"}
    given = {"run": "a", "who": "me", "controller": {}, "fence": 1, "ttl": 60.0, "over": [], "upgrade": upgrade}
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(lock, "FOLDER", str(tmp_path / "run"))
    assert state.change(str(tmp_path / "demo"), "taken", given, 0)["granted"]
    monkeypatch.undo()
    return str(tmp_path / "demo")


def lease(run: str) -> dict[str, Any]:
    """What a run gives to the modules that change a node."""
    return {"run": run, "fence": 1, "ttl": 60.0, "step": "drain"}


def test_a_change_is_kept_as_a_step_and_observed_after(change: Change, root: str) -> None:
    """The result has what was observed after it, and the node keeps that the step ended well."""
    assert (0, {"changed": True, "seen": 1}) == _said(change(lambda dry: {"changed": not dry}, root=root, lease=lease("a")))
    assert [("drain", True)] == [(step["step"], step["ok"]) for step in state.read(root)["upgrade"]["steps"]]


def test_check_mode_asks_nobody_and_keeps_nothing(change: Change, root: str) -> None:
    """What would be changed is said, also while another run holds the node."""
    assert (0, {"changed": False, "seen": 1}) == _said(change(lambda dry: {"changed": not dry}, check=True, root=root))
    assert [] == state.read(root)["upgrade"]["steps"]


@pytest.mark.parametrize("given", [{}, {"lease": lease("b")}], ids=["no lease", "another's"])
def test_who_does_not_hold_the_node_changes_nothing(change: Change, root: str, given: dict[str, Any]) -> None:
    """The change is not made, and the holder is named."""
    made: list[bool] = []
    code, said = change(lambda dry: made.append(dry) or {"changed": True}, root=root, **given)
    assert (1, []) == (code, made)
    assert "run a of me" in said["msg"]


def test_a_failure_is_a_message_and_a_step_that_ended_ill(change: Change, root: str) -> None:
    """It is said in its own words, without a traceback."""

    def fail(_dry: bool) -> dict[str, Any]:
        raise Failure("the disk is full; nothing was changed")

    assert (1, "the disk is full; nothing was changed") == _message(change(fail, root=root, lease=lease("a")))
    assert [("drain", False)] == [(step["step"], step["ok"]) for step in state.read(root)["upgrade"]["steps"]]


def test_an_error_of_the_system_names_its_file(change: Change) -> None:
    """So that it can be found; without a root nobody is asked."""
    assert (1, "/nowhere: No such file or directory") == _message(change(lambda _: {"read": Path("/nowhere").read_text()}))


def test_every_module_that_changes_a_node_goes_through_it() -> None:
    """None takes the lock or judges a lease by itself; those that need none are listed."""
    text = {path.stem: path.read_text() for path in MODULES.glob("*.py")}
    on_nodes = {name for name, code in text.items() if "AnsibleModule(" in code and not name.endswith("_info")}
    through = {name for name in on_nodes if "changing(" in text[name]}
    assert WITHOUT_A_LEASE == on_nodes - through - {"lease", "sample"}
    assert [] == [name for name in on_nodes if "fenced(" in text[name] or "held(" in text[name]]


def _said(ended: Ended) -> Ended:
    return ended[0], {key: value for key, value in ended[1].items() if key != "invocation"}


def _message(ended: Ended) -> tuple[int, str]:
    return ended[0], ended[1]["msg"]
