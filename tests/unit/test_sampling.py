"""Sampling: what is asked and counted, that a probe cannot take longer or more than it may, and that nothing is made up."""

from __future__ import annotations

import http.server
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import ENVIRONMENT
from ansible_collections.nodewise.cluster.plugins.module_utils.host.unit import State, UnitError
from ansible_collections.nodewise.cluster.plugins.module_utils.node import sampling

GIVEN: dict[str, Any] = {
    "unit": "demo",
    "seconds": 0.5,
    "interval": 0.05,
    "timeout": 2.0,
    "probe": ["true"],
    "secrets": {},
    "request": None,
    "command": "",
    "patterns": [],
}
RUNNING = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "Result": "success",
    "NRestarts": "0",
    "NeedDaemonReload": "no",
    "MainPID": "1",
    "ExecMainStartTimestampMonotonic": "1",
}
DEAD = {**RUNNING, "ActiveState": "failed", "SubState": "failed", "Result": "signal", "MainPID": "0"}
SILENT = "systemd does not say"


@pytest.fixture(autouse=True)
def _not_niced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own process keeps its priority."""
    monkeypatch.setattr(sampling.os, "nice", lambda _by: 0)


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str] | None]:
    """What systemd says of the unit, look after look, the last one for good; None is no answer."""
    answers: list[dict[str, str] | None] = [RUNNING]

    def loaded(_unit: object) -> State:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            raise UnitError(f"{SILENT}\nand more of that")
        return State(answer)

    monkeypatch.setattr(sampling.Unit, "loaded", loaded)
    monkeypatch.setattr(sampling, "LOOK", 0.0)
    return answers


@pytest.mark.usefixtures("says")
def test_a_unit_that_goes_on() -> None:
    """Both probes are asked at their interval for the whole time, and what was not given is null without an error."""
    found = sampling.sample({**GIVEN, "command": "exit 0"})
    assert (0, "", [], {}) == tuple(found[key] for key in ("restarts", "ended", "errors", "patterns"))
    assert 2 <= found["probe"]["count"] == found["command"]["count"] <= 11
    assert 0 < found["probe"]["p50_ms"] <= found["probe"]["p99_ms"] <= found["probe"]["max_ms"]
    assert 0.5 <= found["seconds"] < 2
    assert sampling.sample({**GIVEN, "probe": []})["probe"] is None


@pytest.mark.parametrize(
    ("later", "ended", "restarts"),
    [
        ([DEAD], "demo is failed (failed), result signal", 0),
        ([{**RUNNING, "ActiveState": "activating", "SubState": "auto-restart"}], "demo is activating (auto-restart)", 0),
        ([{**RUNNING, "NRestarts": "2"}], "the process of demo was replaced", 2),
        ([{**RUNNING, "MainPID": str(os.getpid())}], "the process of demo was replaced", 1),
    ],
)
def test_it_ends_at_once(says: list[dict[str, str] | None], later: list[dict[str, str]], ended: str, restarts: int) -> None:
    """A unit that is down, or whose process is another one, is told when it is seen, whoever restarted it."""
    says += later
    began = time.monotonic()
    found = sampling.sample({**GIVEN, "seconds": 60.0})
    assert time.monotonic() - began < 10
    assert found["ended"].startswith(ended)
    assert restarts == found["restarts"]


def test_a_process_that_is_gone_is_seen_before_the_next_look(
    says: list[dict[str, str] | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service manager is asked seldom, and at once when the main process is no longer there."""
    monkeypatch.setattr(sampling, "LOOK", 1000.0)
    child = subprocess.Popen(["sleep", "0.2"])
    says[0] = {**RUNNING, "MainPID": str(child.pid)}
    says.append(DEAD)
    found = sampling.sample({**GIVEN, "seconds": 60.0})
    child.wait()
    assert found["ended"].startswith("demo is failed")


def test_systemd_that_does_not_answer(says: list[dict[str, str] | None]) -> None:
    """How often it restarted is then unknown, in one line; the probes go on."""
    says.append(None)
    found = sampling.sample(GIVEN)
    assert (None, [f"restarts: {SILENT}"], "") == tuple(found[key] for key in ("restarts", "errors", "ended"))
    assert found["probe"]["count"] > 1


@pytest.mark.usefixtures("says")
@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("echo no such table >&2; exit 3", "exit code 3: no such table"),
        ("exit 7", "exit code 7"),
        ("sleep 60 & sleep 60", "no end after 0.1 s"),
        ("kill -9 $$", "exit code -9"),
    ],
)
def test_a_probe_that_fails(command: str, why: str) -> None:
    """It is counted, gives no latency, and its reason is told; one that hangs is ended with all that it began."""
    found = sampling.sample(
        {**GIVEN, "probe": [], "command": command, "timeout": 0.1 if "sleep" in command else 2.0, "seconds": 0.3}
    )
    count = found["command"]["count"]
    assert (count, None, None, None) == tuple(found["command"][key] for key in ("failed", "p50_ms", "p99_ms", "max_ms"))
    assert [f"command: {count} of {count} failed, the last one: {why}"] == found["errors"]


