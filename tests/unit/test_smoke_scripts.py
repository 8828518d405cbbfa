"""Scripts that do what they should not, run as on a node: each ends with a clear answer, and nothing of it is left."""

from __future__ import annotations

import base64
import io
import json
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.smoke import script
from ansible_collections.nodewise.cluster.plugins.module_utils.smoke.secrets import Secrets

DRIVER = """import json, sys
from ansible_collections.nodewise.cluster.plugins.module_utils.smoke.suite import run_suite
print(json.dumps(run_suite(json.load(open(sys.argv[1])))))"""
SECRET = "s3cr3t/and+more"  # noqa: S105  not one


def archive(scripts: dict[str, str | bytes]) -> str:
    """The scripts as an archive, all of them with a run bit."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in scripts.items():
            member, data = tarfile.TarInfo(name), text if isinstance(text, bytes) else text.encode()
            member.size, member.mode = len(data), 0o755
            tar.addfile(member, io.BytesIO(data))
    return base64.b64encode(packed.getvalue()).decode()


class Host:
    """A host, with a place of its own for the scripts' folders."""

    def __init__(self, folder: Path) -> None:
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.given = folder / "given.json"

    def begin(self, scripts: dict[str, str | bytes], timeout: float = 5.0, **more: Any) -> subprocess.Popen[str]:
        """Begin to run scripts, in a process of its own, as the module is."""
        listed = [{"name": name, "timeout": timeout} for name in scripts]
        given = {
            "environment": {},
            "secrets": {},
            "inherit": False,
            "keep": [],
            "workers": 1,
            "cap": 4096,
            "archive_file": None,
            **more,
        }
        self.given.write_text(json.dumps({**given, "archive": archive(scripts), "scripts": listed, "scratch": str(self.scratch)}))
        return subprocess.Popen([sys.executable, "-c", DRIVER, str(self.given)], stdout=subprocess.PIPE, text=True)

    def run(self, scripts: dict[str, str | bytes], timeout: float = 5.0, **more: Any) -> dict[str, Any]:
        """Run scripts to their end: their answers by name, and the files that were kept."""
        said = self.begin(scripts, timeout, **more).communicate(timeout=60)[0]
        assert [] == list(self.scratch.iterdir())
        answer = json.loads(said)
        return {**{one["script"]: one for one in answer["results"]}, "files": answer["files"]}

    def one(self, text: str | bytes, timeout: float = 5.0, **more: Any) -> dict[str, Any]:
        """Run one script."""
        return dict(self.run({"one": text}, timeout, **more)["one"])


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host, which is this machine."""
    return Host(tmp_path)


def alive(tag: str) -> list[int]:
    """Processes with a word in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if tag.encode() in words:
            found.append(int(path.parent.name))
    return found


def tag() -> str:
    """A number of seconds that nobody else sleeps for."""
    return f"9{time.monotonic_ns()}"


def test_how_a_script_ended(host: Host) -> None:
    """Exit code, output and errors come back apart."""
    found = host.one("#!/bin/sh\necho said; echo complained >&2; exit 3\n")
    assert [3, None, "", "said\n", "complained\n"] == [found[key] for key in ("code", "signal", "error", "stdout", "stderr")]


def test_killed_by_a_signal(host: Host) -> None:
    """A script that a signal ended has no exit code."""
    found = host.one("#!/bin/sh\nkill -SEGV $$\n")
    assert [None, signal.SIGSEGV] == [found["code"], found["signal"]]


def test_a_script_that_takes_too_long(host: Host) -> None:
    """It gets SIGTERM, and what it said until then is kept."""
    found = host.one("#!/bin/sh\necho begun\nexec sleep 60\n", timeout=0.3)
    assert [True, "SIGTERM", "begun\n"] == [found["timeout"], found["ended_by"], found["stdout"]]


def test_a_script_that_ignores_sigterm(host: Host) -> None:
    """It gets SIGKILL, and so does what it began."""
    seconds = tag()
    found = host.one(f"#!/bin/sh\ntrap '' TERM\nsleep {seconds} & while :; do sleep 0.1; done\n", timeout=0.3)
    assert [True, "SIGKILL"] == [found["timeout"], found["ended_by"]]
    assert [] == alive(seconds)


def test_a_script_that_leaves_a_process_behind(host: Host) -> None:
    """It ends when it ends, although the process holds its output open; the process is named and ended."""
    seconds = tag()
    found = host.one(f"#!/bin/sh\nsleep {seconds} &\nsleep 0.3; echo done\n")
    assert [0, "done\n", ["sleep"]] == [found["code"], found["stdout"], found["left"]]
    assert found["seconds"] < 3
    assert [] == alive(seconds)


