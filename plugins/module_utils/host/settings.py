# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of settings, read as their owners write them: as YAML. This Python has no parser for that; one that is on the node has."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import PYTHON, environment
from ansible_collections.nodewise.cluster.plugins.module_utils.host.text import cut

CONVERT_S = 30.0
COMMENTS = re.compile(rb"\A(?:#[^\n]*\n)+")
NO_PARSER = 9  # exit code
CONVERT = """
import json, sys
try:
    import yaml
except ImportError:
    sys.exit(9)
try:
    found = yaml.safe_load(sys.stdin.buffer.read())
except yaml.YAMLError as error:
    mark = getattr(error, "problem_mark", None)  # without the line itself, which may hold a password
    sys.exit("%s%s" % (getattr(error, "problem", None) or "unreadable", " in line %d" % (mark.line + 1) if mark else ""))
json.dump(found, sys.stdout, default=str)
"""


class SettingsError(Failure):
    """Why a file of settings cannot be read; one line that names it."""


class Parser:
    """Reads YAML by the Python of whoever reads the file in the end: `python`, with the packages in `packages`."""

    def __init__(self, python: str | None = None, packages: str | None = None) -> None:
        self._ways = [(python or PYTHON, packages), (sys.executable, None)]

    def read(self, path: str) -> dict[str, Any]:
        """Return the named fields in a file, {} when it is not there. SettingsError, quoting nothing of it, where it is off."""
        try:
            with open(path, "rb") as stream:
                return self.fields(path, stream.read())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise SettingsError(f"{path}: {error.strerror}") from None

    def fields(self, path: str, content: bytes) -> dict[str, Any]:
        """Return the named fields in the content of a file."""
        try:
            found = json.loads(COMMENTS.sub(b"", content))  # which is YAML, too, and what ours are
        except ValueError:
            found = self._converted(path, content)
        if not isinstance(found, dict):
            raise SettingsError(f"{path}: expected YAML with named fields, found {type(found).__name__}")
        return found

    def _converted(self, path: str, content: bytes) -> Any:
        for python, packages in self._ways:
            try:
                done = subprocess.run(
                    [python, "-B", "-c", CONVERT],
                    input=content,
                    env=environment(**({"PYTHONPATH": packages} if packages else {})),
                    cwd="/",
                    capture_output=True,
                    timeout=CONVERT_S,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired):
                continue
            if done.returncode == 0:
                return json.loads(done.stdout)
            if done.returncode != NO_PARSER:
                raise SettingsError(f"{path} is not YAML: {cut(done.stderr.decode('utf-8', 'replace').strip(), 200)}")
        tried = ", ".join(dict.fromkeys(python for python, _packages in self._ways))
        raise SettingsError(f"{path} is not JSON, and no Python here reads YAML (tried {tried}): name one that has PyYAML")
