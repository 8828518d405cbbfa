"""What the steps of a PostgreSQL upgrade decide, from what members and Patroni say."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.nodewise.cluster.plugins.module_utils.host import settings
from ansible_collections.nodewise.cluster.plugins.module_utils.host.settings import Parser, SettingsError
from ansible_collections.nodewise.cluster.plugins.module_utils.node.info import Node
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql import (
    drain,
    handover,
    patroni,
    recover,
    sessions,
    switch,
)
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import PostgresqlError
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.drain import BEFORE, OUT, Tags
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.handover import Aim, Seen

CASES = Path(__file__).parents[1] / "cases"
AIM = Aim("n1", "n2", 4)


def cases(thing: str) -> Any:
    """The files of a table, as parameters."""
    found = sorted((CASES / thing).glob("*.json"))
    assert found
    return pytest.mark.parametrize("case", [pytest.param(json.loads(path.read_text()), id=path.stem) for path in found])


@cases("postgresql_handover_asked")
def test_a_candidate_is_refused_before_anything_is_asked(case: dict[str, Any]) -> None:
    """What speaks against handing over from n1 to n2 is said, all of it, and nothing else."""
    assert case["objections"] == handover.objections(case["cluster"], "n1", "n2")


@cases("postgresql_handover_ended")
def test_how_a_switchover_ended_is_told_apart(case: dict[str, Any]) -> None:
    """Done, did not happen, another one leads, or not at its end: each is said in its own words."""
    seen = Seen(**case["seen"])
    assert (case["missing"], case["stayed"]) == (handover.missing(seen, AIM), handover.stayed(seen, AIM))
    if case["verdict"]:
        assert case["verdict"] == handover.verdict(seen, AIM, case["answer"])
        assert len(case["verdict"].splitlines()) <= 2


@cases("postgresql_drain")
def test_tags_are_believed_when_patroni_shows_them(case: dict[str, Any]) -> None:
    """A member is out, or back, when it says so itself, the others see it, and load balancers are told."""
    found = drain.lacking(case["status"], case["listed"], case["code"], out=case["out"])
    assert case["lacking"] == found


@cases("patroni_switch")
def test_a_patroni_is_waited_for(case: dict[str, Any]) -> None:
    """A new Patroni is there when it says its version, and its PostgreSQL runs or streams."""
    assert case["missing"] == switch.missing(case["status"], "4.0.7")


@cases("postgresql_recover")
def test_a_member_is_back_when_it_streams_or_leads(case: dict[str, Any]) -> None:
    """Anything else is said."""
    assert case["lacking"] == recover.lacking(case["status"], case["cluster"], "n2", case["received"])


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({}, None),
        ({"pause": False, "nodewise_paused": "n1"}, None),
        ({"pause": True, "nodewise_paused": "n1"}, "n1"),
        ({"pause": True}, ""),
        ({"pause": True, "nodewise_paused": None}, ""),
    ],
)
def test_whose_pause_it_is(config: dict[str, Any], found: str | None) -> None:
    """A pause of ours names a member; one of somebody else's does not."""
    assert found == switch.paused_by(config)


YAML = "# the zone is of the rack\ntags:\n  nofailover: true   # never\n  zone: a\n"


def tags_of(path: Path) -> Tags:
    """The tags in a file."""
    return Tags(str(path), Parser(sys.executable))


def written(path: Path) -> Any:
    """What a file says, as Patroni reads it."""
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize(
    ("before", "tags"),
    [
        (None, {}),
        ("{}", {}),
        ('{"tags": {}}', {}),
        ('{"tags": {"nofailover": true, "zone": "a"}}', {"nofailover": True, "zone": "a"}),
        ('{"tags": null}', {}),
        (YAML, {"nofailover": True, "zone": "a"}),
        ("tags: {since: 2026-01-01}\n", {"since": "2026-01-01"}),
        ("---\ntags:\n    failover_priority: 2\n...\n", {"failover_priority": 2}),
    ],
)
def test_tags_come_back_as_they_were(tmp_path: Path, before: str | None, tags: dict[str, Any]) -> None:
    """To the letter, also when the member is taken out twice, and when that was begun by a process that is gone."""
    path = tmp_path / "90-tags.yml"
    if before is not None:
        path.write_text(before)
    for first in (True, False):
        assert first is tags_of(path).take_out()
        held = written(path)
        assert {**tags, **OUT} == held["tags"]
        assert path.read_text().startswith("# Written by Nodewise while this member is out of service")
    assert tags == (tags_of(path).as_before().get("tags") or {})
    assert tags_of(path).put_back()
    assert before == (path.read_text() if path.exists() else None)
    assert not tags_of(path).put_back()


def test_tags_that_an_older_version_wrote(tmp_path: Path) -> None:
    """A member that it took out is put back with what it kept."""
    path, before = tmp_path / "90-tags.yml", {"tags": {"zone": "a"}}
    path.write_text(json.dumps({"tags": {"zone": "a", **OUT}, BEFORE: before}))
    assert not tags_of(path).take_out() or before == written(path)[BEFORE]
    assert tags_of(path).put_back()
    assert before == written(path)


