# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Described services: what is wrong in a description, what nodes are asked, and a declaration without what a service lacks."""

from __future__ import annotations

import copy
import json
import re
import time
from pathlib import Path
from typing import Any

import jmespath
import pytest
import yaml
from click.testing import CliRunner

from ansible_collections.nodewise.cluster.plugins.module_utils.app.info import print_of
from ansible_collections.nodewise.cluster.plugins.module_utils.app.values import evaluate
from nodewise.cli.main import main, nodewise
from nodewise.errors import Refused, UsageError
from nodewise.fields import fields
from nodewise.releases.rules import load_rules
from nodewise.systems.app import description
from nodewise.systems.app.description import compiled, read
from nodewise.systems.app.lint import lint
from nodewise.systems.app.resolved import resolved, secrets
from nodewise.upgrade.declared import declaration, vocabulary

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles/app"
PAGE = ROOT / "docs/app.md"
READY: dict[str, Any] = {"http": {"port": 8080, "path": "/health"}}
GOOD: dict[str, Any] = {
    "name": "greeter",
    "command": "{bin}/greeter --words 'a b' --cost $5",
    "any": {"wheels": "greeter=={version}", "binaries": {"greeter": "bin/greeter"}},
    "ready": READY,
    "version": {"http": {"port": 8080, "path": "/version"}, "value": "version"},
}
DRAIN = {"act": [{"file": {"path": "/run/out"}}], "undo": [{"file": {"path": "/run/out", "present": False}}]}


def run(*words: str) -> tuple[int, str]:
    """`nodewise app` with words: its exit code, and what it printed."""
    done = CliRunner().invoke(nodewise, ["app", *words])
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ready": {"htpp": {}}}, "nodewise_app.ready.htpp: there is no such field (did you mean http?)"),
        ({"redy": {}}, "nodewise_app.redy: there is no such field (did you mean ready?)"),
        ({"drain": {"act": [{"comand": 1}]}}, "nodewise_app.drain.act[0].comand: there is no such field (did you mean command?)"),
        ({"files": {"/x": {"contents": ""}}}, "nodewise_app.files[...].contents: there is no such field (did you mean content?)"),
        ({"ready": {"http": {"port": "x"}}}, "nodewise_app.ready.http.port: expected `int`, got `str`"),
        ({"ready": {"http": {"port": 70000}}}, "nodewise_app.ready.http.port: expected `int` <= 65535"),
        ({"ready": {"http": {"port": 1, "scheme": "htps"}}}, "http.scheme: invalid enum value 'htps' (did you mean https?)"),
        ({"ready": {"http": {}}}, "nodewise_app.ready.http: missing required field `port`"),
        (
            {"ready": {**READY, "tcp": {"port": 1}}},
            "nodewise_app.ready: expected one of http, tcp, command, file, found http and tcp",
        ),
        ({"ready": {**READY, "says": "("}}, "nodewise_app.ready.says: '(' is not a regular expression"),
        ({"version": {**READY, "value": "a.["}}, "nodewise_app.version.value: 'a.[' is not JMESPath"),
        ({"version": {**READY, "value": "sort_by(a, &b)"}}, "nodewise_app.version.value: a node cannot evaluate expref, sort_by()"),
        ({"ready": {"http": {"port": 1, "method": "PUT"}}}, "nodewise_app.ready.http.method: PUT changes something"),
        ({"name": "My App"}, "nodewise_app.name: 'My App'; expected up to 31 of a-z"),
        ({"unit": "[Service]"}, "nodewise_app.command: expected either a command or a unit of your own, found both"),
        ({"command": ""}, "nodewise_app.command: expected either a command or a unit of your own, found neither"),
        ({"stateless": True, "state": READY}, "nodewise_app.stateless: a service with a state to compare is not stateless"),
        ({"secrets": {"A-B": "x"}}, "nodewise_app.secrets.A-B: no name of an environment variable"),
        ({"files": {"etc/x": {"content": ""}}}, "nodewise_app.files.etc/x: expected an absolute path"),
        (
            {"bootstrap": {"act": [READY], "until": []}},
            "nodewise_app.bootstrap.until: expected a question that tells whether it is done",
        ),
        ({"drain": {**DRAIN, "undo": []}}, "nodewise_app.drain: expected at least one act, and one in undo"),
        ({"any": None}, "nodewise_app.releases: expected at least one version, or any"),
        (
            {"releases": {"1": {"artifacts": [{"url": "ftp://x", "sha256": "0" * 64, "kind": "tar"}], "binaries": {"a": "b"}}}},
            "no URL",
        ),
        (
            {"any": {"packages": ["greeter"]}, "check": READY},
            "nodewise_app.check: a package's programs come when",
        ),
        ({"services": {}}, "this is a Compose file, which Nodewise does not read"),
        ({"apiVersion": "v1", "kind": "Pod"}, "this is a Kubernetes manifest, which Nodewise does not read"),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_named(change: dict[str, Any], says: str) -> None:
    """By its path, with the word that may have been meant; a description without the change is good."""
    assert "greeter" == read(GOOD).name
    with pytest.raises(UsageError) as refused:
        read({**GOOD, **change})
    assert says.replace("no URL", "is not a URL of http") in str(refused.value)


