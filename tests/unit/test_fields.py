"""The fields of a scenario and of faults, as the command and the documentation show them."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from nodewise.cli.main import main
from nodewise.fields import explained, fields
from nodewise.simulation.faults.registry import kinds
from nodewise.simulation.reference import everywhere
from nodewise.simulation.scenario import Scenario

DOCS = Path(__file__).parents[2] / "docs/simulation.md"


def run(*words: str) -> tuple[int, str]:
    """`testnet scenario` with words: its exit code, and what it printed."""
    done = CliRunner().invoke(main, ["scenario", *words])
    return done.exit_code, done.output


def test_every_field_has_a_sentence() -> None:
    """What a field means stands beside it in the code, those of each fault as well."""
    assert [] == [one.name for one in everywhere() if not one.says]
    assert {f"faults.{kind}" for kind in kinds()} <= {one.name for one in everywhere()}


def test_the_table_of_the_documentation() -> None:
    """It has each field of the code, with its type, its default and its sentence, and no other."""
    section = DOCS.read_text().partition("\n## The file\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert [f"| `{one.name}` | {one.type} | {one.default} | {one.says} |" for one in fields(Scenario)] == rows


def test_each_fault_field_is_documented() -> None:
    """Those that every fault has stand in the table of faults."""
    section = DOCS.read_text().partition("\n## Faults\n")[2].partition("\n## ")[0]
    common = {
        one.name.removeprefix("faults.") for one in everywhere() if re.fullmatch(r"faults\.[a-z]+", one.name)
    } - kinds().keys()
    assert set() == common - {"kind"} - set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def test_one_field() -> None:
    """Its type, its default and its sentence."""
    says = "operations a second, of all clients together"
    assert (0, f"workload.rate  number, more than 0; default 200\n    {says}\n") == run("workload.rate")


def test_a_field_with_fields() -> None:
    """They come with it."""
    code, said = run("faults.partition")
    assert 0 == code
    assert "faults.partition.mode  isolate or both_ways or one_way or bridge or ring; default isolate\n" in said
    assert "faults.for" not in said


def test_all_of_them() -> None:
    """Each has two lines."""
    code, said = run("--all")
    assert (0, 2 * len(everywhere())) == (code, len(said.splitlines()))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["workloads"], "no field 'workloads' (did you mean workload?); testnet scenario --all has all"),
        (["faults.partiton"], "(did you mean faults.partition?)"),
        ([], "which field? expected one of name, cluster, seed,"),
    ],
)
def test_a_field_that_there_is_not(words: list[str], says: str) -> None:
    """The nearest is offered, with exit code 2."""
    code, said = run(*words)
    assert 2 == code
    assert says in said


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"wrokload": {}}, "unknown field `wrokload` (did you mean workload?)"),
        ({"workload": {"client": 1}}, "unknown field `client` - at `$.workload` (did you mean clients?)"),
        ({"workload": {"loop": "opened"}}, "Invalid enum value 'opened' - at `$.workload.loop` (did you mean open?)"),
        ({"preconditions": ["healthi"]}, "Invalid enum value 'healthi' - at `$.preconditions[0]` (did you mean healthy?)"),
        ({"workload": {"zzz": 1}}, "unknown field `zzz` - at `$.workload`"),
        ({"max_down": -1}, "Expected `int` >= 0 - at `$.max_down`"),
    ],
)
def test_what_may_have_been_meant(given: dict[str, Any], says: str) -> None:
    """A field or a word that there is not comes with the nearest one of its place."""
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.convert({"name": "x", "cluster": {"system": "s"}, **given}, Scenario)
    assert explained(raised.value, Scenario).endswith(says)
