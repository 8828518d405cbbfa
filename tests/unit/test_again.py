"""Runs that are performed again from their record, and made smaller."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from nodewise.cli import rehearse as cli
from nodewise.cli.again import rate
from nodewise.cli.main import main
from nodewise.errors import SetupError, UsageError
from nodewise.record.run import Run
from nodewise.simulation import hosts, regression, shrink
from nodewise.simulation.again import fixed, recorded
from nodewise.simulation.faults.host import Scene
from nodewise.simulation.regression import keep
from nodewise.simulation.scenario import Scenario, load

SYSTEM = "etcd"
FAULTS: list[dict[str, Any]] = [
    {"id": "cut", "kind": "partition", "from": "leader", "at": "2..9s", "for": "3..8s"},
    {"id": "still", "kind": "pause", "target": "leader", "after": "cut", "for": 3},
    {"id": "gone", "kind": "kill", "target": {"random": 1}, "after": "still", "at": "200ms"},
]
SEED = 4711


def scenario(faults: list[dict[str, Any]] = FAULTS, **more: Any) -> Scenario:
    """A scenario with faults."""
    return msgspec.convert({"name": "mine", "cluster": {"system": SYSTEM, "nodes": 5}, "faults": faults, **more}, Scenario)


def record(folder: Path, **more: Any) -> Path:
    """The record of a run of it, as the harness leaves it."""
    asked = scenario()
    about = {
        "scenario": msgspec.to_builtins(asked),
        "faults": msgspec.to_builtins(asked.events(SEED)),
        "seed": SEED,
        "kind": "mine",
    }
    Run.create(folder / "run", **{**about, **more})
    return folder / "run"


def test_the_plan_of_a_record_is_the_one_that_it_had(tmp_path: Path) -> None:
    """The same times to the millisecond, the same order of nodes, the same seed; what was drawn is open no more."""
    found = recorded(record(tmp_path, leader="n2"))
    was, now = scenario().events(SEED), found.scenario.events(found.seed)
    assert [(one.id, one.at, one.lasts, one.order) for one in was] == [(one.id, one.at, one.lasts, one.order) for one in now]
    assert (SEED, SEED, "n2") == (found.seed, found.scenario.seed, found.leader)
    again = fixed(found.scenario, now, SEED)
    assert [one.at for one in again.events(99)] == [one.at for one in was]


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"schema": 99}, "has schema 99, and this version reads up to"),
        ({"kind": "upgrade"}, "is the record of upgrade that no scenario asked for"),
        ({"scenario": {"name": "x"}}, "cannot be read by this version"),
        ({"scenario": msgspec.to_builtins(scenario()), "seed": 1, "faults": [{"id": "a"}]}, "cannot be read by this version"),
    ],
)
def test_a_record_that_cannot_be_repeated(about: dict[str, Any], says: str, tmp_path: Path) -> None:
    """Another schema, another kind of run, fields that are not there: one line, exit code 2, and nothing is made."""
    (tmp_path / "run.json").write_text(json.dumps(about))
    done = CliRunner().invoke(main, ["replay", str(tmp_path)])
    assert (2, "", 1) == (done.exit_code, done.stdout, len(done.stderr.splitlines()))
    assert says in done.stderr


def test_a_plan_that_this_version_would_draw_otherwise(tmp_path: Path) -> None:
    """Where nodes would be taken in another order, it would be no replay."""
    events = msgspec.to_builtins(scenario().events(SEED))
    events[2]["order"] = events[2]["order"][::-1]
    with pytest.raises(UsageError, match="takes nodes in another order"):
        recorded(record(tmp_path, faults=events))


@pytest.mark.parametrize(("nodes", "leader"), [(7, "n1"), (1, None), (5, "n7")])
def test_a_record_of_another_topology(nodes: int, leader: str | None, tmp_path: Path) -> None:
    """Faults that were drawn for other nodes, and a leader that is none of them: nothing is made, with or without --pin."""
    asked = msgspec.to_builtins(scenario())
    path = record(tmp_path, leader=leader, scenario={**asked, "cluster": {**asked["cluster"], "nodes": nodes}})
    for words in (["replay", str(path)], ["replay", str(path), "--pin"], ["shrink", str(path)]):
        done = CliRunner().invoke(main, words)
        assert (2, "", 1) == (done.exit_code, done.stdout, len(done.stderr.splitlines()))
        assert "is of another topology" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--pin"], "does not say who led"),
        (["--keep", "--times", "2"], "--keep and --times"),
        (["--times", "0"], "not in the range"),
    ],
)
def test_words_that_do_not_go_together(words: list[str], says: str, tmp_path: Path) -> None:
    """Refused before anything is made."""
    done = CliRunner().invoke(main, ["replay", str(record(tmp_path)), *words])
    assert (2, True) == (done.exit_code, says in done.stderr)


def test_a_dry_run_is_the_plan(tmp_path: Path) -> None:
    """Seed and faults, and nothing is made."""
    done = CliRunner().invoke(main, ["replay", str(record(tmp_path)), "--dry-run"])
    assert 0 == done.exit_code
    assert ["mine, seed 4711", "cut: partition", "still: pause", "gone: kill"] == [
        line if number == 0 else " ".join(line.split()[:2]) for number, line in enumerate(done.stdout.splitlines())
    ]


@pytest.mark.parametrize("error", [SetupError("no image"), SetupError("the cluster did not come up")])
def test_the_last_line_of_a_failure_is_the_command_that_repeats_it(
    error: SetupError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a run failed at, once it has a record."""

    def up(*_: object) -> None:
        raise error

    monkeypatch.setenv("NODEWISE_RUNS", str(tmp_path))
    monkeypatch.setattr("nodewise.simulation.harness.runs", lambda: tmp_path)
    monkeypatch.setattr(cli.Rehearsal, "up", up)
    monkeypatch.setattr(cli.lifecycle, "refuse", lambda _: None)
    assert error.exit_code == cli.rehearse(scenario(), keep=False, name="x", seed=SEED)
    out, said = capsys.readouterr()
    assert (f"error: {error}", True) == (said.strip(), out.splitlines()[-1].startswith("perform it again: testnet replay "))
    assert scenario().events(SEED)[0].at == recorded(Path(out.split()[-1])).scenario.faults[0]["at"]


