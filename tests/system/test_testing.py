"""The plugin for pytest, as a user's own tests meet it: in this environment, and in an empty one with the wheel alone."""

import os
import secrets
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from nodewise.testnet import state
from nodewise.testnet.home import checkout

pytestmark = pytest.mark.slow

# What comes to a test beside the example of the documentation: what it is given must be able to fail.
MORE = """

def test_what_fails(testnet, faults, history):
    from nodewise.errors import UsageError
    from nodewise.simulation.harness import clients_of

    assert history.verdict.valid == "unknown"
    with pytest.raises(UsageError, match="there is no unit nowhere"), faults({"kind": "kill", "unit": "nowhere"}):
        raise AssertionError
    with history("set", rate=100) as clients:
        clients.wait(50)
        lost = clients_of(testnet)(testnet.nodes[0].name)
        lost.open()
        lost.delete([key for key in lost.scan("/nodewise/") if key.endswith("/a0.1")])
    assert history.verdict.valid == "invalid", history.verdict.says
    assert "acknowledged writes lost: 1" in history.verdict.says
"""
BARE = """
import pytest

from nodewise.testnet.request import Request

UNIT = "printf '[Service]\\nExecStart=/bin/sleep 600\\n' | sudo tee /run/systemd/system/mine.service && sudo systemctl start mine"


@pytest.fixture(scope="session")
def testnet_request():
    return Request("NAME", nodes=2)


def test_a_pause(testnet, faults):
    for node in testnet.nodes:
        assert testnet.run(node.name, UNIT).returncode == 0
    with faults({"kind": "pause", "unit": "mine", "target": "n1", "how": "stop"}):
        assert "T" in testnet.run("n1", "ps -o stat= -C sleep").stdout
    assert "T" not in testnet.run("n1", "ps -o stat= -C sleep").stdout
"""


def run(python: Path, folder: Path, text: str, home: Path) -> str:
    """What pytest says of a file of tests that all passed."""
    (folder / "test_mine.py").write_text(text)
    environment = {**os.environ, "NODEWISE_HOME": str(home), "PYTHONPATH": ""}
    words = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def test_the_example_of_the_documentation(testnet_home: Path, tmp_path: Path) -> None:
    """A testnet, faults and a history; what is lost, and what cannot be done, is found; nothing of the testnet is left."""
    name = f"t{secrets.token_hex(3)}"
    text = (checkout() / "docs/simulation.md").read_text().rpartition("```python\n")[2].partition("```")[0]
    said = run(Path(sys.executable), tmp_path, text.replace('"mine"', f'"{name}"') + MORE, testnet_home)
    assert "2 passed" in said
    assert state.find(name) is None


def test_in_an_empty_environment(testnet_home: Path, tmp_path: Path) -> None:
    """Nothing is installed there but the wheel, what it needs, and pytest, which finds the plugin by itself."""
    name, env = f"t{secrets.token_hex(3)}", tmp_path / "env"
    venv.create(env, with_pip=True)
    python, wheels = env / "bin/python", tmp_path / "wheels"
    for words in (["wheel", "--no-deps", "--wheel-dir", str(wheels), str(checkout())], ["install", "pytest>=9,<10", f"{wheels}/*"]):
        found = [str(path) for word in words for path in (wheels.glob("*.whl") if word.endswith("/*") else [word])]
        done = subprocess.run([str(python), "-m", "pip", "-q", *found], capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stderr
    assert "1 passed" in run(python, tmp_path, BARE.replace("NAME", name), testnet_home)
    assert state.find(name) is None
