# Copyright: Nodewise contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Packages by dnf and rpm."""

from __future__ import annotations

from ansible_collections.nodewise.cluster.plugins.module_utils.package_manager import Manager


class Dnf(Manager):
    """dnf with an index of our own, and rpm."""

    name = "dnf"
    suffix = ".rpm"
    cache = "/var/cache/dnf"