def test_a_field_that_is_missing_at_the_top() -> None:
    """Its name is told whole."""
    with pytest.raises(UsageError, match=r"^nodewise_app: missing required field `name`$"):
        read({name: value for name, value in GOOD.items() if name != "name"})


def test_all_that_is_wrong_is_named_at_once() -> None:
    """A line for each, where the shape is right."""
    with pytest.raises(UsageError) as refused:
        read({**GOOD, "name": "X", "ready": {}, "version": {**READY, "says": "["}})
    assert ["name", "ready", "version.says"] == re.findall(r"^nodewise_app\.([\w.]+): ", str(refused.value), re.MULTILINE)


SEEN = {
    "a": {"b": [{"n": 2, "x": "z", "t": []}, {"n": 0}, {"n": 3, "x": "", "deep": {"k": [1, [2]]}}]},
    "n": 0,
    "t": "text",
    "e": {},
}


@pytest.mark.parametrize(
    "text",
    [
        *("a.b[0].n", "a.b[-1].n", "a.b[9]", "a.zzz.b", "t", "@", "a.b[].n", "a.b[*].x", "a.b[].t[]", "a.b[].deep.k[]"),
        *("a.*", "a.b[].{n: n, x: x}", "a.b[].[n, x]", "a.b[?n > `1`].n", "a.b[?n == `0`] | [0]", "a.b[?x].x", "a.b[?!x].n"),
        *("a.b[?n >= `2` && x].x", "a.b[?n < `2` || x == 'z'].n", "length(a.b)", "sort(a.b[].n)", "max(a.b[].n)", "min(a.b[].n)"),
        *("sum(a.b[].n)", "to_string(a.b[0])", "n || t", "e || t", "e && t", '"a"."b"[1]', "zzz.{a: b}", "keys(a)", '`{"k": 1}`.k'),
    ],
)
def test_a_node_evaluates_as_jmespath_does(text: str) -> None:
    """The interpreter of nodes finds what the library finds."""
    assert jmespath.search(text, copy.deepcopy(SEEN)) == evaluate(compiled(text), SEEN)


def test_a_state_is_equal_in_any_order() -> None:
    """Of lists, at any depth; another entry is another state."""
    one, same = ([{"s": [1, 2]}, {"s": []}], [{"s": []}, {"s": [2, 1]}])
    assert print_of(one) == print_of(same)
    assert print_of(one) != print_of([{"s": [1, 2]}, {"s": [1]}])


def test_what_the_role_reads() -> None:
    """Places are filled in, the unit's line is quoted for systemd, members have their addresses."""
    made = resolved({**GOOD, "environment": {"A": '100% "x"'}}, {"n1": {}, "n2": {"ansible_host": "10.0.0.2"}}, "n2")
    assert '/opt/nodewise/greeter/current/bin/greeter --words "a b" --cost $$5' == made["exec"]
    assert ['"A=100%% \\"x\\""'] == made["environment"]
    assert [{"name": "n1", "address": "n1"}, {"name": "n2", "address": "10.0.0.2"}] == made["access"]["members"]
    assert {"url": "http://10.0.0.2:8080", "paths": ["/health"]} == made["probe"]


