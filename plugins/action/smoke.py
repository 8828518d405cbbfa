# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One suite on one host: packed here, run there by smoke_scripts, and what its scripts said read here."""

from __future__ import annotations

import base64
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleUndefinedVariable

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    EngineAction,
    NodewiseError,
    Run,
    msgspec,
    plain,
    smoke_session,
    smoke_suite,
    smoke_verdict,
)
from ansible_collections.nodewise.cluster.plugins.plugin_utils.suites import find

INLINE = 512 << 10  # bytes of a suite that go with the task; a larger one is copied first
LOOK = 0.5  # seconds between looks at whether the playbook still runs
SHORTEST = 4  # characters of a secret: what is shorter cannot be masked


class ActionModule(EngineAction):
    """Run a session's suite, or one that is named. Whatever becomes of the host, each script has a result afterwards."""

    _requires_connection = True

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if self._task.check_mode:
            return {"skipped": True, "msg": "nothing is run in check mode"}
        if not args["session"]:
            return self.alone(args, task_vars)
        run = Run.of(plain(task_vars["nodewise_run"]))
        session = smoke_session.read(run.folder, args["session"])
        host = smoke_session.CONTROLLER if session.where == "controller" else self.host(task_vars)
        node = None if session.where == "controller" else host
        run.begin("smoke", node=node, smoke=session.id)
        try:
            suite = smoke_suite.load(Path(session.folder))
            results, kept = self.on_host(suite, session.scripts, session.workers, host, task_vars, session.digest)
        except NodewiseError as problem:
            results, kept = [smoke_verdict.silent(one.name, host, str(problem)) for one in session.scripts], {}
        smoke_session.output(run.folder, session.id, host, kept)
        for one in results:
            one.files = sorted(name for name in kept if name.startswith((f"{one.script}.", f"{one.script}/")))
        smoke_session.keep(run.folder, session.id, host, results)
        bad = [one for one in results if one.status == "fail"]
        error = (
            {"error": f"{len(bad)} of {len(results)} scripts of {session.suite}, the first {bad[0].script}: {bad[0].reason}"}
            if bad
            else {}
        )
        tried = sum(one.status != "skip" for one in results)
        run.end("smoke", ok=not bad, node=node, smoke=session.id, tried=tried, **error)
        return told(results, session.expected // len(session.hosts))

    def alone(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Without a session: the task itself is judged, and returns all results."""
        if not args["suite"]:
            raise NodewiseError("neither a session nor a suite was named; expected one of them")
        suite = find(args["suite"], args["folders"], task_vars)
        scripts = suite.chosen(args["tier"], slow=not args["skip_slow"])
        workers = args["workers"] if suite.parallel and args["parallel"] else 1
        results, _kept = self.on_host(suite, scripts, workers, self.host(task_vars), task_vars, suite.digest)
        said = {**told(results, len(scripts)), "results": msgspec.to_builtins(results)}
        bad = [one for one in results if one.status == "fail"]
        if bad:
            return {
                **said,
                "failed": True,
                "msg": f"{len(bad)} of {len(scripts)} failed, the first {bad[0].script}: {bad[0].reason}",
            }
        if not said["passed"]:
            return {
                **said,
                "failed": True,
                "msg": f"{suite.name}: nothing was tried ({said['skipped_scripts']} skipped), which is not a pass",
            }
        return said

    def on_host(
        self, suite: Any, scripts: list[Any], workers: int, host: str, task_vars: dict[str, Any], digest: str
    ) -> tuple[list[Any], dict[str, bytes]]:
        """A result for each script, and the files to keep."""
        if suite.digest != digest:
            return [smoke_verdict.silent(one.name, host, "the suite was changed after the run had begun") for one in scripts], {}
        found = {one.name: smoke_verdict.judge(smoke_verdict.Ended(script=one.name), one, host) for one in scripts if one.problem}
        kept: dict[str, bytes] = {}
        todo = [one for one in scripts if not one.problem]
        given = self.given(suite, workers, host, task_vars) if todo else {}
        attempt = 0
        while todo:
            attempt += 1
            answers, problem = self.ask(suite, todo, given, task_vars)
            kept.update(files(answers))
            ended = {one["script"]: msgspec.convert(one, smoke_verdict.Ended, strict=False) for one in answers.get("results", [])}
            for one in todo:
                now = (
                    smoke_verdict.judge(ended[one.name], one, host)
                    if one.name in ended
                    else smoke_verdict.silent(one.name, host, problem)
                )
                found[one.name] = smoke_verdict.again(found[one.name], now) if one.name in found else now
            todo = [one for one in todo if found[one.name].status == "fail" and found[one.name].reported and one.retries >= attempt]
            kept.update(
                {
                    f"{one.name}.attempt{attempt}{end}": kept[one.name + end]
                    for one in todo
                    for end in ENDS
                    if one.name + end in kept
                }
            )
        return [found[one.name] for one in scripts], kept

    def given(self, suite: Any, workers: int, host: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        """The arguments of smoke_scripts that are the same for every attempt."""
        secrets = {name: self.variable(path.rstrip("?"), task_vars) for name, path in suite.secrets.items()}
        secrets = {name: value for name, value in secrets.items() if value is not None or not suite.secrets[name].endswith("?")}
        for name, value in secrets.items():
            if value is None or len(value) < SHORTEST:
                what = (
                    "is not defined"
                    if value is None
                    else f"has {len(value)} characters, and a secret of less than {SHORTEST} cannot be masked"
                )
                raise NodewiseError(f"{suite.name}: the secret {name} is {suite.secrets[name]} of the inventory, which {what}")
        named = {name: value for name, path in suite.variables.items() if (value := self.variable(path, task_vars)) is not None}
        environment = {**about(task_vars, host), **suite.environment, **named, "NODEWISE_SUITE": suite.name}
        more = {"keep": suite.keep, "workers": workers, "cap": suite.output}
        # The controller is the operator's machine, and scripts may need what is set there.
        return {"environment": environment, "inherit": host == smoke_session.CONTROLLER, "secrets": secrets, **more}

    def variable(self, name: str, task_vars: dict[str, Any]) -> str | None:
        """A variable of the current host, as text; None when it is not defined."""
        if name.isidentifier() and name not in task_vars:
            return None
        try:
            return str(plain(self._templar.resolve_variable_expression(name)))
        except AnsibleUndefinedVariable:
            return None
        except AnsibleError as problem:
            raise NodewiseError(f"the variable {name} cannot be read: {str(problem).splitlines()[0]}") from None

    def ask(self, suite: Any, scripts: list[Any], given: dict[str, Any], task_vars: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """The host's answer, and why there is none."""
        listed = [{"name": one.name, "timeout": one.timeout} for one in scripts]
        packed = suite.packed()
        try:
            if len(packed) > INLINE:
                given = {**given, "archive_file": self.copied(packed)}
            else:
                given = {**given, "archive": base64.b64encode(packed).decode()}
            module = {"module_name": "nodewise.cluster.smoke_scripts", "module_args": {**given, "scripts": listed}}
            with ending_with_the_playbook():
                answer = dict(self._execute_module(**module, task_vars=task_vars))
        except AnsibleConnectionFailure as lost:
            return {}, f"the host cannot be reached: {lost}"
        except AnsibleError as problem:
            return {}, str(problem)
        finally:
            with suppress(AnsibleError):
                self._remove_tmp_path(self._connection._shell.tmpdir)  # noqa: SLF001  as ansible.builtin.copy does
        if answer.get("failed") or "results" not in answer:
            return {}, str(answer.get("msg") or answer.get("module_stderr") or "the module ended without a message")
        return answer, "it was not among the host's answers"

    def copied(self, packed: bytes) -> str:
        """Copy a large suite to the host; return where it is there."""
        self._make_tmp_path()
        there = self._connection._shell.join_path(self._connection._shell.tmpdir, "suite.tar")  # noqa: SLF001  see above
        with tempfile.NamedTemporaryFile() as file:
            file.write(packed)
            file.flush()
            self._transfer_file(file.name, there)
        self._fixup_perms2((self._connection._shell.tmpdir, there))  # noqa: SLF001  see above
        return str(there)


@contextmanager
def ending_with_the_playbook() -> Iterator[None]:
    """End this process when ansible-playbook was killed: its workers go on, and so would what they wait for on the hosts."""
    parent, over = os.getppid(), threading.Event()

    def watch() -> None:
        while not over.wait(LOOK):
            if os.getppid() != parent:
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


ENDS = (".out", ".err", ".results")


def files(answer: dict[str, Any]) -> dict[str, bytes]:
    """What to keep of an answer: output, and files, by their names in the host's folder."""
    kept = {}
    for one in answer.get("results", []):
        for key, end in zip(("stdout", "stderr", "told"), ENDS, strict=True):
            if one.get(key):
                kept[one["script"] + end] = one[key].encode("utf-8", "replace")
    for one in answer.get("files", []):
        where = f"{one['script']}/" if one["script"] else "suite/"
        left_out = f"left out: {one['size']} bytes, and no room for them\n".encode()
        kept[where + one["name"]] = left_out if one["content"] is None else base64.b64decode(one["content"])
    return kept


def told(results: list[Any], expected: int) -> dict[str, Any]:
    """The counts of one host."""
    counts = {f"{word}": sum(one.status == status for one in results) for word, status in WORDS.items()}
    return {"expected": expected, **counts, "flaky": sum(one.flaky for one in results)}


WORDS = {"passed": "pass", "failed_scripts": "fail", "skipped_scripts": "skip"}


def about(task_vars: dict[str, Any], host: str) -> dict[str, str]:
    """What every script is told of the cluster."""
    run = plain(task_vars.get("nodewise_run") or {})
    members, hostvars = run.get("members") or [host], task_vars["hostvars"]

    def each(*names: str) -> str:
        values = (
            (one, next((hostvars[one][name] for name in names if one in hostvars and hostvars[one].get(name)), ""))
            for one in members
        )
        return " ".join(f"{one}={value}" for one, value in values if value)

    return {
        "NODEWISE_HOST": host,
        "NODEWISE_CLUSTER": run.get("cluster", ""),
        "NODEWISE_SYSTEM": run.get("system") or "",
        "NODEWISE_RUN": run.get("id", ""),
        "NODEWISE_MEMBERS": " ".join(members),
        "NODEWISE_ADDRESSES": each("nodewise_address", "ansible_host") or " ".join(f"{one}={one}" for one in members),
        "NODEWISE_CLIENT_URLS": each("nodewise_client_url"),
    }
