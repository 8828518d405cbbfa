# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Testnets: systemd nodes as containers, on a private network, reachable over SSH with pinned keys."""