def test_an_image_is_run_by_podman() -> None:
    """As the service's user and as the unit's own processes; what the command hands over comes after what podman is told."""
    image = {
        "any": None,
        "podman": ["--init"],
        "command": "{bin}/greeter --words 'a b'",
        "user": "g",
        **images("docker://r.example/g@sha256:"),
    }
    made = resolved({**GOOD, **image}, {"n1": {}}, "n1")
    first, *others = made["exec"].partition(" -- ")
    assert (True, '--words "a b"') == (made["podman"], others[-1])
    assert first.startswith("/opt/nodewise/greeter/current/bin/greeter g --name=greeter --rm ")
    assert {"--cgroups=disabled", "--read-only", "--cap-drop=all", "--init"} <= set(first.split())
    assert not resolved(GOOD, {"n1": {}}, "n1")["podman"]


def images(url: str, kind: str = "image") -> dict[str, Any]:
    """Releases with an artifact of a URL that its digest follows on."""
    artifact = {"kind": kind, "url": f"{url}{'0' * 64}", "sha256": "0" * 64}
    return {"releases": {"1.0.0": {"artifacts": [artifact], "binaries": {"greeter": "run"}}}}


@pytest.mark.parametrize(
    ("url", "kind"),
    [("docker://r.example/g:1.0.0-", "image"), ("https://r.example/g@sha256:", "image"), ("docker://r.example/g@sha256:", "tar")],
)
def test_an_image_is_named_by_its_digest(url: str, kind: str) -> None:
    """A tag may mean something else tomorrow."""
    with pytest.raises(UsageError, match="expected docker://HOST/NAME@sha256:DIGEST for an image"):
        read({**GOOD, **images(url, kind)})


def test_packages_are_asked_for_at_the_version_that_is_wanted() -> None:
    """So that an index which does not know it is fetched anew; wheels are no packages of the node."""
    offered = {**GOOD, "any": {"packages": ["greeter-{major}"]}}
    given = {"nodewise_version": "1.0.0", "nodewise_to": "2.1.0"}
    assert ["greeter-2=2.1.0"] == resolved(offered, {"n1": given}, "n1")["packages"]
    assert [] == resolved(GOOD, {"n1": given}, "n1")["packages"]


def test_how_long_an_answer_may_take() -> None:
    """A member that does not answer is soon told; a check of the configuration, and an act, take as long as a program takes."""
    drain = {**DRAIN, "undo": [{**DRAIN["undo"][0], "timeout": 5}], "until": [{"tcp": {"port": 1}}]}
    made = resolved({**GOOD, "check": {"command": "{bin}/greeter --check"}, "drain": drain}, {"n1": {}}, "n1")
    assert (60, 2) == (made["check"]["timeout"], made["access"]["questions"]["ready"]["timeout"])
    assert [60, 2, 5] == [made["drain"][name][0]["timeout"] for name in ("act", "until", "undo")]


def test_secrets() -> None:
    """They are written as systemd reads them; those that have no value are named."""
    assert 'TOKEN="a\\"b\\$c"\n' == secrets({"TOKEN": "vault_token"}, {"vault_token": 'a"b$c'})
    with pytest.raises(KeyError, match="vault_token, vault_key"):
        secrets({"A": "vault_token", "B": "vault_key", "C": "there"}, {"vault_token": "", "there": "x"})


def described(**more: Any) -> Any:
    """What gives the variable that describes the service."""
    return lambda name: {**GOOD, **more} if name == "nodewise_app" else None


def test_a_service_without_state_drain_and_start_time() -> None:
    """It has no fingerprint, steps and gates that would ask for them; the plan says what is not watched."""
    bare = declaration(ROLE, described=described())
    assert ["switch"] == [step.name for step in bare.steps]
    assert ["quorum", "leader", "fingerprint"] == bare.lacks
    assert {"serving": True, "node_version": "to"} == bare.steps[0].settled
    assert not {"others_undisturbed", "node_undisturbed", "members_in_service", "fingerprints_equal"} & set(vocabulary(bare, {}))
    assert 2 == len(bare.gaps)


def test_a_service_with_all_of_it() -> None:
    """It keeps all steps and gates."""
    service = described(state=READY, started=READY, drain=DRAIN, balancer=READY, stateless=True)
    schema = {"expand": "x", "backfill": {"table": "t"}, "contract": "y"}
    whole = declaration(ROLE, described=lambda name: schema if name == "nodewise_schema" else service(name))
    assert ["drain", "switch", "undrain"] == [step.name for step in whole.steps]
    assert {"others_undisturbed", "node_undisturbed", "members_in_service", "fingerprints_equal"} <= set(vocabulary(whole, {}))
    assert declaration(ROLE) == whole


