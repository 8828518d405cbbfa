"""Every command in a block of the documentation can be typed: its program takes these words, and what it names is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from ansible.cli.playbook import PlaybookCLI

from nodewise.cli.main import main, nodewise

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "tests/README.md", *sorted(ROOT.glob("docs/*.md"))]
GROUPS = {"nodewise": nodewise, "testnet": main}
BLOCK = re.compile(r"^```(?:|sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TARGETS = set(re.findall(r"^([\w-]+)(?: [\w-]+)*:", (ROOT / "Makefile").read_text(), re.MULTILINE))
FILES = [path for folder in ("playbooks", "roles", "plugins") for path in (ROOT / folder).rglob("*.[yp]*") if path.is_file()]
READ = {name for path in FILES if path.suffix in (".yml", ".py") for name in re.findall(r"\bnodewise_\w+", path.read_text())}
ENDS = {";", "&&", "||", "|", ">", ">>"}


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command in the blocks of a page that begins with a program of ours, or that calls one."""
    for block in BLOCK.findall(text):
        for line in re.sub(r"\\\n", " ", block).splitlines():
            if line[:1].strip() and re.match(r"(\w+=\S+ )*\S*(testnet|nodewise|ansible-playbook|make)( |$)", line):
                yield from split(line)


def split(line: str) -> Iterator[list[str]]:
    """The commands of a line of shell, without assignments before them and folders of programs."""
    words: list[str] = []
    for word in [*shlex.split(line.replace("…", "..."), comments=True), ";"]:
        if word not in ENDS:
            words += [] if not words and "=" in word else [word]
        elif words:
            yield [Path(words[0]).name, *words[1:]]
            words = []


def off(words: list[str]) -> str:
    """What keeps these words from being a command; nothing where they are one."""
    program, *more = words
    try:
        check = {"make": make, "ansible-playbook": playbook}.get(program)
        return check(more) if check else of_ours(program, more) if program in GROUPS else ""
    except (click.ClickException, SystemExit) as problem:
        return str(problem)


def of_ours(program: str, words: list[str]) -> str:
    """Whether one of our commands takes these words."""
    if not words or words[0] not in GROUPS[program].commands:
        return f"{program} has no command {' '.join(words[:1])}"
    GROUPS[program].commands[words[0]].make_context(words[0], words[1:])
    return ""


def playbook(words: list[str]) -> str:
    """Whether ansible-playbook takes these words, the playbooks are there, and so are the variables."""
    command = PlaybookCLI(["ansible-playbook", *words])
    command.init_parser()
    said = command.parser.parse_args(words)
    names = [name.removeprefix("playbooks/").removeprefix("nodewise.cluster.").removesuffix(".yml") for name in said.args]
    missing = [name for name in names if not (ROOT / f"playbooks/{name}.yml").exists()]
    given = {pair.partition("=")[0] for one in said.extra_vars or [] for pair in shlex.split(one) if "=" in pair}
    unknown = sorted(given - READ)
    return "; ".join([*(f"no playbook {name}" for name in missing), *(f"nothing reads {name}" for name in unknown)])


def make(words: list[str]) -> str:
    """Whether the Makefile has these targets."""
    return ", ".join(f"no target {word}" for word in words if "=" not in word and not word.startswith("-") and word not in TARGETS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_block_can_be_typed(page: Path) -> None:
    """Options, playbooks, variables and targets are there, as they stand on the page."""
    told = {shlex.join(words): off(words) for words in commands(page.read_text())}
    assert {} == {words: problem for words, problem in told.items() if problem}


def test_commands_are_found() -> None:
    """The pages that begin with a quick start have commands of each kind."""
    found = {words[0] for page in PAGES for words in commands(page.read_text())}
    assert {"testnet", "nodewise", "ansible-playbook", "make"} <= found


@pytest.mark.parametrize(
    "line",
    [
        "testnet upp --nodes 3",
        "testnet up --node-count 3",
        "testnet list ; testnet status --nme lab",
        "nodewise smoke --tier most",
        "ansible-playbook playbooks/upgrad.yml",
        "ansible-playbook nodewise.cluster.upgrade --chekc",
        "NODEWISE_TESTNET=lab ansible-playbook playbooks/upgrade.yml -e nodewise_too=3.5.16",
        "make test-units",
    ],
)
def test_what_cannot_be_typed_is_found(line: str) -> None:
    """Each kind of slip, once."""
    assert any(off(words) for words in commands(f"```\n{line}\n```\n"))
