"""A reboot that does not happen: the node is another start of itself already, or the command before it failed."""

from __future__ import annotations

import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.node import rebooting
from ansible_collections.nodewise.cluster.plugins.module_utils.node.info import boot


def test_a_node_that_has_rebooted_is_left_alone() -> None:
    """So that asking again after a connection was cut reboots nobody twice."""
    assert not rebooting.reboot("another start", "exit 1", 5.0)["changed"]


def test_what_would_be_done() -> None:
    """In check mode the command is not run."""
    assert rebooting.reboot(boot(), "exit 1", 5.0, dry=True)["changed"]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("echo E: broken >&2; exit 100", "ended with 100 and said last: E: broken. The node was not rebooted"),
        ("exit 3", "ended with 3 and said last: nothing. The node was not rebooted"),
        ("sleep 9", "did not end within 0 s. The node was not rebooted"),
    ],
)
def test_a_command_that_fails(command: str, says: str) -> None:
    """It says with what, and nothing is rebooted."""
    with pytest.raises(rebooting.RebootError, match=says):
        rebooting.reboot(boot(), command, 0.2 if "sleep" in command else 5.0)
