"""Every record says its schema number: older ones are read, and one of a newer version is refused by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from ansible_collections.nodewise.cluster.plugins.module_utils.node import state
from nodewise.cli.main import nodewise
from nodewise.errors import UnknownResult
from nodewise.record import journal
from nodewise.record.run import Run
from nodewise.record.schema import SCHEMA
from nodewise.record.summary import summarize

from .observed import observation
from .test_plan import made

STATE: dict[str, Any] = {"fence": 1, "lease": None, "upgrade": None}
READERS: dict[str, Callable[[Run], Any]] = {
    "run.json": lambda run: run.records(),
    "plan.yaml": lambda run: run.read_plan(),
    "summary.json": lambda run: run.read_json("summary.json"),
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with every record."""
    run = Run.create(tmp_path / "run", kind="upgrade", cluster="c", system="etcd")
    run.write_plan(made())
    run.note("begun")
    summarize(run)
    return run


def numbered(path: Path, schema: object) -> None:
    """Have a record of a run say another number."""
    path.write_text(json.dumps({**yaml.safe_load(path.read_text()), "schema": schema}))


@pytest.mark.parametrize("name", READERS)
def test_records_of_a_run_are_numbered(run: Run, name: str) -> None:
    """It is written by every writer, once, and readers do not see it; a lower number, or none, is read."""
    assert SCHEMA == yaml.safe_load((run.folder / name).read_text())["schema"]
    read = READERS[name](Run(run.folder))
    assert "schema" not in str(read)
    numbered(run.folder / name, 0)
    assert read == READERS[name](Run(run.folder))


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("found", [SCHEMA + 6, "new"])
def test_what_a_newer_version_wrote(run: Run, name: str, found: object) -> None:
    """It is refused in one line: which file, its number, up to which number is read, and what to do."""
    numbered(run.folder / name, found)
    with pytest.raises(UnknownResult) as said:
        READERS[name](Run(run.folder))
    expected = f"{run.folder / name} has schema {found}, and this version reads up to {SCHEMA}: read it with a newer Nodewise"
    assert expected == str(said.value)


def test_the_state_of_a_node(tmp_path: Path) -> None:
    """The same rule on a node, where nothing can be imported: the number is written, and one that is higher is refused."""
    state.write(str(tmp_path), STATE)
    file = tmp_path / "state.json"
    assert state.SCHEMA == json.loads(file.read_text())["schema"]
    assert STATE == state.read(str(tmp_path))
    for older in (STATE, {"schema": 0, **STATE}):
        file.write_text(json.dumps(older))
        assert STATE == state.read(str(tmp_path))
    file.write_text(json.dumps({**STATE, "schema": state.SCHEMA + 1}))
    with pytest.raises(state.StateError) as said:
        state.read(str(tmp_path))
    found = f"{file} has schema {state.SCHEMA + 1}, and this version reads up to {state.SCHEMA}: use a newer Nodewise"
    assert found == str(said.value)


def test_an_older_plan_with_a_field_that_is_gone(run: Run) -> None:
    """It is read without the field, wherever in the plan it is; one that lacks a field is named with it, in one line."""
    file, made = run.folder / "plan.yaml", run.read_plan()
    told = yaml.safe_load(file.read_text())
    older = {**told, "gone": 1, "hops": [{**hop, "gone": {}} for hop in told["hops"]]}
    older["settings"] = {**told["settings"], "gone": []}
    file.write_text(yaml.safe_dump(older))
    assert made == run.read_plan()
    del older["kind"]
    file.write_text(yaml.safe_dump(older))
    with pytest.raises(UnknownResult) as said:
        run.read_plan()
    assert f"{file} cannot be read by this version: Object missing required field `kind`" == str(said.value)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", ["{", "[1]", "schema: [", ""])
def test_a_record_that_is_torn(run: Run, name: str, content: str) -> None:
    """It is named in one line."""
    (run.folder / name).write_text(content)
    with pytest.raises(UnknownResult) as said:
        READERS[name](Run(run.folder))
    assert str(said.value).startswith(f"{run.folder / name} cannot be read")
    assert "\n" not in str(said.value)


def test_an_older_observation_in_a_journal(run: Run) -> None:
    """A field that is gone is passed over."""
    seen = observation()
    older = msgspec.to_builtins(seen)
    older["members"][0]["gone"] = older["cluster"]["gone"] = 1
    journal.append(run.journal, "observe", "end", observation=older, missing=[])
    assert {"cluster": seen} == run.observations()


def test_runs_are_listed_beside_one_that_cannot_be_read(run: Run) -> None:
    """`nodewise runs` names it in one line and lists the others; asked for by name, the line is the error."""
    other = Run.create(run.folder.with_name("other"), kind="upgrade", cluster="c", system="etcd")
    (other.folder / "summary.json").write_text("{}\n")
    other.write_json("summary.json", {"outcome": "upgraded"})
    where = ["--folder", str(run.folder.parent)]
    listed = CliRunner().invoke(nodewise, ["runs", *where])
    assert 0 == listed.exit_code
    assert "run  " in listed.output
    assert f"{other.folder} cannot be read by this version" in listed.output
    named = CliRunner().invoke(nodewise, ["runs", "other", *where])
    assert (3, True) == (named.exit_code, named.output.startswith(f"error: {other.folder} cannot be read by this version"))
