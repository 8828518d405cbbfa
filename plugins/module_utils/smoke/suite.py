# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running the scripts of a suite on this host: unpacked into a folder of their own, some at a time, all of it gone afterwards."""

from __future__ import annotations

import base64
import glob
import io
import json
import os
import resource
import select
import shutil
import signal
import tarfile
import tempfile
import time
from contextlib import suppress
from typing import Any, NoReturn

from ansible_collections.nodewise.cluster.plugins.module_utils.host.caller import Called
from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.host.process import adopt_orphans, began, end_with_parent
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import environment, home, proxies
from ansible_collections.nodewise.cluster.plugins.module_utils.smoke.output import Output
from ansible_collections.nodewise.cluster.plugins.module_utils.smoke.script import Cancelled, clear, run_script
from ansible_collections.nodewise.cluster.plugins.module_utils.smoke.secrets import Secrets

PREFIX = "nodewise-smoke-"
PLACES = ("/var/tmp", "/tmp", "/dev/shm", "/opt")  # noqa: S108  the first that lets programs run
FILE_CAP, FILES_CAP = 1 << 20, 8 << 20  # bytes of one file that is kept, and of all of a host
RESULTS_CAP = 8 << 20  # a file of results is useless when it is cut
LOOK = 0.5  # seconds between looks at whether anybody still waits for us


class SmokeError(Failure):
    """Why nothing could be run; one line."""


def run_suite(given: dict[str, Any]) -> dict[str, Any]:
    """Return what the module smoke_scripts returns: how each script ended, and the files to keep."""
    secrets = Secrets(list(given["secrets"].values()))
    with Called() as called, Scratch(given["scratch"]) as scratch:
        unpack(given, scratch.suite)
        jobs = [job(given, one, scratch) for one in given["scripts"]]
        answers = Pool(jobs, max(1, given["workers"]), secrets, called).run()
        for one, answer in zip(jobs, answers):
            answer.update(results_of(one, secrets))
        return {"results": answers, "files": Files(secrets).of(jobs, given["keep"], scratch.suite)}


def unpack(given: dict[str, Any], folder: str) -> None:
    """Unpack the suite, from what came with the task or from a file that was copied before it."""
    try:
        sent = io.BytesIO(base64.b64decode(given["archive"])) if given["archive"] else None
        with tarfile.open(given["archive_file"] if sent is None else None, fileobj=sent, mode="r:*") as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(folder)  # noqa: S202  made by the action beside us
    except (OSError, ValueError, tarfile.TarError) as error:
        raise SmokeError(f"the suite could not be unpacked in {folder}: {error}") from None


def job(given: dict[str, Any], script: dict[str, Any], scratch: Scratch) -> dict[str, Any]:
    """Return what run_script needs to know of one script."""
    name = script["name"]
    own = os.path.join(scratch.path, "scripts", name)
    for folder in ("artifacts", "tmp"):
        os.makedirs(os.path.join(own, folder))
    variables = {
        **(os.environ if given["inherit"] else {**proxies(), **home()}),
        **given["environment"],
        **given["secrets"],
        "TMPDIR": os.path.join(own, "tmp"),
        "NODEWISE_SCRIPT": name,
        "NODEWISE_ID": f"{os.path.basename(scratch.path)[len(PREFIX) :]}-{name}",  # nobody else's: for keys and names
        "NODEWISE_SUITE_DIR": scratch.suite,
        "NODEWISE_ARTIFACTS": os.path.join(own, "artifacts"),
        "NODEWISE_RESULTS": os.path.join(own, "results"),
    }
    return {
        "name": name,
        "path": os.path.join(scratch.suite, name),
        "folder": scratch.suite,
        "environment": environment(**variables),
        "timeout": script["timeout"],
        "cap": given["cap"],
        "artifacts": variables["NODEWISE_ARTIFACTS"],
        "results": variables["NODEWISE_RESULTS"],
    }


class Scratch:
    """A folder that is gone afterwards, with all that is in it. Those of runs that were killed go with it."""

    def __init__(self, place: str) -> None:
        self.place = place or next(filter(runs_programs, PLACES), "/tmp")  # noqa: S108  its scripts then say why they do not run
        self.path = self.suite = ""

    def __enter__(self) -> Scratch:  # noqa: PYI034  see above
        self._sweep()
        try:
            self.path = tempfile.mkdtemp(prefix=PREFIX, dir=self.place)
            with open(os.path.join(self.path, "owner"), "w", encoding="utf-8") as stream:
                stream.write(str(began(os.getpid())))
            self.suite = os.path.join(self.path, "suite")
            os.mkdir(self.suite)
        except OSError as error:
            self.__exit__()
            raise SmokeError(f"no folder could be made in {self.place}: {error.strerror}; name another with scratch") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self.path:
            remove(self.path)

    def _sweep(self) -> None:
        for path in glob.glob(os.path.join(glob.escape(self.place), PREFIX + "*")):
            with suppress(OSError), open(os.path.join(path, "owner"), encoding="utf-8") as stream:
                owner = stream.read()
                # One that is made at this moment has no owner written yet.
                if owner and began(int(owner.partition("@")[0])) != owner:
                    remove(path)


def remove(path: str) -> None:
    """Remove a tree, also one in which a script took our rights away."""
    for folder, _folders, _files in os.walk(path):
        with suppress(OSError):
            os.chmod(folder, 0o700)
    shutil.rmtree(path, ignore_errors=True)


def runs_programs(place: str) -> bool:
    """Whether programs may be run from a folder."""
    try:
        return os.access(place, os.W_OK) and not os.statvfs(place).f_flag & os.ST_NOEXEC
    except OSError:
        return False


