"""What holds for the whole checkout: one version, no named mirror or registry, documented plugins, linters that can fail."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import collection
import lint
import nodewise
import sanity
from nodewise.releases.debian import cache_dir
from nodewise.testnet.home import home

ROOT = Path(__file__).resolve().parents[2]

# Written in pieces, so that this file does not hold what it looks for.
HOSTS = re.compile(
    "|".join(
        [
            r"\b(deb|ftp|security|snapshot|mirror|mirrors)\." + r"(\w+\.)*(debian|ubuntu|kernel)\.",
            r"\b(docker|quay|ghcr|gcr)\." + r"io\b",
            r"\bregistry" + r"\.[a-z]",
            r"\bpypi\." + r"org|pythonhosted" + r"\.org",
            r"\bgalaxy\.ansible\." + r"com\b",
            r"://[\w.-]*(mirror|proxy|artifactory|nexus)" + r"[\w-]*\.",
        ]
    ),
    re.IGNORECASE,
)


def tracked() -> list[Path]:
    """The files that git keeps, or would."""
    return [ROOT / name for name in sorted(collection.kept_files())]


def hosts_in(text: str) -> list[str]:
    """Each host of a mirror or registry that a text names."""
    return [match.group() for match in HOSTS.finditer(text)]


def test_what_a_checkout_keeps_stays_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept in the user's home: testnets and what was downloaded lie in .cache, or where NODEWISE_HOME says."""
    monkeypatch.delenv("NODEWISE_HOME", raising=False)
    assert [ROOT / ".cache"] * 2 == [cache_dir(), home()]
    monkeypatch.setenv("NODEWISE_HOME", "/elsewhere")
    assert [Path("/elsewhere")] * 2 == [cache_dir(), home()]


def test_one_version() -> None:
    """The package, the collection and the module say the same version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    assert [project, project] == [galaxy, nodewise.__version__]


def test_no_host_of_a_mirror_or_registry() -> None:
    """Mirrors and registries are those of the user's machine; no file names one."""
    found = {str(path.relative_to(ROOT)): hosts_in(path.read_text(encoding="utf-8", errors="replace")) for path in tracked()}
    assert {path: hosts for path, hosts in found.items() if hosts} == {}


@pytest.mark.parametrize(
    "pieces", [("deb.", "debian.org"), ("docker.", "io/library"), ("pypi.", "org/simple"), ("https://mirror-3", ".lan/")]
)
def test_a_host_is_found(pieces: tuple[str, str]) -> None:
    """The rule above can fail: such hosts are found in a line of text."""
    assert len(hosts_in(f"see {''.join(pieces)} for more")) == 1


@pytest.mark.parametrize(
    ("place", "sign", "where"),
    [
        ("src", "os.fsync(", ["src/nodewise/files.py", "src/nodewise/record/journal.py"]),  # whole files; lines of a journal
        ("src", "ElementTree.tostring(", ["src/nodewise/record/junit.py"]),
        ("plugins", "mkstemp(", ["plugins/module_utils/host/files.py"]),
    ],
)
def test_one_writer(place: str, sign: str, where: list[str]) -> None:
    """Whole files are written by one function on the controller and by one on nodes, and JUnit XML by one."""
    assert where == [str(path.relative_to(ROOT)) for path in sorted((ROOT / place).rglob("*.py")) if sign in path.read_text()]


@pytest.mark.parametrize("path", sorted(ROOT.glob("plugins/modules/*.py")), ids=lambda path: path.stem)
def test_modules_have_documentation(path: Path) -> None:
    """A module says what it takes, shows how it is called and says what it returns."""
    assert [] == [name for name in ("DOCUMENTATION", "EXAMPLES", "RETURN") if f"\n{name} = " not in path.read_text()]


@pytest.mark.parametrize("path", sorted(ROOT.glob("plugins/action/*.py")), ids=lambda path: path.stem)
def test_actions_have_documentation(path: Path) -> None:
    """What an action does stands in plugins/modules: in the module around which it acts, or in a file of documentation alone."""
    assert any((ROOT / "plugins/modules" / f"{path.stem}{suffix}").exists() for suffix in (".py", ".yml"))


