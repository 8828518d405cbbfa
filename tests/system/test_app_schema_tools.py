# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Migration tools as they are, each in an upgrade of a service with one member: Sqitch, Liquibase and dbmate.

golang-migrate, Flyway and pgroll are not to be had here: see tests/integration/test_app_schema_tools.py.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import tests.migrations as written
from tests.orders import release_of
from tests.system.app_cluster import made
from tests.system.orders_cluster import DATABASE, LIVE, PASSWORD, Orders, described, reason

pytestmark = pytest.mark.slow

CLASSES = "{release}/files/liquibase/*"
LIQUIBASE = f"java -cp {CLASSES} liquibase.integration.commandline.LiquibaseCommandLine update --changelog-file=db/changelog.xml"
JDBC = "jdbc:postgresql://database/orders?options=-c%20lock_timeout=2000&ApplicationName=orders"
DBMATE = "{release}/files/dbmate --no-dump-schema --url {database}"


def liquibase(files: Path) -> None:
    """Put its classes into a release."""
    if not shutil.which("npm"):
        pytest.skip("Liquibase is in a package for npm, which is not here")
    subprocess.run(["npm", "pack", "--silent", "liquibase@4.28.1"], cwd=files, check=True, stdout=subprocess.DEVNULL)
    (packed,) = files.glob("*.tgz")
    (files / "liquibase").mkdir()
    wanted = ("liquibase-core", "postgresql", "picocli", "opencsv", "commons-", "snakeyaml", "jaxb")
    with tarfile.open(packed) as archive:
        for one in archive:
            name = Path(one.name).name
            if "/internal/lib/" in one.name and name.startswith(wanted):
                one.name = name
                archive.extract(one, files / "liquibase", filter="data")
    packed.unlink()


def dbmate(files: Path) -> None:
    """Put its program into a release."""
    shutil.copy(Path(sys.executable).with_name("dbmate"), files)


class Tool(NamedTuple):
    """What nodes need, what a release has of it, what nodewise_schema says, and what a run is refused for, in which words."""

    packages: str
    program: Callable[[Path], None]
    said: dict[str, Any]
    bad: Callable[[Orders, Path], None]
    says: str


def changed(_orders: Orders, files: Path) -> None:
    """The file of what was applied is another one."""
    (files / "deploy/create.sql").write_text("create table orders (id bigint);\n")


def locked(orders: Orders, _files: Path) -> None:
    """As one that was killed leaves it."""
    orders.sql("update databasechangeloglock set locked = true, lockgranted = now(), lockedby = 'n9 (10.0.0.9)'")


def drops(_orders: Orders, files: Path) -> None:
    """Before every member runs the release."""
    (files / "db/migrate/00000000000009_bad.sql").write_text("-- migrate:up\ndrop table orders;\n")


TOOLS = {
    "sqitch": Tool(
        "sqitch libdbd-pg-perl",
        lambda _files: None,
        {
            "expand": "sqitch deploy --to @expand db:{database}",
            "contract": "sqitch deploy db:{database}",
            "environment": {"SQITCH_FULLNAME": "Orders", "SQITCH_EMAIL": "orders@example.org"},
        },
        changed,
        "orders:create was applied, and 1.1.0 ships another file of that name",
    ),
    "liquibase": Tool(
        "default-jre-headless",
        liquibase,
        {
            "expand": f"{LIQUIBASE} --label-filter=expand",
            "contract": LIQUIBASE,
            "environment": {
                "LIQUIBASE_COMMAND_URL": JDBC,
                "LIQUIBASE_COMMAND_USERNAME": "orders",
                "LIQUIBASE_COMMAND_PASSWORD": "{{ vault_orders }}",
            },
        },
        locked,
        "no_stale_locks: the tool's own lock is held",
    ),
    "dbmate": Tool(
        "ca-certificates",
        dbmate,
        {
            "expand": f"{DBMATE} -d db/migrate up",
            "contract": f"{DBMATE} -d db/post_migrate up",
            "folder": "db/migrate",
            "post_folder": "db/post_migrate",
        },
        drops,
        "00000000000009 takes away what running members may need [ban-drop-table]: drop table orders;",
    ),
}


@pytest.mark.parametrize("name", list(TOOLS))
def test_a_tool(name: str, testnet_home: Path, tmp_path: Path) -> None:  # noqa: ARG001  (in that home)
    """A service is made, a bad release of it is refused, and a good one goes through expand, roll and contract."""
    tool = TOOLS[name]

    def release(version: str, last: int, more: Callable[[Path], None] = lambda _files: None) -> dict[str, Any]:
        def fill(files: Path) -> None:
            getattr(written, name)(files, last)
            tool.program(files)
            more(files)

        return release_of(tmp_path, version, fill)

    variables = described({"1.0.0": release("1.0.0", 1), "1.1.0": release("1.1.0", 3)})
    (tmp_path / "runs").mkdir()
    with made(Orders, tmp_path / "runs", variables, nodes=1) as orders:
        here = DATABASE.replace("HOST", orders.names[0]).replace("ADDRESS", orders.net.nodes[0].address)
        orders.everywhere(here.replace("alembic", tool.packages))
        url = f"postgresql://orders@{orders.net.nodes[0].address}/orders?sslmode=disable"
        said = {"database": url, "password": "vault_orders", **tool.said}
        # dbmate's upgrade is run on the controller, which has no release of it; the others' on the member.
        said["runs_on"] = "controller" if name == "dbmate" else "node"
        first = {"runs_on": "node", "migrate": tool.said["contract"].replace("post_migrate", "migrate")}
        ended = orders.play("provision", nodewise_schema={**said, "expand": "", "contract": "", **first})
        assert 0 == ended.code, ended.said
        assert "id name" == orders.sql(LIVE)
        bad = release("1.1.0", 3, lambda files: tool.bad(orders, files))
        ended = orders.upgrade(nodewise_schema=said, nodewise_releases={"1.1.0": bad})
        assert ("refused", "id name") == (ended.outcome, orders.sql(LIVE)), ended.said
        assert tool.says in reason(ended)
        if name == "liquibase":
            orders.sql("update databasechangeloglock set locked = false")
        ended = orders.upgrade(nodewise_schema=said)
        assert ("upgraded", {"1.1.0"}) == (ended.outcome, orders.versions()), ended.said
        assert "id first last" == orders.sql(LIVE)
        assert PASSWORD not in "".join(
            path.read_text() for path in orders.runs.rglob("*") if path.is_file() and path.suffix != ".tar"
        )
