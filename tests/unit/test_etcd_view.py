"""What the answers of etcd's members add up to. Each case holds answers as real members gave them, and the observation."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.view import assemble, compare
from nodewise.model import Observation

CASES = sorted((Path(__file__).parents[1] / "cases" / "etcd_info").glob("*.json"))


def load(name: str) -> Any:
    """One case, by its file's name."""
    return json.loads((CASES[0].parent / f"{name}.json").read_text())


def observed(case: dict[str, Any]) -> dict[str, Any]:
    """The observation of a case."""
    return compare(assemble(case["answers"]), case["found"])


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_answers_add_up_to_an_observation(path: Path) -> None:
    """The answers of a situation give exactly its observation, in the shape that the engine expects."""
    case = json.loads(path.read_text())
    found = observed(case)
    msgspec.convert(found, Observation)
    assert found.pop("at").endswith("Z")
    assert case["observation"] == found


def test_members_that_name_two_leaders_have_no_leader() -> None:
    """Where the members disagree the cluster's leader is unknown, and each of them carries the disagreement."""
    case = load("healthy-3.3")
    ids = {name: answers["status"]["header"]["member_id"] for name, answers in case["answers"].items()}
    case["answers"]["n3"]["status"]["leader"] = ids["n3"]
    found = observed(case)
    assert found["cluster"]["leader"] is None
    assert all(any("leader" in error for error in member["errors"]) for member in found["members"])


def test_members_of_two_clusters_have_no_cluster() -> None:
    """A member that reports another cluster's id makes the id unknown."""
    case = load("healthy-3.3")
    case["answers"]["n2"]["status"]["header"]["cluster_id"] = "1"
    assert observed(case)["cluster"]["id"] is None


def test_a_different_fingerprint_is_named_on_the_member_that_differs() -> None:
    """One member of three whose data differs is the one with the error, and the cluster has no fingerprint."""
    case = load("healthy-3.3")
    case["found"]["members"]["n2"] = "1@-1"
    found = observed(case)
    assert found["cluster"]["fingerprint"] is None
    assert [bool(member["errors"]) for member in found["members"]] == [False, True, False]


def test_an_equal_hash_after_another_compaction_is_a_difference() -> None:
    """Fingerprints carry the compact revision, so that hashes of other ranges never pass as equal."""
    case = load("healthy-3.3")
    case["found"]["members"]["n2"] = case["found"]["members"]["n2"].replace("@-1", "@5")
    assert observed(case)["cluster"]["fingerprint"] is None


def test_a_start_time_that_is_not_told_is_an_error() -> None:
    """What could not be read is null and said to be so."""
    case = load("healthy-3.3")
    case["answers"]["n1"]["started"] = None
    first = observed(case)["members"][0]
    assert first["started_at"] is None
    assert "start time" in first["errors"][0]


def test_answers_are_not_changed_by_reading_them() -> None:
    """Looking twice at the same answers gives the same observation."""
    case = load("learner")
    before = deepcopy(case)
    observed(case)
    assert before["answers"] == case["answers"]


def test_a_host_that_the_cluster_does_not_list_is_no_member() -> None:
    """A silent host of the inventory that nobody lists is left out; when nobody could be asked it may be one."""
    case = load("healthy-3.3")
    silent = {"errors": ["connection refused"]}
    assert ["n1", "n2", "n3"] == [member["name"] for member in assemble({**case["answers"], "n4": silent})["members"]]
    assert ["n3", "n4"] == [member["name"] for member in assemble({"n3": silent, "n4": silent})["members"]]


def test_a_member_that_is_a_cluster_of_its_own() -> None:
    """One that answers with another cluster's id, while the two others agree on theirs, is told from a partition."""
    case = load("healthy-3.3")
    ours = int(case["answers"]["n1"]["status"]["header"]["cluster_id"])
    case["answers"]["n2"]["status"]["header"]["cluster_id"] = "17"
    found = {member["name"]: member.get("details") for member in observed(case)["members"]}
    assert found["n1"] is found["n3"] is None
    assert {"cluster": "11", "others": f"{ours:x}", "members": 3, "acts_as": "3.3"} == found["n2"]["apart"]


def test_a_member_that_dropped_the_others() -> None:
    """The cluster's id is the same after --force-new-cluster, and its only member is itself."""
    case = load("healthy-3.3")
    own = case["answers"]["n2"]["status"]["header"]["member_id"]
    listed = case["answers"]["n2"]["members"]
    listed["members"] = [row for row in listed["members"] if str(row["ID"]) == str(own)]
    assert [("n2", 1)] == [
        (member["name"], member["details"]["apart"]["members"]) for member in observed(case)["members"] if member.get("details")
    ]


def test_nobody_is_apart_without_a_quorum() -> None:
    """Three members of three clusters: whose is the right one cannot be told."""
    case = load("healthy-3.3")
    for number, name in enumerate(("n1", "n2", "n3"), start=21):
        case["answers"][name]["status"]["header"]["cluster_id"] = str(number)
    assert not any(member.get("details") for member in observed(case)["members"])