def test_the_rate_at_which_runs_fail() -> None:
    """How many failed of how many, and how."""
    assert "3 of 5 failed: 2 valid, 2 invalid, 1 unknown" == rate([0, 1, 0, 3, 1])


TWELVE = [{"id": f"f{n}", "kind": "pause", "target": "one", "at": 10.0 * n, "for": 8.0} for n in range(12)]


def needs(*ids: str) -> shrink.Fails:
    """A failure that takes exactly these events, two clients, and four seconds of each event."""

    def fails(tried: Scenario) -> bool:
        there = {one["id"]: one for one in tried.faults}
        return tried.workload.clients > 1 and all(one in there and there[one]["for"] >= 4 for one in ids)

    return fails


@settings(max_examples=6, deadline=None)
@given(st.sets(st.sampled_from([one["id"] for one in TWELVE]), min_size=1, max_size=3))
def test_a_planted_failure_of_twelve_events_becomes_those_that_it_takes(ids: set[str]) -> None:
    """What it takes is left and nothing else, in a few dozen runs; every step on the way failed."""
    tries: list[Scenario] = []

    def fails(tried: Scenario) -> bool:
        tries.append(tried)
        return needs(*ids)(tried)

    found = shrink.shrunk(scenario(TWELVE), fails, over=lambda: False)
    assert ids == {one["id"] for one in found.faults}
    assert ({4.0}, 1, 3) == ({one["for"] for one in found.faults}, found.workload.keys, found.workload.clients)
    assert 3 == found.cluster.nodes or len(ids) > 1  # two at once are too many for three
    assert needs(*ids)(found)
    assert next(number for number, tried in enumerate(tries) if len(tried.faults) <= 3 and needs(*ids)(tried)) < 25
    assert len(tries) < 80


