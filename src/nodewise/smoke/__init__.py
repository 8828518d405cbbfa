# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Suites of scripts, run after a deploy and between the nodes of an upgrade: read, planned, judged and told."""
