# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every error that a user may meet, as one tree.

NodewiseError             one or two lines: what was found, what was expected, what to do next
├── UsageError            the words of a command are off; nothing was touched (CLI exit 2)
├── Refused               an upgrade may not begin; nothing was changed (outcome `refused`)
├── Paused                nothing more may be done safely; what was done stays (outcome `paused`)
├── GateFailed            a gate was not exactly true; carries the evidence
├── SetupError            the run never got to where it could judge (CLI exit 4)
│   └── MissingTool       something has to be installed; the message names the command that does it (CLI exit 2)
└── UnknownResult         something could not be observed; never read as good (CLI exit 3)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nodewise.model import ReasonCode


class NodewiseError(Exception):
    """An error whose text is meant for the user: shown without a traceback."""

    exit_code = 1


class UsageError(NodewiseError):
    """The words of a command are off; nothing was touched."""

    exit_code = 2


class Refused(NodewiseError):
    """An upgrade may not begin; nothing was changed."""

    exit_code = 2


class Paused(NodewiseError):
    """Nothing more may be done safely at this moment; what was done stays. `reason_code` says why in a word."""

    def __init__(self, reason_code: ReasonCode, text: str) -> None:
        super().__init__(text)
        self.reason_code = reason_code


class GateFailed(NodewiseError):
    """A gate was not exactly true."""


class SetupError(NodewiseError):
    """The run never got to where it could judge."""

    exit_code = 4


class MissingTool(SetupError):
    """A program or package is missing; the message names the command that installs it. Nothing was touched."""

    exit_code = 2


class UnknownResult(NodewiseError):
    """Something could not be observed, and unknown is failure."""

    exit_code = 3
