"""Watching a real unit on a node with a real systemd and journal."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodewise.record.run import Run
from nodewise.testnet import lifecycle, state
from nodewise.testnet.inventory import tree
from nodewise.testnet.request import Request
from nodewise.upgrade import soak

pytestmark = pytest.mark.alone  # it counts requests in a time

ROOT = Path(__file__).resolve().parents[2]
SERVICE = """[Service]
ExecStart=/usr/bin/python3 -m http.server 8123
Environment=PYTHONUNBUFFERED=1
Restart=on-failure
RestartSec=100ms
"""
REQUEST = {"url": "http://127.0.0.1:8123", "paths": ["/no/such/path", "/etc/hostname"]}
WATCHED = {"unit": "demo", "request": REQUEST, "patterns": ["GET /etc/hostname", "never said"], "interval": 0.1}


class Host:
    """A node with a unit that serves and logs each request, and the action run on it."""

    def __init__(self, net: state.Testnet, folder: Path) -> None:
        self.net, self.folder = net, folder
        (folder / "inventory.json").write_text(json.dumps(tree([net])))
        self.run = Run.create(folder / "run", kind="upgrade", cluster="demo")

    def sample(self, name: str, extra: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
        """What the action returned."""
        words = ["-i", str(self.folder / "inventory.json"), self.net.name, "-b", "-t", str(self.folder / "answers")]
        words += ["-e", json.dumps({"nodewise_run": {"dir": str(self.run.folder)}, "nodewise_soak": 30, **(extra or {})})]
        words += ["-m", "nodewise.cluster.sample", "-a", json.dumps({"name": name, **WATCHED, **arguments})]
        subprocess.run([str(Path(sys.executable).with_name("ansible")), *words], cwd=ROOT, capture_output=True, check=False)
        said: dict[str, Any] = json.loads((self.folder / "answers" / self.net.nodes[0].name).read_text())
        return said

    def shell(self, line: str) -> None:
        """Have root do something on the node."""
        done = self.net.run("n1", f"sudo {line}")
        assert done.returncode == 0, done.stderr

    def once_asked(self, line: str) -> threading.Thread:
        """Have root do something on the node as soon as the unit was asked once more."""
        count = "count() { journalctl --unit demo | grep --count GET; }; asked=$(count)"
        wait = "until [ $(count) -gt $asked ]; do sleep 0.1; done"
        done = threading.Thread(target=self.shell, args=[f"sh -c '{count}; {wait}; {line}'"])
        done.start()
        return done


@pytest.fixture(scope="module")
def made(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:  # noqa: ARG001  (is made in that home)
    """A node with the unit."""
    net = lifecycle.up(Request(f"t{secrets.token_hex(3)}", nodes=1))
    try:
        host = Host(net, tmp_path_factory.mktemp("host"))
        host.shell(f"sh -c \"printf '{SERVICE}' > /etc/systemd/system/demo.service; systemctl daemon-reload\"")
        yield host
    finally:
        lifecycle.down(net.name)


@pytest.fixture
def host(made: Host) -> Host:
    """The node, on which the unit has just been started."""
    made.shell("sh -c 'systemctl restart demo; sleep 1'")
    return made


def test_a_healthy_unit(host: Host) -> None:
    """All is measured; lines are those of the sampled time alone, and the answer is in the journal and a fact."""
    host.sample("baseline", seconds=1)
    answer = host.sample("baseline", seconds=2)
    found = answer["sample"]
    assert ("", [], 0) == tuple(found[key] for key in ("ended", "errors", "restarts"))
    assert {"GET /etc/hostname": found["probe"]["count"], "never said": 0} == found["patterns"]
    assert 5 <= found["probe"]["count"] <= 20
    assert found["probe"]["p99_ms"] > 0
    assert {"nodewise_baseline": found} == answer["ansible_facts"]
    note = host.run.records("note")[-1]
    node = host.net.nodes[0].name
    assert (found, "baseline", node) == tuple(note[key] for key in ("sample", "name", "node"))
    assert note["text"].startswith(f"{node} baseline: probe p99 ")


@pytest.mark.parametrize(
    "line",
    [
        "systemctl kill -s KILL demo",
        *(pytest.param(f"systemctl {word} demo", marks=pytest.mark.slow) for word in ("stop", "restart")),
    ],
)
def test_a_unit_that_dies_in_the_soak(host: Host, line: str) -> None:
    """Stopped, killed or replaced, that is told within moments and is a regression; nobody waits for the end of the soak."""
    before = host.sample("baseline", seconds=1)["sample"]
    done = host.once_asked(line)
    began = time.monotonic()
    answer = host.sample("soak", {"nodewise_baseline": before}, seconds=60)
    done.join()
    assert time.monotonic() - began < 30
    assert "demo" in answer["sample"]["ended"]
    assert {"nodewise_soaked": answer["sample"]} == answer["ansible_facts"]
    assert (
        f"ended after {answer['sample']['seconds']:.1f} s: {answer['sample']['ended']}"
        == soak.regressions(before, answer["sample"])[0]
    )
    assert "not judged: no probe of your own" in host.run.records("note")[-1]["text"]


@pytest.mark.slow
def test_what_cannot_be_sampled(host: Host) -> None:
    """A unit that is none, a pattern that is none and a node that is not reached are samples of nothing, each with its reason."""
    unknown = host.sample("soak", unit="nope", seconds=1)["sample"]
    assert (None, None) == (unknown["restarts"], unknown["patterns"])
    assert ["unit nope is not-found" in unknown["errors"][0], "no line of nope.service" in unknown["errors"][1]] == [True, True]
    pattern = host.sample("soak", patterns=["("], seconds=1)["sample"]
    lost = host.sample("soak", {"ansible_host": "127.0.0.9"}, seconds=1)["sample"]
    for found, why in ((pattern, "the pattern '(' cannot be read"), (lost, "cannot be reached")):
        assert [None] * 4 == [found[key] for key in ("restarts", "probe", "command", "patterns")]
        assert why in found["errors"][0]