@pytest.mark.parametrize("path", sorted(ROOT.glob("plugins/[ci]*/*.py")), ids=lambda path: path.stem)
def test_other_plugins_have_documentation(path: Path) -> None:
    """Callback and inventory plugins document themselves."""
    assert "\nDOCUMENTATION = " in path.read_text()


@pytest.mark.parametrize("path", sorted(ROOT.glob("plugins/filter/*.py")), ids=lambda path: path.stem)
def test_filters_have_documentation(path: Path) -> None:
    """Each filter of a file has a file of documentation by its name."""
    names = re.findall(r'"(\w+)": \w+[,}]', path.read_text().rpartition("return")[2])
    assert names
    assert [] == [name for name in names if not path.with_name(f"{name}.yml").exists()]


RAN = "".join(f'Running sanity test "{name}"\n' for name in ("validate-modules", "import", "compile", "pylint"))


@pytest.mark.parametrize(
    ("output", "status", "expected"),
    [
        (RAN, 0, None),
        (RAN, 1, "exit status 1"),
        ("WARNING: All targets skipped.\n", 0, "tested nothing"),
        (RAN + "WARNING: All targets skipped.\n", 0, "tested nothing"),
        (RAN.replace("pylint", "pslint"), 0, "did not run pylint"),
        ("", 0, "did not run validate-modules"),
    ],
)
def test_sanity_passes_only_if_it_tested(output: str, status: int, expected: str | None) -> None:
    """ansible-test's exit status 0 is believed only beside the words of a run that tested something."""
    found = sanity.problem(output, status)
    assert found is None if expected is None else expected in str(found)


def test_collection_needs_what_is_kept_and_nothing_else() -> None:
    """A tarball without a plugin, or with a file that git does not keep, is no collection of ours."""
    kept = {*collection.NEEDED, "plugins/modules/a.py"} - collection.GENERATED
    packed = {*collection.NEEDED, ".venv/pyvenv.cfg"}
    assert [
        "missing in the tarball: plugins/modules/a.py",
        "in the tarball, and git does not keep it: .venv/pyvenv.cfg",
    ] == collection.problems(packed, kept)


@pytest.mark.parametrize("command", [["false"], ["/no/such/linter"]])
def test_a_linter_that_fails_or_is_missing_is_red(command: list[str]) -> None:
    """A linter's exit status counts, and one that is not there has not passed."""
    assert lint.run("some", [["true"], command]).ok is False


def test_scripts_are_executable() -> None:
    """What is called by its path can be called."""
    listed = subprocess.run(["git", "ls-files", "--stage", "scripts", ".ci"], cwd=ROOT, capture_output=True, text=True, check=True)
    modes = {line.split()[-1]: line.split()[0] for line in listed.stdout.splitlines() if not line.endswith(".py")}
    assert {"100755"} == set(modes.values())


@pytest.mark.parametrize("playbook", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: path.stem)
def test_no_play_gathers_facts(playbook: Path) -> None:
    """Nothing reads them, and a host that cannot be reached would drop out before our first task, whatever ansible.cfg says."""
    assert [False] * len(plays := yaml.safe_load(playbook.read_text())) == [play.get("gather_facts") for play in plays]


@pytest.mark.parametrize("path", sorted((ROOT / "molecule").rglob("*.py")), ids=lambda path: path.parent.name)
def test_what_molecules_tests_import_is_there(path: Path) -> None:
    """They are read after minutes of work on nodes, and by no linter that would follow a name."""
    found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    names = [(node.module or "", alias.name) for node in found for alias in node.names]
    missing = [f"{module}.{name}" for module, name in names if not hasattr(importlib.import_module(module), name)]
    assert [] == [name for name in missing if importlib.util.find_spec(name) is None]


@pytest.mark.parametrize("path", sorted((ROOT / "molecule").glob("*/molecule.yml")), ids=lambda path: path.parent.name)
def test_files_that_a_scenario_of_molecule_asks_for_are_there(path: Path) -> None:
    """They are named from the checkout's root."""
    words = yaml.safe_load(path.read_text())["ansible"]["env"]["TESTNET_UP"].split()
    assert [] == [word for word in words if "/" in word and not (ROOT / word).exists()]
