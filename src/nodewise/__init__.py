# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodewise: rolling upgrades of stateful clusters, behind gates. The map of the package is ARCHITECTURE.md."""

from __future__ import annotations

__version__ = "0.1.0"
