# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for every action that runs on the controller alone."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes that these actions share."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Works in check mode as it does otherwise, as it changes no node.
    support: full
  diff_mode:
    description: Shows no diff.
    support: none
  platform:
    description: Nodes that it can be used for.
    support: full
    platforms: posix
"""
