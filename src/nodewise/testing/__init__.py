# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plugin for pytest: testnets, faults and histories as fixtures of a user's own tests."""