class Pool:
    """Runs jobs, so many at a time, each by a process of its own that answers through a pipe."""

    def __init__(self, jobs: list[dict[str, Any]], workers: int, secrets: Secrets, called: Called) -> None:
        self.jobs, self.workers, self.secrets, self.called = jobs, workers, secrets, called
        self.running: dict[int, tuple[int, int, bytearray]] = {}  # descriptor -> (number of the job, process, what it answered)
        self.answers: dict[int, dict[str, Any]] = {}

    def run(self) -> list[dict[str, Any]]:
        """Return how each job ended, in their order."""
        adopt_orphans()
        waiting, due = list(range(len(self.jobs))), 0.0
        try:
            while waiting or self.running:
                if time.monotonic() >= due:
                    due = time.monotonic() + LOOK
                    if self.called.look():
                        break
                while waiting and len(self.running) < self.workers:
                    self._begin(waiting.pop(0))
                self._read()
        finally:
            self._end()
        for number, one in enumerate(self.jobs):
            self.answers.setdefault(number, blank(one["name"], f"it was not run to its end: {self.called.off or 'interrupted'}"))
        return [self.answers[number] for number in range(len(self.jobs))]

    def _begin(self, number: int) -> None:
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(ours)
            supervise(self.jobs[number], self.secrets, theirs)
        os.close(theirs)
        self.running[ours] = (number, pid, bytearray())

    def _read(self) -> None:
        for descriptor in select.select(list(self.running), [], [], LOOK)[0]:
            number, pid, answer = self.running[descriptor]
            data = os.read(descriptor, 1 << 20)
            answer += data
            if data:
                continue
            del self.running[descriptor]
            os.close(descriptor)
            self.answers[number] = self._answer(number, answer, os.waitpid(pid, 0)[1])
            if not self.running:
                clear(set())  # what a supervisor that was itself killed has left

    def _answer(self, number: int, answer: bytearray, status: int) -> dict[str, Any]:
        try:
            return dict(json.loads(answer.decode()))
        except ValueError:
            if self.called.off:
                return blank(self.jobs[number]["name"], f"it was not run to its end: {self.called.off}")
            return blank(self.jobs[number]["name"], f"what ran it died without a message (status {status}): out of memory?")

    def _end(self) -> None:
        """End what still runs; each supervisor ends its own script."""
        for _number, pid, _answer in self.running.values():
            with suppress(OSError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while self.running and time.monotonic() < deadline:
            self._read()
        clear(set())


def supervise(job: dict[str, Any], secrets: Secrets, answer_to: int) -> NoReturn:
    """Be the process that runs one script: answer through the pipe, and end."""
    status = 1
    try:
        signal.signal(signal.SIGTERM, cancel)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        end_with_parent(signal.SIGTERM)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # here, as a hook before exec would cost a copy of our memory
        os.set_inheritable(answer_to, False)
        answer = run_script(job, secrets)
        with open(answer_to, "wb") as stream:
            stream.write(json.dumps(answer).encode())
        status = 0
    except Cancelled:
        pass
    finally:
        os._exit(status)


def cancel(_number: int, _frame: object) -> NoReturn:
    """End a script that is called off: once, so that ending it is not interrupted itself."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Cancelled


def blank(name: str, error: str) -> dict[str, Any]:
    """Return the answer of a script that gave none."""
    nothing = {"stdout": "", "stderr": "", "stdout_cut": 0, "stderr_cut": 0, "seconds": 0.0, "left": [], "alive": []}
    return {"script": name, "code": None, "signal": None, "timeout": False, "error": error, **nothing}


def results_of(job: dict[str, Any], secrets: Secrets) -> dict[str, Any]:
    """Return what a script wrote to $NODEWISE_RESULTS; None when it did not."""
    output = read(job["results"], RESULTS_CAP, secrets)
    return {"told": None if output is None else output.text(), "told_cut": output.cut if output else 0}


def read(path: str, cap: int, secrets: Secrets) -> Output | None:
    """Return head and tail of a regular file, masked; None when there is none."""
    if not os.path.isfile(path):
        return None
    output = Output(cap, secrets)
    try:
        with open(path, "rb") as stream:
            while output.size <= 64 * FILES_CAP:  # the head of what is larger is enough, and its tail not worth the wait
                data = stream.read(1 << 20)
                if not data:
                    break
                output.add(data)
    except OSError:
        return None
    return output


class Files:
    """What is kept of a host: at most so much of each file, and of all."""

    def __init__(self, secrets: Secrets) -> None:
        self.secrets, self.room = secrets, FILES_CAP
        self.kept: list[dict[str, Any]] = []

    def of(self, jobs: list[dict[str, Any]], keep: list[str], suite: str) -> list[dict[str, Any]]:
        """Return the files: {script (null for the suite's), name, content (base64; null when left out), size, cut}."""
        for one in jobs:
            for path in sorted(glob.glob(os.path.join(glob.escape(one["artifacts"]), "**"), recursive=True)):
                self._keep(path, one["name"], os.path.relpath(path, one["artifacts"]))
        for pattern in keep:
            for path in sorted(glob.glob(os.path.join(glob.escape(suite), pattern), recursive=True)):
                self._keep(path, None, os.path.relpath(path, suite) if path.startswith(suite + "/") else path.lstrip("/"))
        return self.kept

    def _keep(self, path: str, script: str | None, name: str) -> None:
        found = read(path, FILE_CAP, self.secrets)
        if found is None:
            return
        content = found.kept()
        fits = len(content) <= self.room
        self.room -= len(content) if fits else 0
        told = {"size": found.size, "cut": found.cut, "content": base64.b64encode(content).decode() if fits else None}
        readable = self.secrets.text(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        self.kept.append({"script": script, "name": readable, **told})
