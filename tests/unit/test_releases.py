"""The rules of the path, and what becomes of a version."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from nodewise.errors import Refused
from nodewise.releases import debian, sources
from nodewise.releases.rules import Hops, Rules, Source, known_versions, load_rules, with_overrides
from nodewise.upgrade.path import versions_between

ROOT = Path(__file__).resolve().parents[2]
CASES = sorted((ROOT / "tests/cases/path").glob("*.json"))
KNOWN = ["3.3.25", "3.4.23", "3.5.1", "3.5.16", "3.5.30", "3.6.11"]
SUM = "ab" * 32
ARTIFACT = {"url": "https://example.org/x.tar.gz", "sha256": SUM, "kind": "tar"}
TARBALL: dict[str, Any] = {"artifacts": [ARTIFACT], "binaries": {"etcd": "x/etcd"}}


def rules(known: list[str], step: Any = "minor", floors: dict[str, str] | None = None) -> Rules:
    """Rules like etcd's, with these versions known."""
    return Rules(
        releases={version: Source(binaries={}) for version in known},
        hops=Hops(step=step),
        avoid={"3.5.1": "loses data"},
        floors={"3.6": "3.5.26"} if floors is None else floors,
    )


@pytest.mark.parametrize("file", CASES, ids=[case.stem for case in CASES])
def test_path(file: Path) -> None:
    """The path has the hops of the case, or is refused in the words of the case, in two lines at most."""
    case = json.loads(file.read_text())
    hops = Hops(step=case.get("step", "minor"), within=case.get("within"))
    given_rules = msgspec.structs.replace(rules(case.get("releases", KNOWN)), hops=hops)
    if "hops" in case:
        assert case["hops"] == versions_between(given_rules, case["current"], case["target"])
        return
    with pytest.raises(Refused) as refused:
        versions_between(given_rules, case["current"], case["target"])
    assert case["refused"] in str(refused.value)
    assert len(str(refused.value).splitlines()) <= 2


versions = st.builds("3.{}.{}".format, st.integers(0, 12), st.integers(0, 12))
# Of each minor from 3.0 on some patches, one of which is always good.
lines = st.lists(st.sets(st.integers(2, 12), min_size=1), min_size=1, max_size=12)


@settings(deadline=None)  # a busy machine is no defect
@given(lines=lines, data=st.data())
def test_path_properties(lines: list[set[int]], data: st.DataObject) -> None:
    """A path rises from hop to hop, skips no minor, keeps out of avoided versions and ends at the target."""
    known = [f"3.{minor}.{patch}" for minor, patches in enumerate(lines) for patch in patches]
    target = data.draw(st.sampled_from(known))
    current = data.draw(versions.filter(lambda text: Version(text) < Version(target)))
    hops = versions_between(rules([*known, "3.5.1"], floors={}), current, target)
    way = [Version(text) for text in [current, *hops]]
    assert way == sorted(set(way))
    assert way[-1] == Version(target)
    assert all(after.minor - before.minor <= 1 for before, after in itertools.pairwise(way))
    assert "3.5.1" not in hops


@settings(deadline=None)  # a busy machine is no defect
@given(known=st.lists(versions, unique=True), current=versions, target=versions)
def test_path_refuses_with_reason(known: list[str], current: str, target: str) -> None:
    """Whatever is asked for, the answer is a path or a refusal of one or two lines."""
    said = ["a path"]
    try:
        versions_between(rules(known), current, target)
    except Refused as refused:
        said = str(refused).splitlines()
    assert 1 <= len(said) <= 2


def test_rules_of_etcd() -> None:
    """The role's own file says the upgrades of the rehearsal, and refuses what etcd warns of."""
    of_etcd = load_rules(ROOT / "roles/etcd")
    assert ["3.5.16"] == versions_between(of_etcd, "3.4.23", "3.5.16")
    assert {"3.5.0", "3.5.1", "3.5.2"} == set(of_etcd.avoid)
    assert {"3.6": "3.5.26", "3.7": "3.6.11"} == of_etcd.floors


def test_own_release_comes_first() -> None:
    """A release of the user's own is taken as it is, also in place of one that the role knows."""
    release = sources.resolve(rules(KNOWN), "3.5.16", {"3.5.16": TARBALL}, "amd64")
    assert "https://example.org/x.tar.gz" == release.artifacts[0].url
    assert {"etcd": "x/etcd"} == release.binaries
    assert "3.7.1" in known_versions(with_overrides(rules(KNOWN), {"3.7.1": TARBALL}))


def changed(**artifact: Any) -> dict[str, Any]:
    """A release whose artifact differs in this."""
    return {**TARBALL, "artifacts": [{**ARTIFACT, **artifact}]}


def without(key: str) -> dict[str, Any]:
    """A release whose artifact lacks this."""
    return {**TARBALL, "artifacts": [{name: value for name, value in ARTIFACT.items() if name != key}]}


@pytest.mark.parametrize(
    ("version", "own", "says"),
    [
        ("3.5.16", without("sha256"), "missing required field `sha256`"),
        ("3.5.16", changed(sha256="abc"), "expected 64"),
        ("3.5.16", changed(sha256=SUM.upper()), "lower-case"),
        ("3.5.16", changed(url="ftp://x/y"), "is not a URL"),
        ("3.5.16", changed(kind="zip"), "Invalid enum value 'zip'"),
        ("3.5.16", changed(checksum="x"), "unknown field `checksum`"),
        ("3.5.16", {**TARBALL, "artifacts": []}, "has no artifacts"),
        ("3.5.16", {**TARBALL, "binaries": {}}, "no binaries"),
        ("3.5.16", "https://x/y", "Expected `object`"),
        ("newest", TARBALL, "is not a version"),
        (3.5, TARBALL, "write it in quotes"),
    ],
)
def test_own_release_that_is_off(version: Any, own: Any, says: str) -> None:
    """A release of the user's own that cannot be trusted or used is refused, and the version is named."""
    with pytest.raises(Refused) as refused:
        sources.resolve(rules(KNOWN), "3.5.16", {version: own}, "amd64")
    assert says in str(refused.value)
    assert str(version) in str(refused.value)


def test_rules_that_are_off(tmp_path: Path) -> None:
    """A file of rules that is missing, or has a number where a version belongs, is refused and named."""
    with pytest.raises(Refused, match=r"releases\.yml is missing"):
        load_rules(tmp_path)
    (tmp_path / "meta").mkdir()
    file = tmp_path / "meta/releases.yml"
    file.write_text('releases: {}\nfloors: {"3.10": 3.9}\n')
    with pytest.raises(Refused, match=r"Expected `str`, got `float`"):
        load_rules(tmp_path)
    file.write_text('releases: {}\navoid: {"x": why}\n')
    with pytest.raises(Refused, match="'x' is not a version"):
        load_rules(tmp_path)


@pytest.mark.parametrize(
    ("packaged", "expected"),
    [
        ("3.5.16-4", "3.5.16"),
        ("3.4.23-4+b4", "3.4.23"),
        ("3.3.25+dfsg-6+b6", "3.3.25"),
        ("1:3.3.25+dfsg-6~bpo11+1", "3.3.25"),
        ("3.6.0~rc1-1", "3.6.0~rc1"),
        ("3.5.16", "3.5.16"),
    ],
)
def test_upstream_part(packaged: str, expected: str) -> None:
    """Epoch, revision and repacking are Debian's; a pre-release is not the release."""
    assert expected == debian.upstream(packaged)
