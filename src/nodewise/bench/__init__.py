# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodewise beside the floor (a shell loop) and beside what is usual (a `serial: 1` playbook): medians, ratios, limits.

`suite.measure` runs it, `figures` holds what was measured and compares it with an earlier run, `table` prints it.
"""