def test_a_daemon_in_a_session_of_its_own(host: Host) -> None:
    """Neither a new session nor a parent that ended hides a process; after a timeout as well."""
    seconds = tag()
    found = host.run(
        {
            "ends": f"#!/bin/sh\nsetsid sh -c 'sleep {seconds} & sleep {seconds} &' </dev/null >/dev/null 2>&1; sleep 0.3\n",
            "hangs": f"#!/bin/sh\nsetsid -f sleep {seconds} >/dev/null 2>&1\nsleep 60\n",
        },
        timeout=0.5,
    )
    assert [0, True] == [found["ends"]["code"], found["hangs"]["timeout"]]
    assert ["sleep", "sleep"] == found["ends"]["left"]
    assert [] == alive(seconds)


def test_a_gigabyte(host: Host) -> None:
    """Head and tail are kept, with a mark between; the rest goes nowhere."""
    found = host.one("#!/bin/sh\necho first; head -c 1000000000 /dev/zero | tr '\\0' x; echo; echo last\n", timeout=50)
    assert found["stdout"].startswith("first\nxxx")
    assert found["stdout"].endswith("xxx\nlast\n")
    assert "bytes were cut here" in found["stdout"]
    assert len(found["stdout"]) < 4200
    assert found["stdout_cut"] > 999_000_000


def test_binary_junk(host: Host) -> None:
    """What is no text is shown as such, and ends nothing."""
    found = host.one("#!/bin/sh\nhead -c 100000 /dev/urandom; printf '\\000\\377'\n")
    assert 0 == found["code"]
    assert found["stdout"].endswith("\x00\ufffd")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#!/no/such/interpreter -x\n", "its interpreter /no/such/interpreter -x is not on this host"),
        ("#!/bin/sh\r\necho\r\n", r"the line ends in \r"),
        (b"\x7fELF\x02\x01junk", "neither a program of this machine"),
        ("echo no first line\n", "neither a program of this machine"),
        ("#!/etc/passwd\n", "may not be run"),
    ],
)
def test_a_script_that_cannot_be_started(host: Host, text: str | bytes, expected: str) -> None:
    """It says why, and the rest of the suite is run."""
    found = host.run({"bad": text, "good": "#!/bin/sh\n"})
    assert expected in found["bad"]["error"]
    assert [None, 0] == [found["bad"]["code"], found["good"]["code"]]


def test_secrets_are_masked(host: Host) -> None:
    """In output, in files and in results; as they are, in base64 and in a URL; also where the output is cut."""
    told = base64.b64encode(SECRET.encode()).decode()
    script = f"""#!/bin/sh
echo "$TOKEN" {told} s3cr3t%2Fand%2Bmore
echo "$TOKEN" >&2; echo "$TOKEN" > "$NODEWISE_RESULTS"; echo "$TOKEN" > "$NODEWISE_ARTIFACTS/kept"
"""
    found = host.run({"one": script}, secrets={"TOKEN": SECRET})
    assert ["******** ******** ********\n", "********\n", "********\n"] == [found["one"][k] for k in ("stdout", "stderr", "told")]
    assert "********\n" == base64.b64decode(found["files"][0]["content"]).decode()
    for pad in range(80):  # wherever the cut falls
        found = (
            host.one(
                f"#!/bin/sh\nprintf '%{pad}s'; for i in 1 2 3 4 5 6 7 8 9; do printf '%s ' $TOKEN; done\n",
                secrets={"TOKEN": SECRET},
                cap=64,
            )
            if pad % 9 == 0
            else found
        )
        assert not {"s3cr3t", "and+more", "cr3t", "+mor"} & set(found.get("stdout", "").replace("*", " ").split())


def test_environment(host: Host) -> None:
    """A script sees what it was given, a name that nobody else has, and a place for temporary files that goes with it."""
    script = '#!/bin/sh\ncd "$NODEWISE_SUITE_DIR" && pwd; echo $A $NODEWISE_SCRIPT $NODEWISE_ID; mktemp\n'
    found = host.run({"x": script, "y": script}, environment={"A": "b"})
    words = [found[name]["stdout"].split() for name in "xy"]
    assert [["b", "x"], ["b", "y"]] == [word[1:3] for word in words]
    assert words[0][3] != words[1][3]
    assert all(path.startswith(str(host.scratch)) for word in words for path in (word[0], word[4]))


def test_files_are_kept(host: Host) -> None:
    """Those of a script, and those of the suite by pattern; a large one is cut, and links lead nowhere new."""
    script = """#!/bin/sh
mkdir "$NODEWISE_ARTIFACTS/d"; echo a > "$NODEWISE_ARTIFACTS/d/a"
echo b > b.log; head -c 3000000 /dev/zero > c.log
"""
    found = {one["name"]: one for one in host.run({"one": script}, keep=["*.log", "nothing*"])["files"]}
    assert {"d/a": "one", "b.log": None, "c.log": None} == {name: one["script"] for name, one in found.items()}
    assert 3_000_000 - (1 << 20) == found["c.log"]["cut"]


