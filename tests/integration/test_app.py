# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real processes of a described service on this machine, asked as a node asks them: over HTTP, TCP, by commands and by files."""

from __future__ import annotations

import json
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.app.acting import perform
from ansible_collections.nodewise.cluster.plugins.module_utils.app.asking import Unanswered, ask
from ansible_collections.nodewise.cluster.plugins.module_utils.app.info import Observer, observe
from nodewise.model import Observation
from nodewise.systems.app.description import read
from nodewise.systems.app.example import release
from nodewise.systems.app.resolved import resolved

HOSTS = {"n1": {"ansible_host": "127.0.0.1"}, "n2": {"ansible_host": "127.0.0.2"}}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def greeter(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Starts a release of the example's service on all addresses of this machine; returns its port."""
    started: list[subprocess.Popen[bytes]] = []

    def start(version: str = "1.0.0", **change: str) -> int:
        program, settings, port = tmp_path / f"greeter-{len(started)}", tmp_path / "greeter.json", free_port()
        content = release(version, **change)
        program.write_bytes(content[512:].rstrip(b"\0"))
        settings.write_text('{"greeting": "Hello"}')
        command = [sys.executable, str(program), "--config", str(settings), "--port", str(port)]
        started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        until = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < until:
            time.sleep(0.05)
        return port

    yield start
    for process in started:
        process.kill()
        process.wait()


def access(port: int, **more: Any) -> dict[str, Any]:
    """The parameters of app_info for the service on a port."""
    page = {"http": {"port": port, "path": "/version"}}
    said = {
        "name": "greeter",
        "command": "{bin}/greeter",
        "any": {"wheels": "greeter=={version}"},
        "ready": {"http": {"port": port, "path": "/health"}, "says": "^ok$"},
        "version": {**page, "value": "version"},
        "started": {**page, "value": "started"},
        **more,
    }
    read(said)
    return {**resolved(said, HOSTS, "n1")["access"], "settled": {}, "deadline": 0.5}


def test_both_members_are_seen(greeter: Callable[..., int]) -> None:
    """Each serves, says its version and when it began, in the one shape; and is equal in what is compared."""
    port = greeter("1.4.2")
    state = {"http": {"port": port, "path": "/greet/x"}}
    seen = observe(access(port, state=state))["observation"]
    made = msgspec.convert(seen, Observation)
    assert [("n1", "1.4.2", True, []), ("n2", "1.4.2", True, [])] == [
        (one.name, one.version, one.serving, one.errors) for one in made.members
    ]
    assert ("1.4.2", None, None) == (made.cluster.version, made.cluster.leader, made.cluster.quorum)
    assert made.cluster.fingerprint
    assert all(one.started_at for one in made.members)


def test_a_member_that_is_not_there() -> None:
    """It does not serve, what it runs is unknown, and each question says why it has no answer."""
    (one, _other) = observe(access(free_port()))["observation"]["members"]
    assert (False, None, None) == (one["serving"], one["version"], one["started_at"])
    assert ["ready: http", "version: http", "started: http"] == [text[: text.index(":", 8)] for text in one["errors"]]
    assert all(text.endswith("connection refused") for text in one["errors"])


def test_states_that_differ(greeter: Callable[..., int]) -> None:
    """There is no fingerprint of the cluster, and each member has its own."""
    state = {"command": ["echo", "{address}"]}
    seen = observe(access(greeter(), state=state))["observation"]
    assert None is seen["cluster"]["fingerprint"]
    assert 2 == len({one["fingerprint"] for one in seen["members"]})


def test_what_is_waited_for(greeter: Callable[..., int]) -> None:
    """What is missing at the deadline is said."""
    found = observe({**access(greeter()), "settled": {"serving": True, "versions": {"n2": "2.0.0"}}})
    assert ["n2: runs 1.0.0, expected 2.0.0"] == found["missing"]


class Balancer(socketserver.StreamRequestHandler):
    """Answers a line, as the runtime API of HAProxy does, and keeps the line open where it is told to."""

    def handle(self) -> None:
        """One line, one answer."""
        line = self.rfile.readline().decode().strip()
        begins = "HTTP/1.0 200 OK\r\n\r\n" if line.startswith("GET") else f"asked: {line}\nservers/n1 UP 0\n"
        self.wfile.write(begins.encode())
        self.wfile.flush()
        if line == "stay":
            time.sleep(1)
        while line == "drip" or line.startswith("GET /drip"):
            self.wfile.write(b"x")
            time.sleep(0.02)


@pytest.fixture
def balancer() -> Iterator[int]:
    """The port of one."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Balancer) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()


def question(**said: Any) -> dict[str, Any]:
    """A question as the filter writes it out."""
    base = {"host": "", "send": "", "path": "/", "scheme": "http", "method": "GET", "body": "", "headers": {}, "status": 200}
    empty = {"ca": "", "cert": "", "key": ""}
    filled = {key: {**base, **empty, **value} if key in ("http", "tcp") else value for key, value in said.items()}
    return {"value": None, "says": "", "timeout": 1.0, **filled}


MEMBER = {"name": "n1", "address": "127.0.0.1"}


@pytest.mark.parametrize("word", ["go", "stay"])
def test_over_tcp(word: str, balancer: int) -> None:
    """A line is sent and the answer read, whether the other end closes or not; a name in braces is the member's."""
    assert f"asked: {word}\nservers/n1 UP 0" == ask(question(tcp={"port": balancer, "send": word}), MEMBER, {})
    assert "0" == ask(question(tcp={"port": balancer, "send": word}, says=r"^servers/{name} UP (\d)$"), MEMBER, {})
    with pytest.raises(Unanswered, match="expected servers/n2"):
        ask(question(tcp={"port": balancer, "send": word}, says="servers/n2"), MEMBER, {})


@pytest.mark.parametrize("said", [{"tcp": {"send": "drip"}}, {"http": {"path": "/drip"}}])
def test_an_answer_that_never_ends(said: dict[str, dict[str, Any]], balancer: int) -> None:
    """It has as long as any answer, however little comes at a time."""
    ((kind, wanted),) = said.items()
    began = time.monotonic()
    with pytest.raises(Unanswered, match="no answer in time"):
        ask(question(**{kind: {"port": balancer, **wanted}}, timeout=0.3), MEMBER, {})
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"command": ["sh", "-c", "echo no >&2; exit 3"]}, "sh ends with 3: 'no'"),
        ({"command": ["/nowhere/program"]}, "/nowhere/program: No such file or directory"),
        ({"command": ["sleep", "9"], "timeout": 0.1}, "sleep did not end within 0.1 s"),
        ({"file": {"path": "/nowhere", "present": True}}, "/nowhere is not there"),
        ({"file": {"path": "/", "present": False}}, "/ is there"),
        (
            {"command": ["echo", "{}"], "value": {"type": "field", "children": [], "value": "a"}},
            "answers '{}', which has no such value",
        ),
        (
            {"command": ["echo", "text"], "value": {"type": "field", "children": [], "value": "a"}},
            "in which no value can be looked for",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_no_answer(said: dict[str, Any], why: str) -> None:
    """Why, in a few words."""
    with pytest.raises(Unanswered) as raised:
        ask(question(**said), MEMBER, {})
    assert why in str(raised.value)


def test_a_status_that_is_not_expected(greeter: Callable[..., int]) -> None:
    """Health may be green while requests fail: another status is no answer."""
    port = greeter(ANSWERS="500")
    assert "ok" == ask(question(http={"port": port, "path": "/health"}), MEMBER, {})
    with pytest.raises(Unanswered, match=r"answers 500 \('Hello, x!'\), expected 200"):
        ask(question(http={"port": port, "path": "/greet/x"}), MEMBER, {})


def acted(**said: Any) -> dict[str, Any]:
    """What app_act makes of its parameters."""
    return perform(
        {"what": "drain", "act": [], "until": [], "once": False, "deadline": 0.3, "member": MEMBER, "places": {}, **said}
    )


def test_a_drain_that_never_ends_is_named(tmp_path: Path) -> None:
    """After its deadline, with what is still to come."""
    there = question(file={"path": str(tmp_path / "left"), "present": True})
    with pytest.raises(Unanswered, match=r"drain: after 0.3 s it is still to come that .*/left is not there"):
        acted(until=[there])


def test_an_act_that_fails_is_named(tmp_path: Path) -> None:
    """Those before it were done, those after it were not."""
    first, last = (question(file={"path": str(tmp_path / name), "present": True}) for name in ("first", "last"))
    with pytest.raises(Unanswered, match="drain: act 2 of 3 failed: false ends with 1"):
        acted(act=[first, question(command=["false"]), last])
    assert ["first"] == [path.name for path in tmp_path.iterdir()]


def test_what_is_done_once(tmp_path: Path) -> None:
    """It is not done again where it shows that it was, and one that ran halfway is."""
    done, log = tmp_path / "done", tmp_path / "log"
    halfway = question(command=["sh", "-c", f"echo ran >> {log}; test -e {tmp_path}/able && touch {done}"])
    until = [question(file={"path": str(done), "present": True})]
    with pytest.raises(Unanswered, match="sh ends with 1"):
        acted(act=[halfway], until=until, once=True)
    (tmp_path / "able").touch()
    assert acted(act=[halfway], until=until, once=True)["changed"]
    lines = log.read_text()
    assert not acted(act=[halfway], until=until, once=True)["changed"]
    assert lines == log.read_text()


def test_a_member_that_was_left_drained(balancer: int, greeter: Callable[..., int]) -> None:
    """It is unfinished: a run that goes on takes it through its steps again."""
    servers = {"tcp": {"host": "127.0.0.1", "port": balancer, "send": "x"}, "says": "^servers/{name} UP"}
    drain = {"act": [servers], "undo": [servers], "back": [servers]}
    one, other = Observer(access(greeter(), drain=drain)).look()["members"]
    assert ({}, True) == (one["details"], other["details"]["unfinished"])
    assert json.dumps(other["details"]["drained"]).startswith('"says')
