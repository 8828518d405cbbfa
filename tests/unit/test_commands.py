"""The commands `nodewise` and `testnet`: what is documented is there, what moved still works, records of runs are listed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nodewise.cli.main import main, nodewise
from nodewise.record.commands import command
from nodewise.record.run import Run
from nodewise.record.summary import summarize

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
GROUPS = {"nodewise": nodewise, "testnet": main}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The record of a run that ended well, and of one that was killed in the middle of a switch."""
    ended = Run.create(tmp_path / "runs/20260101-120000-upgrade-c-1", kind="upgrade", cluster="c", to="2")
    ended.conclude("upgraded", "every member runs 2")
    summarize(ended)
    killed = Run.create(tmp_path / "runs/20260102-120000-upgrade-c-2", kind="upgrade", cluster="c", to="3")
    killed.begin("switch", node="n1")
    return tmp_path / "runs"


def runs(*words: str | Path) -> Result:
    """What `nodewise runs` does."""
    return CliRunner().invoke(nodewise, ["runs", *map(str, words)])


def test_runs_are_listed_with_their_ends(folder: Path) -> None:
    """The newest last; one that was killed did not end well."""
    said = runs("--folder", folder).stdout.splitlines()
    assert [["20260101-120000-upgrade-c-1", "c", "upgraded"], ["20260102-120000-upgrade-c-2", "c", "interrupted"]] == [
        line.split()[:3] for line in said
    ]


def test_programs_read_a_line_for_each(folder: Path) -> None:
    """The summary of the last one alone."""
    done = runs("--folder", folder, "--last", "1", "--json")
    assert ("20260102-120000-upgrade-c-2", "interrupted") == tuple(
        json.loads(done.stdout)[key] for key in ("run_id", "reason_code")
    )


def test_one_run_is_shown_as_it_ended(folder: Path) -> None:
    """With its reason and its record."""
    said = runs("20260101-120000-upgrade-c-1", "--folder", folder).stdout
    assert "upgraded: every member runs 2" in said
    assert f"record    {folder}/20260101-120000-upgrade-c-1" in said


def test_a_record_of_a_newer_version_is_named(folder: Path) -> None:
    """The others are listed all the same; asked for it alone, the command fails."""
    (folder / "20260102-120000-upgrade-c-2/run.json").write_text('{"schema": 99}')
    done = runs("--folder", folder)
    assert (0, ["20260101-120000-upgrade-c-1"]) == (done.exit_code, [line.split()[0] for line in done.stdout.splitlines()])
    assert "run.json has schema 99, and this version reads up to" in done.stderr
    assert runs("20260102-120000-upgrade-c-2", "--folder", folder).exit_code


@pytest.mark.parametrize("words", [["nope"], ["--folder", "nowhere"]])
def test_no_record_is_no_success(folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    """Exit code 2, and what to do."""
    monkeypatch.chdir(folder.parent)
    done = runs(*words)
    assert 2 == done.exit_code
    assert "--folder" in done.stderr


@pytest.mark.parametrize("word", ["smoke", "check"])
def test_what_moved_works_under_its_old_name(word: str) -> None:
    """With a warning that names the new one; it is not listed."""
    assert f"It is nodewise {word} now; this name works until" in CliRunner().invoke(main, [word, "--help"]).output.replace(
        "\n  ", " "
    )
    assert f"\n  {word} " not in CliRunner().invoke(main, ["--help"]).output


def test_documented_commands_are_there() -> None:
    """Each `nodewise WORD` and `testnet WORD` at the beginning of a line or in backquotes is a command of that group."""
    named = {pair for page in PAGES for pair in re.findall(r"(?:^|`)(nodewise|testnet) ([a-z]+)", page.read_text(), re.MULTILINE)}
    assert {("nodewise", "runs"), ("testnet", "up")} <= named
    assert [] == [
        f"{group} {word}"
        for group, word in sorted(named)
        if word not in GROUPS[group].commands or GROUPS[group].commands[word].hidden
    ]


OFF = {
    "testnet upp": "error: no such command 'upp' (did you mean 'up'?); see testnet --help",
    "testnet stop": "error: missing argument 'NODE...'; see testnet stop --help",
    "testnet up --nodes x": "error: invalid value for '--nodes' / '-n': 'x' is not a valid integer; see testnet up --help",
    "testnet up --nodes 0": "error: 0 nodes: expected 1 to 50, such as: testnet up --nodes 3",
    "nodewise check nowhere": "error: nowhere: no history can be read there (No such file or directory)",
}


@pytest.mark.parametrize(("line", "expected"), OFF.items())
def test_errors_look_alike(line: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finds the words off, we or click: one line that says what to do, exit code 2, and no usage around it."""
    monkeypatch.chdir(tmp_path)
    program, *words = line.split()
    done = CliRunner().invoke(GROUPS[program], words, prog_name=program)
    assert [2, "", expected] == [done.exit_code, done.stdout, done.stderr.strip()]


ANSIBLE, OF = "ansible-playbook", "-e nodewise_cluster=c"
CALLED = {
    "checkout": (
        ["/venv/bin/ansible-playbook", "-i", "prod", "playbooks/upgrade.yml", "-e", "nodewise_to=2", "--check", "-vv"],
        f"{ANSIBLE} -i prod playbooks/rollback.yml {OF}",
    ),
    "collection": (
        [ANSIBLE, "nodewise.cluster.upgrade", "-iprod", "--vault-id=pw", "-e", "nodewise_to=2 nodewise_soak=9"],
        f"{ANSIBLE} -i prod --vault-id pw -e nodewise_soak=9 nodewise.cluster.rollback {OF}",
    ),
    "variables": (
        [ANSIBLE, "/opt/n/playbooks/upgrade.yml", "-e", '{"nodewise_to": "2", "db_password": "x"}', "-l", "a"],
        f"""{ANSIBLE} -e '{{"db_password": "…"}}' /opt/n/playbooks/rollback.yml {OF}""",
    ),
    "a secret with spaces": (
        [ANSIBLE, "upgrade.yml", "-e", "db_password='correct horse' nodewise_soak=9"],
        f"{ANSIBLE} -e 'db_password=… nodewise_soak=9' rollback.yml {OF}",
    ),
    "a playbook of one's own": ([ANSIBLE, "-e", "@site.yml", "site.yml"], f"{ANSIBLE} -e @site.yml playbooks/rollback.yml {OF}"),
    "another program": (["pytest", "-x"], f"{ANSIBLE} playbooks/rollback.yml {OF}"),
}


@pytest.mark.parametrize(("called", "expected"), CALLED.values(), ids=CALLED)
def test_a_command_fits_how_the_run_was_called(called: list[str], expected: str) -> None:
    """Inventory, connection and variables are taken over, what is said once is not; a secret is not printed."""
    assert expected == command("rollback", OF, called)