def test_releases_of_a_description() -> None:
    """They are those of the rules, which say all else; what cannot be read is refused by the variable's name."""
    rules = load_rules(ROLE, described=described(floors={"2.0": "1.9.0"}))
    assert ("any", "greeter=={version}", {"2.0": "1.9.0"}) == (rules.hops.step, rules.any and rules.any.wheels, rules.floors)
    with pytest.raises(Refused, match="nodewise_app: "):
        load_rules(ROLE, described=described(any={"whels": ""}))


def test_an_example(tmp_path: Path) -> None:
    """It is written once, and nothing is wrong in it; each release is there with its checksum."""
    folder = tmp_path / "greeter"
    assert 0 == run("init", str(folder))[0]
    assert (0, f"{folder}/greeter.yml: greeter is described\n") == run("lint", str(folder / "greeter.yml"))
    code, said = run("init", str(folder))
    assert (2, True) == (code, "is there already; nothing was written" in said)


def test_lint_speed(tmp_path: Path) -> None:
    """A description is read and checked in 0.2 s at most."""
    run("init", str(tmp_path / "greeter"))
    began = time.process_time()
    lint(tmp_path / "greeter/greeter.yml")
    assert time.process_time() - began < 0.2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("all: {children: {a: {vars: {nodewise_app: %s}}}}", ""),
        ("%s", ""),
        ("nodewise_app: %s\nother: {nodewise_app: {}}", "has 2 descriptions"),
        ("apiVersion: v1\nkind: Deployment\n---\nkind: Service\n", "this is a Kubernetes manifest"),
        ("services: {web: {image: x}}\n", "this is a Compose file"),
        ("[]", "nodewise_app is list; expected a mapping"),
        ("{", "cannot be read"),
    ],
)
def test_lint_finds_the_description(text: str, says: str, tmp_path: Path) -> None:
    """In variables, in an inventory, or as the whole file; what describes services to something else is refused by its name."""
    file = tmp_path / "file.yml"
    file.write_text(text.replace("%s", json.dumps(GOOD)))
    code, said = run("lint", str(file))
    assert (2 if says else 0) == code
    assert (says or "greeter is described") in said


def test_lint_takes_templates_for_right(tmp_path: Path) -> None:
    """What Ansible would fill in is of the type that is expected; a word that is not there is still named."""
    file = tmp_path / "file.yml"
    ready = {"http": {"port": "{{ port }}", "headers": "{{ all_of_them }}"}, "timeout": "{{ seconds }}"}
    file.write_text(yaml.safe_dump({"nodewise_app": {**GOOD, "stateless": "{{ yes_or_no }}", "ready": ready}}))
    assert 0 == run("lint", str(file))[0]
    file.write_text(yaml.safe_dump({"nodewise_app": {**GOOD, "ready": {**ready, "sais": ""}}}))
    assert "nodewise_app.ready.sais: there is no such field (did you mean says?)" in run("lint", str(file))[1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[a, b]", "has no variables; expected a mapping of names to values"),
        ("{", "cannot be read"),
        (None, "vars.yml cannot be read: [Errno 2] No such file"),
        ("nodewise_system: no_such_system\nnodewise_version: 1", "no system named 'no_such_system'"),
        ("nodewise_version: 1.0.0", "--version 1.0.0 needs --system"),
    ],
)
def test_variables_of_a_file(text: str | None, says: str, tmp_path: Path) -> None:
    """`testnet up --vars` takes system and version from it; a file that has none is refused, and nothing is made."""
    file = tmp_path / "vars.yml"
    if text is not None:
        file.write_text(text)
    done = CliRunner().invoke(main, ["up", "--vars", str(file)])
    assert (2, True) == (done.exit_code, says in done.output), done.output


PARTS = (description.App, description.Question, description.Http, description.Tcp, description.File)
MORE = (description.Drain, description.Balancer, description.Once, description.Keys, description.Content)


@pytest.mark.parametrize("part", [*PARTS, *MORE], ids=lambda part: part.__name__)
def test_the_reference_is_that_of_the_code(part: Any) -> None:
    """docs/app.md has each field, with its type, its default and its sentence, and no other."""
    section = PAGE.read_text().partition(f"\n### {part.__name__}\n")[2].partition("\n### ")[0].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    own = [one for one in fields(part) if "." not in one.name]
    assert [] == [one.name for one in own if not one.says]
    assert [f"| `{one.name}` | {one.type} | {one.default} | {one.says} |" for one in own] == rows
