# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of a service, `nodewise_app`: its fields, and what is wrong with one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import jmespath
import jmespath.exceptions
import msgspec
from msgspec import Meta

from nodewise.errors import Refused, UsageError
from nodewise.fields import Named, located
from nodewise.releases.rules import Hops, Rules, with_overrides

ROOT = "nodewise_app"
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
KINDS = ("http", "tcp", "command", "file")
# What a node can evaluate of JMESPath, which has no library for it: plugins/module_utils/app/values.py.
NODES = frozenset(
    [
        *("and_expression", "comparator", "current", "field", "filter_projection", "flatten", "function_expression", "identity"),
        *("index", "index_expression", "key_val_pair", "literal", "multi_select_dict", "multi_select_list", "not_expression"),
        *("or_expression", "pipe", "projection", "subexpression", "value_projection"),
    ]
)
FUNCTIONS = ("keys", "length", "max", "min", "sort", "sum", "to_string")
Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(gt=0)]


class Http(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A request to the member, or to another host."""

    port: Port  # on which the host listens
    path: str = "/"  # with the query, where there is one
    host: str = ""  # the member's own address unless it is said
    scheme: Literal["http", "https"] = "http"  # https proves the server's name
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"  # a question is a GET or a POST, an act may be any
    body: str = ""  # what is sent
    headers: dict[str, str] = {}  # by name; their values are shown nowhere
    status: int = 200  # the status that is expected
    ca: str = ""  # certificate of the authority, a file on the node; the system's own authorities unless it is said
    cert: str = ""  # the node's own certificate, a file on the node
    key: str = ""  # its private key, a file on the node


class Tcp(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A connection to the member, or to another host; what it answers is read until it closes or falls silent."""

    port: Port  # on which the host listens
    host: str = ""  # the member's own address unless it is said
    send: str = ""  # a line that is sent first


class File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A file on the node that is there or not: as an act it is made or removed."""

    path: str  # on the member's own node
    present: bool = True  # whether it is there, or is made


class Question(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Exactly one of http, tcp, command and file, and what the answer has to be."""

    http: Annotated[Http | None, Named("mapping")] = None  # a request
    tcp: Annotated[Tcp | None, Named("mapping")] = None  # a connection
    # a program and its arguments, run on the node that asks, for each member: it asks the member at {address}
    command: Annotated[list[str] | str | None, Named("text or list")] = None
    file: Annotated[File | None, Named("mapping")] = None  # a file on the node
    value: str = ""  # JMESPath: what of an answer in JSON is meant; all of the answer unless it is said
    says: str = ""  # a regular expression that the answer, or its value, has to match; with a group, the group is the value
    # seconds for one answer: 2 unless it is said; 60 for what may take long, a check and an act
    timeout: Annotated[Seconds | None, Named("number, more than 0")] = None


Questions = Annotated[list[Question], Named("list of questions")]


class Drain(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How a member is taken out of service, and brought back."""

    act: Questions  # what is done, one after the other
    until: Questions = msgspec.field(default_factory=list)  # what must hold before the member is stopped: no connection is left
    undo: Questions  # what brings the member back
    back: Questions = msgspec.field(default_factory=list)  # what must hold before the next member is begun
    deadline: Seconds = 60.0  # seconds in which all of it must hold


class Balancer(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How many members the load balancer can do without, at any moment."""

    servers: Annotated[Question, Named("question")]  # each place where its says matches is a server that takes requests
    least: Annotated[int, Meta(ge=1)] = 1  # so many have to be left


class Once(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is done once for the cluster, by its first member, when all members were started."""

    act: Questions  # may be run again when it ran halfway
    until: Questions  # what holds when it is done: it is asked first
    deadline: Seconds = 60.0  # seconds in which until must hold


class Keys(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How testnet run writes and reads a value by its key, through each member; `host` is somebody in front of them."""

    get: Annotated[Http, Named("mapping")]  # answers with the value of {key}; 404 says that there is none
    set: Annotated[Http, Named("mapping")]  # sets {key} to {value}; an answer of the expected status is a promise


class Content(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A file that the service reads."""

    content: str  # its text; Ansible's lookup template reads it from a file
    mode: str = "0644"  # octal digits
    owner: str = ""  # root unless it is said
    group: str = ""  # root unless it is said


class App(Rules, forbid_unknown_fields=True, kw_only=True):
    """A service, as nodewise_app describes it. What it says of its releases is what a role says in its releases.yml."""

    # how far one upgrade may go: step is any (straight to the target) or minor (each in turn), within may be major
    hops: Annotated[Hops, Named("mapping")] = msgspec.field(default_factory=lambda: Hops(step="any"))
    name: str  # of the service: of its unit, its user and its folders
    command: Annotated[list[str] | str, Named("text or list")] = (
        ""  # what the unit runs; {bin} is the folder of the release's programs
    )
    unit: str = ""  # the whole unit, instead of the command; it goes through {bin}
    # the releases are images, which podman runs: further options of podman run; the command is {bin}/NAME and what is handed to it
    podman: Annotated[list[str] | None, Named("list")] = None
    user: str = ""  # that it runs as; its name unless it is said
    environment: dict[str, str] = msgspec.field(default_factory=dict)  # of the process, by name
    secrets: dict[str, str] = msgspec.field(default_factory=dict)  # variable of the environment -> Ansible's variable, from a vault
    files: dict[str, Content] = msgspec.field(default_factory=dict)  # by path
    # refuses a release that would not start with the files there are: run with the new release's {bin} before anything is stopped
    check: Annotated[Question | None, Named("question")] = None
    bootstrap: Annotated[Once | None, Named("mapping")] = None  # what is done once for the cluster
    ready: Annotated[Question, Named("question")]  # whether a member serves
    version: Annotated[Question, Named("question")]  # what the running process says
    started: Annotated[Question | None, Named("question")] = None  # anything that is another after a restart: a time, a pid
    state: Annotated[Question | None, Named("question")] = None  # what must be equal on all members; lists in any order
    drain: Annotated[Drain | None, Named("mapping")] = None  # how a member is taken out of service and brought back
    balancer: Annotated[Balancer | None, Named("mapping")] = None  # never is more stopped than it can do without
    workload: Annotated[Keys | None, Named("mapping")] = None  # what a rehearsal's clients do, so that lost writes are found
    stateless: bool = False  # whether several members may be changed at once: nodewise_max_unavailable
    start_timeout: Seconds = 120.0  # seconds that starting and stopping may take each


def read(given: object) -> App:
    """The description. Raises UsageError with a line for each thing that is wrong: its path, and what may have been meant."""
    refuse_others(given)
    try:
        app = msgspec.convert(given, App, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(located(error, App, ROOT)) from None
    if wrong := list(problems(app)):
        raise UsageError("\n".join(f"{ROOT}.{line}" for line in wrong))
    try:
        with_overrides(app, {version: msgspec.to_builtins(source) for version, source in app.releases.items()})
    except Refused as refused:
        raise UsageError(str(refused).replace("nodewise_releases", f"{ROOT}.releases", 1)) from None
    return app


def refuse_others(given: object) -> None:
    """Raise UsageError for what describes services to something else."""
    if not isinstance(given, Mapping):
        raise UsageError(f"{ROOT} is {type(given).__name__}; expected a mapping: nodewise app init writes an example")
    other = "a Kubernetes manifest" if {"apiVersion", "kind"} <= set(given) else "a Compose file" if "services" in given else ""
    if other:
        raise UsageError(
            f"this is {other}, which Nodewise does not read: it runs services as systemd units on hosts.\n"
            "Describe the service as nodewise_app; nodewise app init writes an example"
        )


def questions(app: App) -> Iterator[tuple[str, Question, bool]]:
    """Each question with its path, and whether it is an act, which may change something."""
    for name in ("check", "ready", "version", "started", "state"):
        if one := getattr(app, name):
            yield name, one, False
    if app.balancer:
        yield "balancer.servers", app.balancer.servers, False
    parts: dict[str, tuple[Any, dict[str, bool]]] = {
        "drain": (app.drain, {"act": True, "until": False, "undo": True, "back": False}),
        "bootstrap": (app.bootstrap, {"act": True, "until": False}),
    }
    for part, (said, names) in parts.items():
        for name, acts in names.items() if said else ():
            yield from ((f"{part}.{name}[{number}]", one, acts) for number, one in enumerate(getattr(said, name)))


def problems(app: App) -> Iterator[str]:
    """What the types of the fields do not tell."""
    drain, once = app.drain, app.bootstrap
    found = ("both" if app.command else "neither") if bool(app.command) == bool(app.unit) else ""
    said = {
        f"name: {app.name!r}; expected up to 31 of a-z, 0-9 and -, a letter first": not NAME.fullmatch(app.name),
        f"command: expected either a command or a unit of your own, found {found}": found,
        "stateless: a service with a state to compare is not stateless; leave one of the two out": app.stateless and app.state,
        "releases: expected at least one version, or any, which says where every version comes from": not (app.releases or app.any),
        "check: a package's programs come when the member is stopped, so leave it out": app.check and _installed(app),
        "bootstrap.until: expected a question that tells whether it is done, so that it is done once": once and not once.until,
        "balancer.servers.says: expected what matches once for each server": app.balancer and not app.balancer.servers.says,
        "drain: expected at least one act, and one in undo that brings the member back": drain and not (drain.act and drain.undo),
    }
    yield from (line for line, wrong in said.items() if wrong)
    for name, lacks in (("get", ("{key}",)), ("set", ("{key}", "{value}"))) if app.workload else ():
        asked: Http = getattr(app.workload, name)
        sent = f"{asked.path} {asked.body} {asked.headers}"
        yield from (f"workload.{name}: expected {word} in its path, body or headers" for word in lacks if word not in sent)
    for kind in ("environment", "secrets"):
        names = (name for name in getattr(app, kind) if not ENVIRONMENT.fullmatch(name))
        yield from (f"{kind}.{name}: no name of an environment variable" for name in names)
    yield from (f"files.{path}: expected an absolute path" for path in app.files if not path.startswith("/"))
    for path, one, acts in questions(app):
        yield from (f"{path}{line}" for line in _question(one, acts))


def _installed(app: App) -> bool:
    """Whether a release is installed by the nodes' package manager."""
    offered = bool(app.any and app.any.packages)
    return offered or any(artifact.kind == "package" for source in app.releases.values() for artifact in source.artifacts)


def _question(one: Question, acts: bool) -> Iterator[str]:
    found = [kind for kind in KINDS if getattr(one, kind) is not None]
    if len(found) != 1:
        yield f": expected one of {', '.join(KINDS)}, found {' and '.join(found) or 'none'}"
    if one.http and not acts and one.http.method not in ("GET", "POST"):
        yield f".http.method: {one.http.method} changes something; a question is a GET or a POST"
    if one.file and not acts and one.value:
        yield ".value: a file is there or not, and has no value"
    try:
        re.compile(one.says)
    except re.error as error:
        yield f".says: {one.says!r} is not a regular expression: {error}"
    try:
        if one.value and (unknown := sorted(set(_unknown(compiled(one.value))))):
            known = f"fields, lists, filters and the functions {', '.join(FUNCTIONS)}"
            yield f".value: a node cannot evaluate {', '.join(unknown)}; it knows {known}"
    except jmespath.exceptions.JMESPathError as error:
        yield f".value: {one.value!r} is not JMESPath: {' '.join(str(error).splitlines()[:1])}"


def compiled(text: str) -> dict[str, Any]:
    """A JMESPath, parsed: a tree that a node evaluates."""
    return dict(jmespath.compile(text).parsed)


def _unknown(node: Any) -> Iterator[str]:
    if node["type"] not in NODES:
        yield node["type"].replace("_", " ")
    if node["type"] == "function_expression" and node["value"] not in FUNCTIONS:
        yield f"{node['value']}()"
    for child in node.get("children", []):
        yield from _unknown(child)


def words(command: list[str] | str) -> list[str]:
    """A program and its arguments; a text is split as a shell would, which is not asked."""
    return shlex.split(command) if isinstance(command, str) else command