def test_events_that_wait_for_one_that_is_gone_wait_no_more() -> None:
    """A chain is no reason to keep its beginning."""
    found = shrink.shrunk(
        fixed(scenario(), scenario().events(SEED), SEED),
        lambda tried: any(one["id"] == "gone" for one in tried.faults),
        over=lambda: False,
    )
    assert [("gone", None)] == [(one["id"], one.get("after")) for one in found.faults]


def test_what_is_kept_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has the plan as it was, a sentence that says what it shows, and loads as any scenario."""
    monkeypatch.setattr("nodewise.simulation.regression.checkout", lambda: tmp_path)
    (tmp_path / "scenarios").mkdir()
    events = scenario().events(SEED)
    elsewhere = tmp_path / "a/b"
    made = fixed(scenario(safety=["durable"]), events, SEED)
    assert elsewhere == keep(made, {}, 1, 3, elsewhere).parent
    path = keep(made, {"durable": "acknowledged writes lost: 1"}, 2, 3)
    assert tmp_path / "scenarios/regressions/mine-4711.yml" == path
    assert "# It shows, in 2 of 3 runs: durable is invalid, acknowledged writes lost: 1" in path.read_text().splitlines()
    again = load(str(path))
    assert [(one.at, one.lasts, one.order) for one in events] == [(one.at, one.lasts, one.order) for one in again.events(SEED)]


@pytest.mark.parametrize(
    ("summary", "words", "says"),
    [
        (
            {"verdict": "valid", "checkers": [{"checker": "durable", "verdict": "valid", "says": ""}]},
            [],
            "broke no promise (valid)",
        ),
        ({}, [], "broke no promise (it was not judged)"),
        ({}, ["--least", "2"], "--least 2 of --times 1"),
    ],
)
def test_a_run_that_cannot_be_made_smaller(summary: dict[str, Any], words: list[str], says: str, tmp_path: Path) -> None:
    """One that did not fail is refused, before anything is made."""
    folder = record(tmp_path)
    Run(folder).write_json("summary.json", summary)
    done = CliRunner().invoke(main, ["shrink", str(folder), *words])
    assert (2, True) == (done.exit_code, says in done.stderr)


def test_when_the_time_is_over_the_smallest_so_far_is_taken() -> None:
    """A budget ends the search, and what was found by then is kept."""
    left = iter([False] * 4)
    found = shrink.shrunk(scenario(TWELVE), needs("f3"), over=lambda: next(left, True))
    assert 12 > len(found.faults) >= 1
    assert needs("f3")(found)


# --- on testnets that are not there ----------------------------------------------------------------------------------


class Cluster:
    """Members of which one leads; handing over works on the second try, as during an election."""

    def __init__(self, leads: str, *, obeys: bool = True) -> None:
        self.leads, self.asked, self.obeys = leads, list[str](), obeys

    def client(self, node: str) -> Any:
        """A client of a member."""
        cluster = self

        class Client:
            name = node

            def open(self) -> None: ...
            def close(self) -> None: ...
            def hand_over(self, to: Any) -> None:
                cluster.asked.append(f"{node} to {to.name}")
                if len(cluster.asked) == 1:
                    raise OSError("no leader")
                if cluster.obeys:
                    cluster.leads = to.name

        return Client()

    def scene(self, **more: Any) -> Scene:
        """As faults see it."""
        return Scene({}, [], "", lambda: self.leads, **{"client": self.client, **more})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long."""
    monkeypatch.setattr(hosts, "PATIENCE", 0.2)
    monkeypatch.setattr(hosts.time, "sleep", lambda _: None)


@pytest.mark.usefixtures("quick")
def test_the_recorded_leader_is_handed_leadership() -> None:
    """The leader of that moment is asked, again where it failed, and nobody who leads already."""
    cluster = Cluster("x-n1")
    hosts.hand_over(cluster.scene(), "x-n2")
    assert ("x-n2", ["x-n1 to x-n2"] * 2) == (cluster.leads, cluster.asked)
    hosts.hand_over(cluster.scene(), "x-n2")
    assert 2 == len(cluster.asked)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("cluster", "more", "says"),
    [
        (Cluster("x-n1", obeys=False), {}, "x-n2 was to lead, and did not within"),
        (Cluster("x-n1"), {"client": None}, "this system's client cannot hand leadership over"),
        (Cluster("x-n1"), {"client": lambda _: object()}, "this system's client cannot hand leadership over"),
    ],
)
def test_who_does_not_come_to_lead_ends_the_replay(cluster: Cluster, more: dict[str, Any], says: str) -> None:
    """As a setup that failed, and not as a run that was judged."""
    with pytest.raises(SetupError, match=says):
        hosts.hand_over(cluster.scene(**more), "x-n2")


