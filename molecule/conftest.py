"""The nodes of a scenario's testnet, for testinfra, and the records of the runs on them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import testinfra
from testinfra.host import Host

from nodewise.testnet.ssh import options
from nodewise.testnet.state import Testnet, load

NET = load(os.environ["NODEWISE_TESTNET"])


@pytest.fixture(scope="module", params=NET.nodes, ids=lambda node: node.name)
def host(request: pytest.FixtureRequest) -> Host:
    """A node, as root, over the testnet's own shared connection: 0.04 s a command, where podman exec takes 0.4 s."""
    words = " ".join(options(NET))
    url = f"ssh://nodewise@{request.param.address}"
    return testinfra.get_host(url, ssh_identity_file=str(NET.key), ssh_extra_args=words, controlpersist=0, sudo=True)


@pytest.fixture(scope="session")
def net() -> Testnet:
    """The testnet itself."""
    return NET


@pytest.fixture
def records() -> list[Path]:
    """The records of the runs since the nodes were made, oldest first."""
    return sorted(Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"], "runs").iterdir())
