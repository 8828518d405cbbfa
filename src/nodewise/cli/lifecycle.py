# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`testnet up`, `down` and `image`: making and removing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click


def say(text: str) -> None:
    """A line of progress, to stderr: stdout is for results."""
    click.echo(text, err=True)


def variables(given: tuple[str, ...]) -> dict[str, Any]:
    """KEY=VALUE as variables: a value is YAML, but a number with a point stays a text, as versions are."""
    import yaml

    found = {}
    for pair in given:
        key, separator, text = pair.partition("=")
        if not separator or not key.isidentifier():
            raise click.BadParameter(f"{pair!r}: expected KEY=VALUE, such as nodewise_synchronous=true")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise click.BadParameter(f"{pair!r}: the value is not YAML; put it in quotes") from None
        found[key] = text if isinstance(value, float) else value
    return found


def of_files(paths: tuple[str, ...]) -> dict[str, Any]:
    """The variables of YAML files, those of a later one before those of an earlier one."""
    import yaml

    found: dict[str, Any] = {}
    for path in paths:
        try:
            said = yaml.safe_load(Path(path).read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise click.BadParameter(f"{path} cannot be read: {' '.join(str(error).split())}") from None
        if not isinstance(said, dict):
            raise click.BadParameter(f"{path} has no variables; expected a mapping of names to values")
        found |= said
    return found


@click.command()
@click.option("--nodes", "-n", type=int, help="How many nodes.  [default: 3, or what the scenario says]")
@click.option("--name", default="dev", show_default=True, help="Of the testnet; its nodes are NAME-n1, NAME-n2, ...")
@click.option("--subnet", metavar="CIDR", help="Address range of its network.  [default: a free one]")
@click.option("--system", metavar="NAME", help="Provision a cluster of this system on it, such as etcd, or a role's FQCN.")
@click.option("--version", metavar="V", help="The version of the system.  [default: what its role says, if it does]")
@click.option("--var", metavar="KEY=VALUE", multiple=True, help="A variable for Ansible, such as nodewise_soak=5.")
@click.option("--vars", "files", metavar="FILE", multiple=True, help="A YAML file of variables for Ansible.")
@click.option("--keep-failed", is_flag=True, help="Keep what was made when something fails, to look at it.")
@click.option("--scenario", metavar="NAME", help="Run this scenario on it, on the cluster that it names unless --system names one.")
def up(nodes: int | None, name: str, scenario: str | None, **more: Any) -> None:
    """Make a testnet and wait until every node is reachable over SSH.

    The first time the node image is built, which takes about a minute.

    \b
    testnet up --nodes 5
    testnet up --nodes 3 --name old --system etcd --version 3.4.23
    testnet up --nodes 3 --system postgresql --var nodewise_synchronous=true
    testnet up --nodes 3 --vars greeter/greeter.yml
    testnet up --nodes 3 --name lab --subnet 10.99.0.0/24
    testnet up --nodes 5 --scenario replication-under-partition

    With a scenario the exit code is its verdict, as of testnet run, and the cluster stays up.
    """
    if scenario:
        from nodewise.cli.rehearse import rehearse
        from nodewise.simulation import scenario as scenarios

        if more["subnet"] or more["var"] or more["files"] or more["keep_failed"]:
            raise click.UsageError("--scenario goes with --nodes, --name, --system and --version; variables stand in the scenario")
        chosen = scenarios.load(scenario).on(nodes, more["system"], more["version"])
        sys.exit(rehearse(chosen, keep=True, name=name, seed=None))
    from nodewise.testnet import lifecycle
    from nodewise.testnet.request import Request
    from nodewise.views.working import working

    said = of_files(more.pop("files"))
    given = {**more, "variables": {**said, **variables(more["var"])}}
    del given["var"]
    for option in ("system", "version"):  # a file describes a cluster, which is then provisioned
        given[option] = given[option] or said.get(f"nodewise_{option}")
    with working(err=True) as progress:
        made = lifecycle.up(Request(name, 3 if nodes is None else nodes, **given), progress)
    click.echo(f"testnet {made.name} is up: {', '.join(node.name for node in made.nodes)} on {made.subnet}")


@click.command()
@click.option("--name", default="dev", show_default=True, help="The testnet to remove.")
@click.option("--all", "everything", is_flag=True, help="Remove all testnets that were made from here.")
def down(name: str, everything: bool) -> None:
    """Remove a testnet: nodes, network, firewall rules, keys. Also one that is half-made; doing it twice is fine.

    \b
    testnet down
    testnet down --name lab
    testnet down --all
    """
    from nodewise.testnet import lifecycle, overview

    here = [known.name for known in overview.everything() if not known.elsewhere]
    for chosen in here if everything else [name]:
        removed = lifecycle.down(chosen)
        others = [other for other in here if other != chosen]
        hint = f" (there is: {', '.join(others)})" if others else ""
        click.echo(f"testnet {chosen} is removed" if removed else f"no testnet named {chosen}: nothing to remove{hint}")
    if everything and not here:
        click.echo("no testnets: nothing to remove")


@click.command()
@click.option("--remove", "removing", is_flag=True, help="Remove the node images instead.")
def image(removing: bool) -> None:
    """Build the node image, unless it is there, and print its tag.

    `testnet up` does this by itself. The image is made from a base image where a container registry answers, else from the
    Debian mirror that this machine uses, and is made again when its recipe changes.
    """
    from nodewise.testnet import image as images
    from nodewise.testnet.podman import Podman
    from nodewise.views.working import working

    provider = Podman()
    provider.check()
    if not removing:
        with working(err=True) as progress:
            tag = images.ensure(provider, progress)
        click.echo(tag)
        return
    for tag in images.remove(provider) or ["no node image: nothing"]:
        click.echo(f"{tag} removed")