class Rehearsals:
    """Rehearsals that are not performed: what each is told, and which testnets are made and removed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *verdicts: str | SetupError) -> None:
        self.log: list[str] = []
        self._verdicts = iter(verdicts)
        monkeypatch.setattr(regression, "Rehearsal", lambda asked, _name: self._of(asked))
        monkeypatch.setattr(regression.lifecycle, "down", lambda name: self.log.append(f"down {name}"))
        monkeypatch.setattr(regression.lifecycle, "refuse", lambda _: None)
        for name in ("heal_all", "scene_of", "clients_of"):
            monkeypatch.setattr(regression, name, lambda *_, name=name: self.log.append("healed") if name == "heal_all" else None)

    def _of(self, asked: Scenario) -> Any:
        def perform(*_: object) -> dict[str, Any]:
            if isinstance(verdict := next(self._verdicts), SetupError):
                raise verdict
            return {"checkers": [{"checker": "durable", "verdict": verdict, "says": "lost: 1"}]}

        def up(_say: object) -> Any:
            self.log.append(f"up {asked.cluster.nodes}")
            return SimpleNamespace(nodes=[])

        return SimpleNamespace(up=up, perform=perform)


def test_runs_of_one_cluster_are_on_one_testnet(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is healed between them, and made anew for another cluster, after an upgrade, and after one that could not be judged."""
    made = Rehearsals(monkeypatch, "invalid", "valid", "invalid", "invalid", SetupError("ssh"), "invalid")
    tries = regression.Tries("x", {"durable"}, lambda _: None)
    small, upgraded = scenario(cluster={"system": SYSTEM, "nodes": 3}), scenario(upgrade={"to": "2"})
    asked = [scenario(), scenario(), small, upgraded, upgraded, scenario()]
    assert [True, False, True, True, False, True] == [tries.fails(one) for one in asked]
    tries.close()
    expected = ["up 5", "healed", "down x", "up 3", "down x", "up 5", "down x", "up 5", "down x", "up 5", "down x"]
    assert (expected, 6, {"durable": "lost: 1"}) == (made.log, tries.runs, tries.says)


@pytest.mark.parametrize(
    ("verdicts", "fails", "runs"),
    [(["invalid", "valid", "invalid"], True, 3), (["invalid", "invalid"], True, 2), (["valid", "unknown"], False, 2)],
)
def test_a_rate_is_told_with_no_more_runs_than_it_takes(
    verdicts: list[str], fails: bool, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of three: the third is not made once it is known; unknown is no failure."""
    Rehearsals(monkeypatch, *verdicts)
    tries = regression.Tries("x", {"durable"}, lambda _: None, times=3, least=2)
    assert (fails, runs) == (tries.fails(scenario()), tries.runs)


def test_another_checker_that_fails_is_another_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made smaller stays the failure that it was."""
    Rehearsals(monkeypatch, "invalid")
    assert not regression.Tries("x", {"once"}, lambda _: None).fails(scenario())


def test_replays_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with the recorded seed and, pinned, the recorded leader; one that was invalid makes the exit code."""
    codes, told = iter([0, 3, 1]), list[tuple[Any, ...]]()

    def rehearse(_scenario: Scenario, _keep: bool, name: str, *more: Any) -> int:
        told.append((name, *more))
        return next(codes)

    monkeypatch.setattr(cli, "rehearse", rehearse)
    done = CliRunner().invoke(main, ["replay", str(record(tmp_path, leader="n2")), "--times", "3", "--pin", "--name", "y"])
    assert (1, [("y", SEED, "n2")] * 3) == (done.exit_code, told)
    assert "2 of 3 failed: 1 valid, 1 invalid, 1 unknown\n" == done.stdout
