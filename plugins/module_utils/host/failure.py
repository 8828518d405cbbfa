# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The base of what modules fail with."""

from __future__ import annotations


class Failure(Exception):
    """Why a module did not do what it was asked for: one or two lines with what was found, what was expected, what to do next.

    EtcdError, PostgresqlError, LockError and all others of module_utils; `journal` are the last lines of a unit that did not start.
    """

    journal: list[str] = []