def test_a_file_whose_name_is_no_utf8_is_kept(host: Host) -> None:
    """Its name is one that can be written down."""
    script = "#!/bin/sh\necho a > \"$NODEWISE_ARTIFACTS/$(printf 'caf\\351')\"\n"
    assert [r"caf\xe9"] == [one["name"] for one in host.run({"one": script})["files"]]


def test_units_that_began_meanwhile_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What systemd-run begins is no child of a script, so it is found by its name."""
    (tmp_path / "before.service").touch()
    monkeypatch.setattr(script, "TRANSIENT", (str(tmp_path / "*.service"),))
    program = tmp_path / "one"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/run-r1.service\n")
    program.chmod(0o755)
    job = {"name": "one", "path": str(program), "folder": str(tmp_path), "environment": {}, "timeout": 5, "cap": 4096}
    assert ["run-r1.service"] == script.run_script(job, Secrets([]))["units"]


def test_scripts_at_once(host: Host) -> None:
    """So many at a time, and no more."""
    script = "#!/bin/sh\ntouch $NODEWISE_SCRIPT.on; ls *.on | wc -l; sleep 0.5; rm $NODEWISE_SCRIPT.on\n"
    found = host.run({str(number): script for number in range(4)}, workers=2)
    counted = {int(found[str(number)]["stdout"]) for number in range(4)}
    assert counted <= {1, 2}
    assert 2 in counted


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_run_that_is_called_off(host: Host, how: signal.Signals) -> None:
    """Everything is ended and removed; what had not ended says so."""
    seconds = tag()
    process = host.begin(
        {"a": "#!/bin/sh\n", "b": f"#!/bin/sh\ntrap '' TERM INT HUP\nsleep {seconds} & sleep {seconds}\n"}, timeout=60
    )
    until(lambda: len(alive(seconds)) == 2)
    process.send_signal(how)
    results = {one["script"]: one for one in json.loads(process.communicate(timeout=20)[0])["results"]}
    assert 0 == results["a"]["code"]
    assert f"not run to its end: signal {how.value}" in results["b"]["error"]
    assert [] == alive(seconds)
    assert [] == list(host.scratch.iterdir())


def test_nobody_waits_any_more(host: Host) -> None:
    """When the reader of the answer is gone, as after Ctrl-C, everything is ended and removed."""
    seconds = tag()
    process = host.begin({"a": f"#!/bin/sh\nsleep {seconds}\n"}, timeout=60)
    until(lambda: alive(seconds))
    assert process.stdout
    process.stdout.close()
    process.wait(10)
    assert [] == alive(seconds)
    assert [] == list(host.scratch.iterdir())


def test_a_run_that_is_killed(host: Host) -> None:
    """What it ran is ended with it; its folder goes with the next run."""
    seconds = tag()
    process = host.begin({"a": f"#!/bin/sh\nsleep {seconds}\n"}, timeout=60)
    until(lambda: alive(seconds))
    process.kill()
    process.communicate()
    until(lambda: not alive(seconds))
    assert 1 == len(list(host.scratch.iterdir()))
    assert 0 == host.one("#!/bin/sh\n")["code"]


def test_the_same_suite_twice_at_once(host: Host) -> None:
    """Neither sees the other's files."""
    script: dict[str, str | bytes] = {"one": "#!/bin/sh\nmkdir lock && sleep 0.5\n"}
    both = [host.begin(script) for _ in range(2) if not time.sleep(0.2)]
    assert [0, 0] == [json.loads(one.communicate()[0])["results"][0]["code"] for one in both]
    assert [] == list(host.scratch.iterdir())


def test_a_folder_that_is_just_being_made(host: Host) -> None:
    """Another run's, whose owner is not written yet, is left alone; that of a process that is gone is not."""
    for name, owner in (("new", ""), ("old", "1@0")):
        (host.scratch / f"nodewise-smoke-{name}").mkdir()
        (host.scratch / f"nodewise-smoke-{name}" / "owner").write_text(owner)
    host.begin({"one": "#!/bin/sh\n"}).communicate(timeout=60)
    assert ["nodewise-smoke-new"] == [path.name for path in host.scratch.iterdir()]


def test_a_script_that_takes_its_rights_away(host: Host) -> None:
    """A folder that nobody may enter is removed all the same."""
    assert 0 == host.one("#!/bin/sh\nmkdir -p d/e; chmod 0 d; chmod 0 .\n")["code"]


def test_an_archive_that_is_none(host: Host) -> None:
    """What cannot be unpacked is one line."""
    process = host.begin({})
    process.communicate()
    host.given.write_text(json.dumps({**json.loads(host.given.read_text()), "archive": "bm90aGluZw=="}))
    ended = subprocess.run([sys.executable, "-c", DRIVER, str(host.given)], capture_output=True, text=True, check=False)
    assert "SmokeError: the suite could not be unpacked" in ended.stderr
    assert [] == list(host.scratch.iterdir())


def until(reached: Any, seconds: float = 15) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)
