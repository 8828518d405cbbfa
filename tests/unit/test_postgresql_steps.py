"""What the steps of a PostgreSQL upgrade decide, from what members and Patroni say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql import drain, handover, recover, sessions, switch
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


@pytest.mark.parametrize("before", [None, {}, {"tags": {}}, {"tags": {"nofailover": True, "zone": "a"}}, {"tags": None}])
def test_tags_come_back_as_they_were(tmp_path: Path, before: Any) -> None:
    """What was there is kept when the member is taken out twice, and when that was begun by a process that is gone."""
    path = tmp_path / "90-tags.yml"
    if before is not None:
        path.write_text(json.dumps(before))
    for first in (True, False):
        tags = Tags(str(path))
        assert first is tags.write(tags.taken_out())
        held = json.loads(path.read_text())
        assert OUT.items() <= held["tags"].items()
        assert (before or {}) == held[BEFORE]
    Tags(str(path)).write(Tags(str(path)).as_before())
    assert (before or {}) == json.loads(path.read_text())
    assert not Tags(str(path)).write(Tags(str(path)).as_before())


def test_tags_that_were_changed_meanwhile_are_the_originals(tmp_path: Path) -> None:
    """Once a member is back, what is in the file is the user's, and is kept the next time."""
    path = tmp_path / "90-tags.yml"
    tags = Tags(str(path))
    tags.write(tags.taken_out())
    tags.write(tags.as_before())
    path.write_text('{"tags": {"clonefrom": true}}')
    tags = Tags(str(path))
    tags.write(tags.taken_out())
    assert {"tags": {"clonefrom": True}} == json.loads(path.read_text())[BEFORE]


@pytest.mark.parametrize("text", ["tags: {nofailover: true}", "[]", '{"tags": {"nodewise_unfinished": true}}', ""])
def test_tags_that_nobody_understands_are_left_alone(tmp_path: Path, text: str) -> None:
    """A file that is not what was written there is refused, whole, and not overwritten."""
    path = tmp_path / "90-tags.yml"
    path.write_text(text)
    with pytest.raises(PostgresqlError):
        Tags(str(path))
    assert text == path.read_text()


def test_sessions_are_told_on_one_line() -> None:
    """Who they are, and not what they asked, as that may hold a password; of many the oldest three."""
    one = {"pid": 7, "user": "app", "application": "", "client": "10.0.0.9", "state": "active", "age_s": 127.2}
    said = "pid 7 (user app, no application name, from 10.0.0.9, active for 127.2 s)"
    assert said == sessions.told([one])
    assert sessions.told([one] * 5) == ", ".join([said] * 3) + " and 2 more"
    assert "query" not in sessions._ALL
