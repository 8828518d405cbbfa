"""The same homes, names and command as the system tests have."""

from tests.system.conftest import cli, new_name, testnet_home

__all__ = ["cli", "new_name", "testnet_home"]
