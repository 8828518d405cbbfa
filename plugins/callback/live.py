# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Shows a run from its journal, and of other playbooks only what changed or failed."""

from __future__ import annotations

DOCUMENTATION = r"""
name: live
type: stdout
short_description: Show a Nodewise run as it happens
author: Nodewise maintainers (@nodewise)
description:
  - When a play opens a run with C(nodewise.cluster.begin), this callback follows the run's journal. On a terminal it draws a table
    of nodes and steps, elsewhere it prints a line for each event worth one.
  - Of playbooks that open no run, a line is printed for each task that changed something, with the time it took.
  - Failures are printed in one or two lines, those that a C(rescue) takes care of are not.
  - With C(-v) and above it is P(ansible.builtin.default#callback), Ansible's own output.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
options:
  view:
    description:
      - How a run is shown. V(auto) draws on a terminal and prints lines elsewhere; V(off) leaves it to another program.
    type: str
    choices: [auto, live, plain, 'off']
    default: auto
    env:
      - name: NODEWISE_VIEW
    ini:
      - section: callback_nodewise_live
        key: view
requirements:
  - set as stdout in configuration
"""

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.playbook.block import Block
from ansible.plugins.callback.default import CallbackModule as DefaultCallback

try:
    from nodewise.text import cut, fit
    from nodewise.views.live import View, follow_journal
    from nodewise.views.summary import ending, fitted
except ImportError:  # said by the first action of the play
    View = follow_journal = ending = fitted = None  # type: ignore[assignment,misc]  # said when it is needed

    def fit(text: str) -> str:
        """As it is."""
        return text

    def cut(text: str, width: int) -> str:  # noqa: ARG001
        """As it is."""
        return text


ENDINGS = ("nodewise.cluster.summary", "nodewise.cluster.smoke_suites")  # the actions that say how a run ended
LONGEST = 300  # characters of a message that a failure shows


def quiet(method: Callable[..., None]) -> Callable[..., None]:
    """With -v and above, Ansible's own method instead of this one."""

    @wraps(method)
    def chosen(self: CallbackModule, *args: Any, **kwargs: Any) -> None:
        own = getattr(super(CallbackModule, self), method.__name__)
        return own(*args, **kwargs) if self._display.verbosity else method(self, *args, **kwargs)

    return chosen


