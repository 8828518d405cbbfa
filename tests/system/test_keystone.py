# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""OpenStack Keystone with its own migrations, behind HAProxy, on PostgreSQL with Patroni, under tokens: tests go in order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.keystone_cluster import Answer, Keystone, Tokens, made

pytestmark = pytest.mark.slow

MANAGE = "/opt/nodewise/keystone/releases/25.0.0/bin/keystone-manage"
DATABASE = "PGPASSWORD=$(sed -n 's/^PGPASSWORD=\"\\(.*\\)\"/\\1/p' /etc/nodewise/keystone/secrets.env)"
# What 24.1.0's own contract drops.
LEFT = """select string_agg(conname, ' ' order by conname) from pg_constraint
where conname in ('access_rule_external_id_key', 'duplicate_trust_constraint_expanded')"""
BEFORE, BETWEEN, AFTER = ["11c3b243b4cb", "e25ffa003242"], ["47147121", "e25ffa003242"], ["47147121", "c88cdce8f248"]


@pytest.fixture(scope="module")
def three(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:  # noqa: ARG001  (in that home)
    """Three members of 24.1.0."""
    with made(tmp_path_factory.mktemp("keystone")) as three:
        yield three


def test_a_check_that_lies(three: Keystone) -> None:
    """Keystone says that there is nothing to do, so the command does nothing and ends with 0; the revision that lacks is found."""
    assert BEFORE == three.revisions()
    starts = three.starts()
    believing = "sh -c '{bin}/keystone-manage db_sync --check || {bin}/keystone-manage db_sync --expand'"
    ended = three.upgrade(nodewise_schema=three.schema(expand=believing))
    assert ("paused", "step_failed") == (ended.outcome, ended.summary["reason_code"]), ended.said
    why = str(ended.summary["reason"])
    assert "expand ended with 0, and the database is at 11c3b243b4cb, e25ffa003242; 25.0.0 ships" in why, ended.said
    assert "47147121" in why
    assert "0" == three.root(three.names[0], f"{DATABASE} {MANAGE} db_sync --check >&2; echo $?")
    assert ({"24.1.0"}, starts, BEFORE) == (three.versions(), three.starts(), three.revisions())


def mixed(client: Tokens) -> set[tuple[str, str]]:
    """The members of different releases of which one validated what the other had issued."""
    return {(pair.issuer, pair.validator) for pair in client.pairs if pair.issued_by != pair.validated_by}


def test_a_roll_under_tokens(three: Keystone) -> None:
    """Expand and roll, then it waits for a yes; back, and again. Tokens are valid on members of either release at each batch."""
    every = set(itertools.permutations(three.urls, 2))
    old = Answer(three.urls[0], three.secrets)
    with Tokens(three) as client:
        ended = three.upgrade(nodewise_approve="")
    assert ("paused", "approval_needed") == (ended.outcome, ended.summary["reason_code"]), ended.said
    assert "when the old shape of the schema is dropped" in str(ended.summary["reason"])
    assert ({"25.0.0"}, BETWEEN) == (three.versions(), three.revisions())
    assert "access_rule_external_id_key duplicate_trust_constraint_expanded" == three.sql(LEFT)
    assert "the contract of 25.0.0 waits" in three.play("status").said
    assert ([], every) == (client.bad, mixed(client))
    assert client.good > 100
    new = Answer(three.urls[0], three.secrets)
    with Tokens(three) as client:
        ended = three.rollback()
    assert ("rolled_back", {"24.1.0"}, BETWEEN) == (ended.outcome, three.versions(), three.revisions()), ended.said
    assert ([], every) == (client.bad, mixed(client))
    for url, token in itertools.product(three.urls, (old.token, new.token)):
        assert "24.1.0" == Answer(url, three.secrets, token).release


def test_contract(three: Keystone) -> None:
    """With a yes the upgrade goes to its end, under tokens."""
    with Tokens(three) as client:
        ended = three.upgrade()
    assert ("upgraded", {"25.0.0"}, AFTER) == (ended.outcome, three.versions(), three.revisions()), ended.said
    assert "" == three.sql(LEFT)
    assert [] == client.bad
    said = "".join(path.read_text() for path in three.runs.rglob("*") if path.is_file() and path.suffix not in (".tar", ".yml"))
    assert not [name for name, secret in three.secrets.items() if secret in said]
