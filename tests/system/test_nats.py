# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""NATS JetStream, which Nodewise knows nothing of: three members described by YAML alone, upgraded while somebody publishes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Self

import nats
import pytest
import yaml

from tests.system.app_cluster import Described, made

DESCRIBED = Path(__file__).with_name("nats.yml")
STREAM = "orders"


class Nats(Described):
    """Three members with one stream on all of them."""

    unit: ClassVar[str] = "nats"
    old: ClassVar[str] = "2.10.25"
    new: ClassVar[str] = "2.15.1"

    def version(self, node: str) -> str:
        """What the process says."""
        return str(json.loads(self.get(node, 8222, "/varz"))["version"])

    @property
    def servers(self) -> list[str]:
        """Where clients go."""
        return [f"nats://{node.address}:4222" for node in self.net.nodes]


class Publisher:
    """Publishes numbers, one after the other, each again until it is acknowledged."""

    def __init__(self, servers: list[str]) -> None:
        self.servers = servers
        self.acknowledged: list[int] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._end.set()
        self._thread.join(60)

    async def _run(self) -> None:
        client = await nats.connect(self.servers, max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=expected)
        stream = client.jetstream(timeout=2)
        number = 0
        while not self._end.is_set():
            try:
                await stream.publish(STREAM, str(number).encode(), headers={"Nats-Msg-Id": str(number)})
            except (nats.errors.Error, OSError):
                await asyncio.sleep(0.1)
                continue
            self.acknowledged.append(number)
            number += 1
            await asyncio.sleep(0.1)
        await client.close()


async def expected(_problem: Exception) -> None:
    """A member is restarted; whoever loses its connection goes to another one."""


async def make_stream(servers: list[str]) -> None:
    """A stream whose every message is on all members."""
    client = await nats.connect(servers)
    await client.jetstream(timeout=10).add_stream(name=STREAM, subjects=[STREAM], num_replicas=3)
    await client.close()


async def read(servers: list[str]) -> list[int]:
    """All that is in the stream, in order."""
    client = await nats.connect(servers)
    stream = client.jetstream(timeout=10)
    count = (await stream.stream_info(STREAM)).state.messages
    consumer = await stream.subscribe(STREAM, ordered_consumer=True)
    found = [int((await consumer.next_msg(timeout=10)).data) for _ in range(count)]
    await client.close()
    return found


@pytest.fixture(scope="module")
def three(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:  # noqa: ARG001  (in that home)
    """Three members with an empty stream."""
    with made(Nats, tmp_path_factory.mktemp("runs"), yaml.safe_load(DESCRIBED.read_text())) as cluster:
        asyncio.run(make_stream(cluster.servers))
        yield cluster


@pytest.mark.slow
def test_two_upgrades_under_publishing(three: Nats) -> None:
    """2.10, 2.12, 2.15 and back: the members' streams are compared after each, and no acknowledged message is lost."""
    with Publisher(three.servers) as publisher:
        ended = three.upgrade(nodewise_upgrade_path=["2.12.8"])
        assert ("upgraded", {"2.15.1"}) == (ended.outcome, three.versions()), ended.said
        assert ["2.12.8", "2.15.1"] == [hop["to"] for hop in yaml.safe_load((ended.folder / "plan.yaml").read_text())["hops"]]
        back = three.rollback()
        assert ("rolled_back", {"2.12.8"}) == (back.outcome, three.versions()), back.said
    gates = [record for record in ended.journal("gate", "end") if record["gate"] == "fingerprints_equal"]
    assert 7 <= len(gates)  # before it, and after each member of both hops
    assert len(publisher.acknowledged) > 50
    assert publisher.acknowledged == asyncio.run(read(three.servers))
