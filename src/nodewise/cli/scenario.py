# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`testnet scenario`: the fields of a scenario, and of each fault, from the code that reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nodewise.errors import UsageError

if TYPE_CHECKING:
    from nodewise.fields import Field


@click.command()
@click.argument("field", required=False)
@click.option("--all", "everything", is_flag=True, help="All fields, those of the kinds of faults as well.")
def scenario(field: str | None, *, everything: bool) -> None:
    """Say what FIELD of a scenario is: its type, what it is unless it is said, and what it means, with the fields in it.

    \b
    testnet scenario workload
    testnet scenario progress.within
    testnet scenario faults.partition
    testnet scenario --all
    """
    from nodewise.simulation.reference import everywhere
    from nodewise.text import nearest

    known = everywhere()
    if not field and not everything:
        top = ", ".join(one.name for one in known if "." not in one.name)
        raise UsageError(f"which field? expected one of {top}, or --all")
    chosen = [one for one in known if everything or one.name == field or one.name.startswith(f"{field}.")]
    if not chosen:
        raise UsageError(f"no field {field!r}{nearest(str(field), [one.name for one in known])}; testnet scenario --all has all")
    for one in chosen:
        click.echo(f"{one.name}  {about(one)}\n    {one.says}")


def about(one: Field) -> str:
    """The type of a field, and what it is unless it is said."""
    default = one.default if one.default == "required" else f"default {one.default}"
    return f"{one.type}; {default}" if one.default else one.type
