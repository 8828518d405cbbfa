# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A service's description, shaped for the role, so that tasks need no logic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import NodewiseError, plain

try:
    from nodewise.systems.app import resolved
except ImportError:  # the first task of each playbook says that the engine is missing
    resolved = None

OF_HOST = (
    "nodewise_address",
    "ansible_host",
    "nodewise_root",
    "nodewise_link",
    "nodewise_data_dir",
    "nodewise_unit",
    "nodewise_user",
)


def app_described(given: object, hostvars: Mapping[str, Any], names: list[str], host: str) -> dict[str, Any]:
    """Return what the verbs of the role need of a description, for one host."""
    hosts = {str(name): {key: plain(hostvars[name].get(key)) for key in OF_HOST} for name in names}
    try:
        return dict(resolved.resolved(plain(given), hosts, host))
    except NodewiseError as error:
        raise AnsibleFilterError(str(error)) from None


def app_secrets(described: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Return the file with the secrets of a service, from the host's variables that the description names."""
    try:
        return str(resolved.secrets(plain(described["secrets"]), own))
    except KeyError as error:
        lacking = str(error.args[0])
        raise AnsibleFilterError(
            f"nodewise_app.secrets names {lacking}, which has no value on {own['inventory_hostname']}; "
            "give it one, from a vault. Nothing was changed"
        ) from None


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Return them by name."""
        return {"app_described": app_described, "app_secrets": app_secrets}