@pytest.mark.usefixtures("says")
def test_a_program_that_is_not_there() -> None:
    """It fails with its name; no traceback."""
    assert "the last one: /no/such: No such file or directory" in sampling.sample({**GIVEN, "probe": ["/no/such"]})["errors"][0]


@pytest.mark.usefixtures("says")
def test_probes_do_not_take_the_machine() -> None:
    """However costly a probe is, what is slept after it keeps the whole at a few percent of a core."""
    before = sampling._cpu()
    found = sampling.sample(
        {**GIVEN, "probe": ["sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"], "interval": 0.0, "seconds": 4.0}
    )
    assert found["probe"]["count"] > 1
    assert (sampling._cpu() - before) / found["seconds"] < 0.1


@pytest.mark.parametrize(("count", "expected"), [(1, 0), (25, 23), (100, 98), (101, 99), (150, 147)])
def test_percentile(count: int, expected: int) -> None:
    """A single hiccup is not the 99th percentile of a hundred probes or less."""
    assert expected == sampling.percentile([float(n) for n in range(count)], 0.99)


class Gateway(http.server.BaseHTTPRequestHandler):
    """Answers where a version has its gateway, and counts its connections."""

    protocol_version = "HTTP/1.1"
    connections = 0

    def setup(self) -> None:
        """A connection was made."""
        Gateway.connections += 1
        super().setup()

    def do_POST(self) -> None:
        """404 at the first path, 200 at the second, 503 at the third."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response({"/v3/range": 404, "/v3beta/range": 200}.get(self.path, 503))
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """A server that is there for one test."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Gateway.connections = 0
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def request(url: str, *paths: str) -> sampling.Request:
    """A question to that server."""
    return sampling.Request({"url": url, "paths": paths, "body": {"key": "bm9kZQ=="}, "ca": None, "cert": None, "key": None}, 1.0)


def test_request_finds_its_path_and_keeps_its_connection(url: str) -> None:
    """The path that is not answered by 404 stays, and all probes go over one connection."""
    asked = request(url, "/v3/range", "/v3beta/range")
    assert ["", "", ""] == [asked.ask() for _ in range(3)]
    assert (["/v3beta/range"], 1) == (asked.paths, Gateway.connections)


def test_a_request_that_is_refused_is_asked_by_the_probe_from_then_on(url: str) -> None:
    """Where there is no gateway the program says how it is, with the variables that it is told; an error of the server's is one."""
    asked = {"url": url, "body": {"key": "bm9kZQ=="}, "ca": None, "cert": None, "key": None}
    given = {**GIVEN, "probe": ["sh", "-c", 'test "$TOLD" = yes'], "secrets": {"TOLD": "yes"}}
    probe = sampling.system_probe({**given, "request": {**asked, "paths": ["/v3/range"]}})
    assert ["", ""] == [probe(), probe()]  # type: ignore[misc]
    assert 1 == Gateway.connections
    untold = sampling.system_probe({**given, "secrets": {}, "request": {**asked, "paths": ["/v3/range"]}})
    assert "exit code 1" == untold()  # type: ignore[misc]
    broken = sampling.system_probe({**given, "request": {**asked, "paths": ["/elsewhere"]}})
    assert f"{url}/elsewhere: HTTP 503" == broken()  # type: ignore[misc]


def test_request_that_fails(url: str, tmp_path: Path) -> None:
    """Another status, nobody who listens and a certificate that is not there are all failures with their reason."""
    assert f"{url}/elsewhere: HTTP 503" == request(url, "/elsewhere").ask()
    assert f"{url}/v3/range: HTTP 404" == request(url, "/v3/range").ask()
    assert "http://127.0.0.1:1: Connection refused" == request("http://127.0.0.1:1", "/").ask()
    secured = sampling.Request({"url": "https://127.0.0.1:1", "paths": ["/"], "ca": str(tmp_path / "ca.crt"), "cert": None}, 1.0)
    secured.request.update(body=None, key=None)
    assert "https://127.0.0.1:1: No such file or directory" == secured.ask()


@pytest.mark.usefixtures("says")
@pytest.mark.parametrize(
    ("script", "why"),
    [("exit 1", "exit code 1"), ("echo no access >&2; exit 1", "no access"), ("true", "has no line of demo.service")],
)
def test_a_log_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, why: str) -> None:
    """Lines that nobody can see are unknown and not none; a unit that logs elsewhere has no line of any time."""
    (tmp_path / "journalctl").write_text(f"#!/bin/sh\n[ $1 = --sync ] && exit 0\n{script}\n")
    (tmp_path / "journalctl").chmod(0o755)
    monkeypatch.setitem(ENVIRONMENT, "PATH", f"{tmp_path}:{ENVIRONMENT['PATH']}")
    found = sampling.sample({**GIVEN, "patterns": ["panic"], "seconds": 0.1})
    assert found["patterns"] is None
    assert why in found["errors"][0]