class CallbackModule(DefaultCallback):
    """The callback."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "nodewise.cluster.live"

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()
        self._task: tuple[str, float] = ("", self._began)
        self._changed: list[str] = []
        self._view: Any = None
        self._stop = threading.Event()
        self._follower: threading.Thread | None = None

    def set_options(self, task_keys: Any = None, var_options: Any = None, direct: Any = None) -> None:
        super().set_options(task_keys=task_keys, var_options=var_options, direct=direct)
        if self.get_option("view") == "off" and not self._display.verbosity:
            os.environ["NODEWISE_LIVE"] = "1"  # to the actions: who reads the journal tells what they would print

    @quiet
    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002 Ansible's names
        self._tell_task()
        self._task = (task.get_name(), time.monotonic())

    @quiet
    def v2_runner_on_ok(self, result: Any) -> None:
        answer = result.result
        if run := answer.get("ansible_facts", {}).get("nodewise_run", {}).get("dir"):
            self._show(Path(run))
        if "summary" in answer and result.task.resolved_action in ENDINGS:
            self._tell_summary(answer["summary"])
        if result.task.resolved_action == "ansible.builtin.debug" and "msg" in answer:
            self._display.display(str(answer["msg"]))
        if answer.get("changed"):
            self._changed.append(result.host.get_name())

    @quiet
    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if "summary" in result.result and result.task.resolved_action in ENDINGS:
            self._tell_summary(result.result["summary"])
        elif not ignore_errors and not rescued(result.task):
            self._tell_failure(result, "failed")

    @quiet
    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._tell_failure(result, "could not reach the host")

    @quiet
    def v2_playbook_on_stats(self, stats: Any) -> None:  # noqa: ARG002 Ansible's names
        self._tell_task()
        self._end()

    def _show(self, run: Path) -> None:
        """Follow the run's journal, unless somebody else does, or this run is followed already."""
        mode = self.get_option("view")
        if View is None or mode == "off" or self._view:
            return
        os.environ["NODEWISE_LIVE"] = "1"
        self._run = run
        self._view = View([], sys.stdout, mode == "live" or (mode == "auto" and sys.stdout.isatty()))
        self._view.__enter__()
        self._follower = threading.Thread(
            target=follow_journal, args=(run / "journal.jsonl", self._view.feed, self._stop), daemon=True
        )
        self._follower.start()
        atexit.register(self._end)  # Ctrl-C: no stats are told then, and the terminal's cursor is still hidden

    def _end(self) -> None:
        if self._follower:
            self._stop.set()
            self._follower.join()
            self._view.close()
        self._follower = None

    def _tell_task(self) -> None:
        if self._changed and not self._view and self.get_option("view") != "off":
            name, began = self._task
            now = time.monotonic()
            took = f"{now - self._began:7.1f}s  {name} ({now - began:.1f} s)"
            self._display.display(f"{took}: changed {', '.join(self._changed)}", color=constants.COLOR_CHANGED)
        self._changed = []

    def _tell_summary(self, summary: dict[str, Any]) -> None:
        self._end()  # what the journal says comes first
        if self.get_option("view") != "off":
            _outcome, *rest = ending(summary, self._run)  # the view has told the outcome
            self._display.display("\n" + "\n".join(fitted(rest, sys.stdout)))

    def _tell_failure(self, result: Any, what: str) -> None:
        self._tell_task()
        said = list(messages(result.result))
        self._display.display(f"{result.host.get_name()}: {result.task_name} {what}: {said[0]}", color=constants.COLOR_ERROR)
        for line in said[1:2]:
            self._display.display(f"  {line}", color=constants.COLOR_ERROR)


def _silent(name: str) -> Callable[..., None]:
    def nothing(self: CallbackModule, *args: Any, **kwargs: Any) -> None:
        """Worth no line."""

    nothing.__name__ = name
    return quiet(nothing)


SILENT = (
    "v2_playbook_on_start",
    "v2_playbook_on_play_start",
    "v2_playbook_on_handler_task_start",
    "v2_playbook_on_cleanup_task_start",
    "v2_playbook_on_include",
    "v2_playbook_on_no_hosts_remaining",
    "v2_playbook_on_notify",
    "v2_runner_on_skipped",
    "v2_runner_on_start",
    "v2_runner_retry",
    "v2_runner_item_on_ok",
    "v2_runner_item_on_failed",
    "v2_runner_item_on_skipped",
    "v2_on_file_diff",
)
for _name in SILENT:
    setattr(CallbackModule, _name, _silent(_name))


def rescued(task: Any) -> bool:
    """Whether a rescue around the task takes care of its failure. (Ansible has no public names for a task's surroundings.)"""
    inner, outer = task, task._parent  # noqa: SLF001 Ansible has no public way up from a task
    while outer:
        if isinstance(outer, Block) and outer.rescue:
            after = {other._uuid for other in [*outer.rescue, *outer.always]}  # noqa: SLF001
            if inner._uuid not in after:  # noqa: SLF001
                return True
        inner, outer = outer, outer._parent  # noqa: SLF001
    return False


def messages(answer: dict[str, Any]) -> Iterator[str]:
    """What went wrong, the first line first; never a traceback."""
    failed = [item for item in answer.get("results", []) if isinstance(item, dict) and item.get("failed")]
    if failed:
        return messages(failed[0])
    said = [str(answer.get("msg") or "no message"), str(answer.get("stderr") or answer.get("module_stderr") or "")]
    found = [cut(fit(line.strip()), LONGEST) for text in said for line in text.splitlines() if line.strip()]
    return iter(found if "Traceback" not in " ".join(found) else [found[0], found[-1]])