def test_tags_that_were_changed_meanwhile_are_the_originals(tmp_path: Path) -> None:
    """Once a member is back, what is in the file is the user's, and is kept the next time."""
    path = tmp_path / "90-tags.yml"
    tags = tags_of(path)
    tags.take_out()
    tags.put_back()
    path.write_text('{"tags": {"clonefrom": true}}')
    tags_of(path).take_out()
    assert {"tags": {"clonefrom": True}} == written(path)[BEFORE]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tags: {nofailover: true", "is not YAML: expected ',' or '}', but got '<stream end>' in line 1"),
        ("[]", "expected YAML with named fields, found list"),
        ('{"tags": {"nodewise_unfinished": true}}', "and not what was before"),
        ("tags: [a]", "expected tags by name, found list"),
        ("", "expected YAML with named fields, found NoneType"),
    ],
)
def test_tags_that_nobody_understands_are_left_alone(tmp_path: Path, text: str, says: str) -> None:
    """A file that cannot be read is refused, whole, in one line, and not overwritten."""
    path = tmp_path / "90-tags.yml"
    path.write_text(text)
    with pytest.raises(PostgresqlError) as refused:
        tags_of(path)
    assert says in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert text == path.read_text()


def test_a_password_in_a_file_that_cannot_be_read_is_not_told(tmp_path: Path) -> None:
    """The line that is wrong is named by its number."""
    path = tmp_path / "rest"
    path.write_text("username: patroni\npassword: @hunter2\n")
    with pytest.raises(SettingsError) as refused:
        Parser(sys.executable).read(str(path))
    assert "in line 2" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_node_without_a_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON needs none; for YAML the Pythons that were asked are named. The packages of Patroni are one's, too."""
    (tmp_path / "json").write_text('{"a": 1}')
    (tmp_path / "yaml").write_text("a: 1\n")
    (tmp_path / "packages/yaml").mkdir(parents=True)
    (tmp_path / "packages/yaml/__init__.py").write_text("class YAMLError(Exception): pass\ndef safe_load(text): return {'a': 2}\n")
    bare = shutil.which("python3", path="/usr/bin")
    assert bare
    monkeypatch.setattr(settings, "CONVERT", settings.CONVERT.replace("import yaml", "import yaml_that_is_not_there as yaml"))
    assert {"a": 1} == Parser(bare).read(str(tmp_path / "json"))
    with pytest.raises(SettingsError, match=f"no Python here reads YAML .tried {bare}"):
        Parser(bare).read(str(tmp_path / "yaml"))
    monkeypatch.undo()
    assert {"a": 2} == Parser(bare, str(tmp_path / "packages")).read(str(tmp_path / "yaml"))


def test_settings_are_read_in_preflight(tmp_path: Path) -> None:
    """A file that a later step reads is read with the node: one that is off is an error, one that is not there is none."""
    good, bad, none = (str(tmp_path / name) for name in ("good", "bad", "none"))
    Path(good).write_text("tags: {zone: a}\n")
    Path(bad).write_text("tags: {zone: a\n")
    info = Node().info(str(tmp_path), {"settings": [good, bad, none], "settings_python": sys.executable})
    assert {good: True, bad: None, none: False} == info["settings"]
    assert [True] == [bad in error and "is not YAML" in error for error in info["errors"] if "YAML" in error]


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({}, ""),
        ({"nofailover": True}, "nofailover"),
        ({"nofailover": False}, ""),
        ({"failover_priority": 0}, "failover_priority 0"),
        ({"failover_priority": "0"}, "failover_priority 0"),
        ({"failover_priority": -1}, "failover_priority -1"),
        ({"failover_priority": 1}, ""),
        ({"failover_priority": "high"}, ""),
        ({"nofailover": False, "failover_priority": 0}, ""),
        ({"nofailover": True, "failover_priority": 2}, "nofailover"),
        ({"nofailover": None, "failover_priority": 0}, "failover_priority 0"),
    ],
)
def test_who_may_not_take_over(tags: dict[str, Any], why: str) -> None:
    """As Patroni's Tags.nofailover decides it: that tag first, else a priority that is not positive."""
    assert why == patroni.barred(tags)


def test_sessions_are_told_on_one_line() -> None:
    """Who they are, and not what they asked, as that may hold a password; of many the oldest three."""
    one = {"pid": 7, "user": "app", "application": "", "client": "10.0.0.9", "state": "active", "age_s": 127.2}
    said = "pid 7 (user app, no application name, from 10.0.0.9, active for 127.2 s)"
    assert said == sessions.told([one])
    assert sessions.told([one] * 5) == ", ".join([said] * 3) + " and 2 more"
    assert "query" not in sessions._ALL
