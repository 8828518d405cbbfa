"""Versions that are in no list: what nodes are offered becomes a release, or a refusal that names the node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nodewise.errors import Refused
from nodewise.releases import offered, pypi, sources
from nodewise.releases.rules import Rules, Unlisted, with_overrides

CASES = sorted((Path(__file__).resolve().parents[1] / "cases/offered").glob("*.json"))
RULES = Rules(default="15", any=Unlisted(packages=["db-{major}", "tool"]))
PYTHON = {"python": "3.11", "machine": "x86_64", "libc": "2.36"}


def nodes(**versions: list[str]) -> dict[str, Any]:
    """Nodes that are offered these versions."""

    def offers(found: list[str]) -> list[dict[str, Any]]:
        return [{"version": f"{v}-1", "upstream": v, "url": f"u{v}", "sha256": v * 3, "size": 1} for v in found]

    return {
        name: {
            "staged": [],
            "packages": {"manager": "apt", "installed": {}, "offered": {"db-15": offers(found), "tool": offers(found)}},
        }
        for name, found in versions.items()
    }


@pytest.mark.parametrize("file", CASES, ids=[case.stem for case in CASES])
def test_packages(file: Path) -> None:
    """The artifacts of the case, or its refusal."""
    case = json.loads(file.read_text())
    if "artifacts" in case:
        found = offered.packages(case["names"], case["version"], case["nodes"])
        assert case["artifacts"] == [[one.package, one.sha256, one.url] for one in found]
        return
    with pytest.raises(Refused) as refused:
        offered.packages(case["names"], case["version"], case["nodes"])
    assert case["refused"] in str(refused.value)


@pytest.mark.parametrize(
    ("asked", "there", "means"),
    [
        ("15", [], "15.9"),  # the highest that every node is offered, not the highest there is
        ("15", ["15.8"], "15.8"),
        ("15.8", [], "15.8"),
        ("15.8", ["15.9"], "15.8"),
        ("15.77", [], "15.77"),  # nobody has it, which is for `resolve` to say
    ],
)
def test_beginning_of_a_version(asked: str, there: list[str], means: str) -> None:
    """A version, or the beginning of one, means one that can be had."""
    assert means == sources.exactly(RULES, asked, nodes(n1=["15.10", "15.9", "15.8"], n2=["15.9", "15.8", "15.7"]), there)


def test_release_and_what_goes_back() -> None:
    """Both packages are in it, with the major filled in; so they are in what going back needs, unless the version is listed."""
    some = nodes(n1=["15.9", "15.8"], n2=["15.9", "15.8"])
    for release in (sources.resolve(RULES, "15.8", {}, "x86_64", some), sources.back(RULES, "15.8", some)):
        assert release
        assert ["db-15=15.8-1", "tool=15.8-1"] == [artifact.package for artifact in release.artifacts]
        assert {"package"} == {artifact.kind for artifact in release.artifacts}
    artifact = {"url": "https://example.org/x.deb", "sha256": "ab" * 32, "kind": "package"}
    own = with_overrides(RULES, {"15.8": {"artifacts": [artifact]}})
    assert sources.back(own, "15.8", some) == sources.resolve(own, "15.8", {}, "x86_64", some)
    own = with_overrides(RULES, {"15.8": {"artifacts": [{**artifact, "kind": "tar"}], "binaries": {"db": "x"}}})
    assert sources.back(own, "15.8", some) is None
    assert sources.back(Rules(), "15.8", some) is None
    with pytest.raises(Refused, match=r"n1 is offered no db-15 15\.7 by apt, but 15\.9, 15\.8"):
        sources.resolve(RULES, "15.7", {}, "x86_64", some)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"python": "3.12"}, "a 3.11 on x86_64, b 3.12 on x86_64"),
        ({"machine": "aarch64"}, "b 3.11 on aarch64"),
        ({"python": None}, "b unknown on x86_64"),
    ],
)
def test_one_python_for_all(other: dict[str, Any], says: str) -> None:
    """Wheels are for one Python; nodes that differ, or do not say, are named."""
    with pytest.raises(Refused, match=says):
        pypi.target({"a": PYTHON, "b": {**PYTHON, **other}})


def test_oldest_library_counts() -> None:
    """Wheels are for the oldest glibc of all nodes, and for none where one has another library."""
    old = pypi.target({"a": PYTHON, "b": {**PYTHON, "libc": "2.17"}}).words
    assert "manylinux_2_17_x86_64" in old
    assert "manylinux_2_18_x86_64" not in old
    assert not [word for word in pypi.target({"a": PYTHON, "b": {**PYTHON, "libc": ""}}).words if "manylinux" in word]
