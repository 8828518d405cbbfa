"""Testnets for tests: names that nobody has, in a home of the test run's own, all removed at its end."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nodewise.testnet import lifecycle, state
from nodewise.testnet.home import checkout
from nodewise.testnet.request import Request
from tests.hooks import pytest_addoption, pytest_collection_modifyitems, pytest_configure
from tests.records import pytest_runtest_makereport, pytest_runtest_protocol

__all__ = [
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_runtest_makereport",
    "pytest_runtest_protocol",
]

if TYPE_CHECKING:
    from tests.system.cluster import Cluster

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = [str(Path(sys.executable).with_name("testnet"))]


@pytest.fixture(scope="session")
def testnet_home() -> Iterator[Path]:
    """The home of the test run, as NODEWISE_HOME; whatever is up in it at the end is removed."""
    home = Path(tempfile.mkdtemp(prefix="home"))  # a path that is short enough for sockets
    for kept in (
        "apt",
        "pypi",
        "staged",
    ):  # what was looked up stays: a mirror's index, wheels and releases are the same for every run
        (checkout() / ".cache" / kept).mkdir(parents=True, exist_ok=True)
        (home / kept).symlink_to(checkout() / ".cache" / kept)
    os.environ["NODEWISE_HOME"] = str(home)
    yield home
    subprocess.run([*COMMAND, "down", "--all"], check=True)
    shutil.rmtree(home)
    del os.environ["NODEWISE_HOME"]


@pytest.fixture
def new_name(testnet_home: Path) -> Iterator[Callable[[], str]]:  # noqa: ARG001  (names are for testnets in that home)
    """Makes names of testnets; those that are up after the test are removed."""
    names: list[str] = []

    def new() -> str:
        names.append(f"t{secrets.token_hex(3)}")
        return names[-1]

    yield new
    for name in names:
        lifecycle.down(name)


@pytest.fixture(scope="session")
def cli(testnet_home: Path) -> Run:  # noqa: ARG001  (commands run in that home)
    """Runs `testnet` with words, to its end."""

    def run(*words: str, timeout: float = 300, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=timeout, check=False, **options)  # type: ignore[call-overload,no-any-return]

    return run


@pytest.fixture(scope="session")
def pair(testnet_home: Path) -> Iterator[state.Testnet]:  # noqa: ARG001  (is made in that home)
    """Two nodes, for tests that only look."""
    made = lifecycle.up(Request(f"t{secrets.token_hex(3)}", nodes=2))
    yield made
    lifecycle.down(made.name)


@pytest.fixture(scope="session")
def etcd(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:  # noqa: ARG001  (in that home)
    """Three members that the tests of a process share. Who takes it resets it first."""
    from tests.system.etcd_cluster import made  # noqa: PLC0415  (unit tests need none)

    with made(tmp_path_factory.mktemp("etcd")) as three:
        yield three


@pytest.fixture(scope="session")
def postgresql(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:  # noqa: ARG001  (in that home)
    """Three members under Patroni that the tests of a process share. Who takes it resets it first."""
    from tests.system.postgresql_cluster import QUICK, made  # noqa: PLC0415  (unit tests need none)

    with made(tmp_path_factory.mktemp("postgresql"), nodewise_patroni=QUICK) as three:
        yield three
