"""What the role left on a node: users that services run as."""

from __future__ import annotations

import pytest
from testinfra.host import Host

USERS = {"hello": "/nonexistent", "world": "/var/lib/nodewise/world"}


@pytest.mark.parametrize(("name", "home"), USERS.items())
def test_the_user_is_a_system_user_with_a_group_of_its_name(host: Host, name: str, home: str) -> None:
    """Its number is one that no person gets, and its home is the one that was asked for."""
    user = host.user(name)
    assert (True, name, home) == (user.uid < 1000, user.group, user.home)


@pytest.mark.parametrize("name", USERS)
def test_nobody_logs_in_as_the_user(host: Host, name: str) -> None:
    """It has no shell and no password."""
    assert "/usr/sbin/nologin" == host.user(name).shell
    assert host.user(name).password.startswith(("!", "*"))
    assert host.run(f"su - {name} -c true").failed


@pytest.mark.parametrize("home", USERS.values())
def test_its_home_is_not_made(host: Host, home: str) -> None:
    """The folder is for the system's own role to make, with the mode that its data needs."""
    assert not host.file(home).exists
