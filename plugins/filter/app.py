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
    from nodewise.systems.app import resolved, schema, squawk
except ImportError:  # the first task of each playbook says that the engine is missing
    resolved = schema = squawk = None

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


def app_schema(given: object, own: Mapping[str, Any], described: Mapping[str, Any]) -> dict[str, Any]:
    """Return what modules need of the schema of a service's database; nothing where nodewise_schema is not there."""
    try:
        return dict(schema.resolved(plain(given), own, plain(described)))
    except NodewiseError as error:
        raise AnsibleFilterError(str(error)) from None
    except KeyError as error:
        raise AnsibleFilterError(
            f"nodewise_schema.password names {error.args[0]}, which has no value on {own['inventory_hostname']}; "
            "give it one, from a vault. Nothing was changed"
        ) from None


def app_schema_refusal(pending: object, waived: Mapping[str, str]) -> str:
    """Return what is refused of migrations, a line each; nothing where all may be run."""
    try:
        return str(squawk.refusal(squawk.lint(plain(pending)), plain(waived)))
    except NodewiseError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Return them by name."""
        return {
            "app_described": app_described,
            "app_schema": app_schema,
            "app_schema_refusal": app_schema_refusal,
            "app_secrets": app_secrets,
        }
