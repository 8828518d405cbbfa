"""Rehearsals that production asks for: the digest of a release, signed records, and upgrades that are refused without one."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from ansible._internal._datatag._tags import VaultedValue
from ansible.errors import AnsibleError
from ansible.module_utils._internal._datatag import AnsibleTagHelper
from ansible.parsing.vault import EncryptedString
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from ansible_collections.nodewise.cluster.plugins.plugin_utils import variables
from nodewise.cli.main import nodewise
from nodewise.errors import Refused, SetupError, UnknownResult
from nodewise.model import Plan
from nodewise.record import rehearsal
from nodewise.record.rehearsal import Rehearsed, Trial, age, digest, find, keep, merged, objection, own_key, public, sign
from nodewise.record.run import Run
from nodewise.simulation import harness, production
from nodewise.testnet import inventory, state
from nodewise.upgrade.rehearsed import refuse_unrehearsed, unrehearsed

from .observed import observation
from .simulated import Simulated
from .test_plan import made

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
WEEK = timedelta(days=7)


def record(release: str, **more: Any) -> Rehearsed:
    """A signed record of yesterday's."""
    at = (NOW - timedelta(days=1)).isoformat()
    return sign(
        Rehearsed(
            release, **{"at": at, "system": "s", "to": "2", "verdict": "valid", "trials": [Trial("quiet", 1, "valid", "r")], **more}
        ),
        KEY,
    )


def test_the_digest_is_of_the_release_and_not_of_the_hosts() -> None:
    """Other names, another leader: the same release. Another artifact, path, step, gate or number of members: another."""
    plan = made()
    others = {
        "cluster": "p",
        "groups": {"p": ["a", "b", "c"]},
        "versions": {},
        "batches": [],
        "hash": "x",
        "ids": {},
        "gaps": ["y"],
    }
    assert digest(plan) == digest(replace(plan, **others))
    changed = [
        made(to="3.5.30"),
        replace(plan, groups={"c": ["n1", "n2"]}),
        replace(plan, domains={"n1": "rack1", "n2": "rack1"}),
        replace(plan, steps=plan.steps[:-1]),
        replace(plan, gates={}),
        replace(plan, hops=[replace(plan.hops[0], release=replace(plan.hops[0].release, artifacts=[]))]),
        replace(plan, component="c"),
    ]
    assert len(changed) + 1 == len({digest(plan), *map(digest, changed)})
    assert [[], ["path"], ["shape"]] == [
        rehearsal.differs(plan, one) for one in (plan, replace(plan, hops=[replace(plan.hops[0], start="1")]), changed[1])
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, ""),
        ({"verdict": "invalid"}, "it ended invalid"),
        ({"trials": []}, "it ended valid"),
        ({"trials": [Trial("a", 1, "valid", "r"), Trial("b", 1, "unknown", "r")]}, "it ended valid"),
        ({"at": (NOW - timedelta(days=8)).isoformat()}, "which is too old"),
        ({"at": (NOW + timedelta(days=1)).isoformat()}, "it is of the future"),
        ({"digest": "e" * 64}, "it is of another release"),
    ],
)
def test_what_counts_as_rehearsed(change: dict[str, Any], says: str) -> None:
    """A valid one of the same release, young enough."""
    found = objection(record(**{"release": change.pop("digest", "d" * 64), **change}), "d" * 64, [public(KEY)], WEEK, NOW)
    assert (says in found, bool(says)) == (True, bool(found))


def test_a_record_that_was_changed_or_signed_by_another_does_not_count() -> None:
    """Any field, and any key."""
    good, other = record("d" * 64, verdict="invalid"), Ed25519PrivateKey.generate()
    forged = replace(good, verdict="valid")
    assert "its signature does not fit" in objection(forged, "d" * 64, [public(KEY)], WEEK, NOW)
    assert "none of the keys that count" in objection(sign(good, other), "d" * 64, [public(KEY)], WEEK, NOW)
    assert "its signature does not fit" in objection(replace(good, signature="zz"), "d" * 64, [public(KEY)], WEEK, NOW)


def test_a_key_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    """The second time it is the same; what is no key is told."""
    path = tmp_path / "there/rehearsal.key"
    assert public(own_key(path)) == public(own_key(path))
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    path.write_text("no key")
    with pytest.raises(SetupError, match="cannot be read or made"):
        own_key(path)


@pytest.mark.parametrize(("said", "expected"), [("7d", timedelta(7)), ("12h", timedelta(hours=12)), ("90m", timedelta(minutes=90))])
def test_an_age(said: str, expected: timedelta) -> None:
    """Days, hours, minutes."""
    assert expected == age(said)


def test_records_in_a_folder_and_below_a_url(tmp_path: Path) -> None:
    """Found by the release's digest; none is none; what cannot be read or asked is unknown."""
    keep(record("d" * 64), tmp_path)
    (tmp_path / f"{'b' * 64}.json").write_text("[1]")
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: handler(*given, directory=str(tmp_path)))
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    try:
        for where in (str(tmp_path), url):
            assert (record("d" * 64), None) == (find(where, "d" * 64), find(where, "a" * 64))
            with pytest.raises(UnknownResult):
                find(where, "b" * 64)
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(UnknownResult, match="cannot be read"):
        find(url, "d" * 64)


def test_one_verdict_for_all_trials() -> None:
    """Invalid before unknown before valid; nothing is unknown."""
    said = [[], ["valid"], ["valid", "unknown"], ["unknown", "invalid"]]
    assert ["unknown", "valid", "unknown", "invalid"] == [merged([Trial("x", 1, one, "r") for one in every]) for every in said]


def test_a_plan_without_a_rehearsal_is_refused(tmp_path: Path) -> None:
    """With the command that rehearses and the words that waive it; a rehearsed or waived one is not, nor one that does nothing."""
    plan, keys = made(), [public(KEY)]

    def why(of: Plan = plan, within: str = "7d") -> str:
        return unrehearsed(of, within, str(tmp_path), keys, NOW)

    with pytest.raises(Refused, match=r"has no rehearsal of release \w{12}.\nRehearse .*nodewise rehearse --plan RUN.*rehearsed"):
        refuse_unrehearsed(plan, why())
    refuse_unrehearsed(made(waive={"rehearsed": "hotfix"}), why())
    assert ["", "", ""] == [why(within=""), why(replace(plan, kind="rollback")), why(replace(plan, batches=[]))]
    keep(record(digest(plan)), tmp_path)
    assert "" == why()
    assert "does not count: it is of 2026-11-28" in why(within="12h")
    (tmp_path / f"{digest(plan)}.json").write_text("{")
    assert "cannot be read" in why()
    with pytest.raises(Refused, match="nodewise_require_rehearsal: 'soon' is not an age"):
        why(within="soon")


def test_an_upgrade_is_refused_without_its_rehearsal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--check says so as a gap and leaves the plan; the run itself is refused; it goes through once rehearsed, or waived."""
    monkeypatch.setenv("NODEWISE_REHEARSAL_KEY", str(tmp_path / "key"))
    notes, where = Simulated(tmp_path), tmp_path / "rehearsals"
    asked = {"require_rehearsal": "7d", "rehearsals": str(where), "rehearsal_keys": []}
    assert "planned" == notes.upgrade("1.1.0", check=True, **asked)
    plan = Run(notes.run_dir).read_plan()
    assert [True] == [str(where) in gap for gap in plan.gaps if gap.startswith("not rehearsed: ")]
    notes.next_run()
    assert "refused" == notes.upgrade("1.1.0", **asked)
    assert "has no rehearsal of release" in str(notes.summary()["reason"])
    ours = own_key(tmp_path / "key")
    keep(sign(replace(record(digest(plan)), at=rehearsal.now()), ours), where)
    notes.next_run()
    assert "upgraded" == notes.upgrade("1.1.0", **asked)


def test_a_hotfix_waives_its_rehearsal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is recorded."""
    monkeypatch.setenv("NODEWISE_REHEARSAL_KEY", str(tmp_path / "key"))
    notes = Simulated(tmp_path)
    asked = {"require_rehearsal": "7d", "rehearsals": str(tmp_path / "none"), "rehearsal_keys": [], "waive": {"rehearsed": "CVE"}}
    assert "upgraded" == notes.upgrade("1.1.0", **asked)
    assert {"rehearsed": "CVE"} == Run(notes.run_dir).read_plan().settings.waive


# --- what is rehearsed -----------------------------------------------------------------------------------------------


def planned(folder: Path, plan: Plan) -> Path:
    """The record of --check."""
    Run.create(folder / "run", kind="upgrade").write_plan(plan)
    return folder / "run"


def test_a_testnet_of_the_plans_shape(tmp_path: Path) -> None:
    """Its size, version and target; what it does not have is named."""
    plan = made()
    found = production.production(planned(tmp_path, plan))
    asked = production.scenario_of(found.plan, "quiet")
    assert (plan.system, "3.4.23", 3, "3.5.16") == (
        asked.cluster.system,
        asked.cluster.version,
        asked.cluster.nodes,
        asked.upgrade and asked.upgrade.to,
    )
    assert ["layout", "variables", "data"] == [gap.split()[0].rstrip(":") for gap in found.gaps]
    more = replace(plan, groups={"a": ["n1"], "b": ["n2", "n3"]}, domains={"n1": "x"}, versions={"n1": "1", "n2": "2"})
    gaps = production.production(planned(tmp_path / "more", more)).gaps
    assert ["one quorum group of 2 members", "failure domains", "versions: all begin with 3.4.23"] == [
        next(
            start
            for start in ("one quorum group of 2 members", "failure domains", "versions: all begin with 3.4.23")
            if gap.startswith(start)
        )
        for gap in gaps[3:]
    ]


def test_failure_domains_come_along(tmp_path: Path) -> None:
    """In the order of the members; where one of them has none, none is guessed, and the gap says so."""
    plan = replace(made(), domains={"n1": "rack1", "n2": "rack2", "n3": "rack1"})
    found = production.production(planned(tmp_path, plan))
    asked = harness.request(production.scenario_of(found.plan, "quiet"), "dev")
    nodes = tuple(state.Node(f"dev-n{number}", f"10.0.0.{number}") for number in (1, 2, 3))
    net = state.Testnet("dev", nodes, "10.0.0.0/24", domains=asked.domains)
    assert ["rack1", "rack2", "rack1"] == [one["nodewise_failure_domain"] for one in inventory.hosts(net).values()]
    assert not any("failure domains" in gap for gap in found.gaps)
    assert [] == production.scenario_of(replace(plan, domains={"n2": "x"}), "quiet").cluster.domains


def test_the_variables_of_the_inventory_come_along(tmp_path: Path) -> None:
    """The testnet has them, and which they are is named with what is left out."""
    folder = planned(tmp_path, made())
    Run(folder).add(variables={"nodewise_soak": 7, "nodewise_gates": {"mine": {"that": "`true`"}}})
    plan, gaps, taken, _ = production.production(folder)
    asked = production.scenario_of(plan, "quiet", taken)
    assert {"nodewise_soak": 7, "nodewise_gates": {"mine": {"that": "`true`"}}} == asked.cluster.variables
    assert gaps[1].endswith("secrets are replaced; taken over: nodewise_gates, nodewise_soak")


@pytest.mark.parametrize(
    ("data", "volume", "says"),
    [
        (None, 0, "how much production has was not observed"),
        (0, 0, "production has 0 MiB on the member that has most; the testnet has 0 MiB"),
        (5 << 20, 5, "production has 5 MiB on the member that has most; the testnet has 5 MiB of made-up values of 64 KiB"),
        (1500 << 20, 64, "production has 1,500 MiB on the member that has most; the testnet has 64 MiB"),
    ],
)
def test_as_much_data_as_production_has_up_to_a_limit(tmp_path: Path, data: int | None, volume: int, says: str) -> None:
    """By what --check saw on the nodes; what of it is left out is a gap."""
    folder = planned(tmp_path, made())
    Run(folder).add(data_bytes=data)
    found = production.production(folder)
    assert volume == found.volume == production.scenario_of(found.plan, "quiet", {}, found.volume).cluster.volume
    assert f"data: {says}" in found.gaps[2] if data is not None else says in found.gaps[2]


def test_what_of_an_inventory_is_kept_for_a_rehearsal() -> None:
    """What all members share and is about no place, no run and no host; no secret, however deep it lies."""
    patroni = {"ttl": 20, "users": [{"name": "app", "password": "s3cret"}], "api_token": "s3cret", "restapi": {"key": {"n": 1}}}
    shared = {"nodewise_patroni": patroni, "nodewise_root": "/srv", "nodewise_to": "2", "nodewise_node": {}, "ansible_user": "x"}
    hosts = [
        {**shared, "nodewise_soak": 5, "nodewise_spare": n, "nodewise_db_password": "s3cret", "nodewise_token": "s3cret"}
        for n in range(2)
    ]
    found = variables.carried(hosts, hosts[0], ["nodewise_node"])
    gone = variables.REPLACED
    expected = {"ttl": 20, "users": [{"name": "app", "password": gone}], "api_token": gone, "restapi": {"key": {"n": 1}}}
    assert {"nodewise_patroni": expected, "nodewise_soak": 5, "nodewise_token": gone} == found
    assert "s3cret" not in str(found)


def test_what_came_out_of_a_vault_is_kept_nowhere() -> None:
    """Under any name, also as a part of something else; nor is what a URL has before its host."""
    vaulted = AnsibleTagHelper.tag("hush", VaultedValue(ciphertext="$ANSIBLE_VAULT;1.1;AES256"))
    host = {"other": {"a": [vaulted]}, "nodewise_suite": ["--as=hush", "core"], "nodewise_releases": {"2": "https://me:it@there/x"}}
    found = variables.carried([host], host, [])
    url = f"https://{variables.REPLACED}@there/x"
    assert {"nodewise_suite": [variables.REPLACED, "core"], "nodewise_releases": {"2": url}} == found


@pytest.mark.parametrize(("mode", "kept"), [("0400", False), ("0640", False), ("0644", True), (None, True)])
def test_a_file_that_others_may_not_read_is_kept_nowhere(mode: str | None, kept: bool) -> None:
    """Wherever its secret came from; what others may read is no secret."""
    file = {"content": "hush", **({"mode": mode} if mode else {})}
    host = {"nodewise_app": {"files": {"/etc/key": file}}}
    (found,) = variables.carried([host], host, [])["nodewise_app"]["files"].values()
    assert {**file, "content": "hush" if kept else variables.REPLACED} == found


def test_a_vault_that_cannot_be_opened_is_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody can read here is in no value that was read; a secret of a letter is looked for as a whole value only."""
    monkeypatch.setattr(EncryptedString, "_decrypt", Mock(side_effect=AnsibleError("no vault secrets were found")))
    short = AnsibleTagHelper.tag("e", VaultedValue(ciphertext="$ANSIBLE_VAULT;1.1;AES256"))
    host = {"nodewise_suite": "core", "nodewise_note": "e"}
    found = variables.carried(
        [host], {**host, "theirs": EncryptedString(ciphertext="$ANSIBLE_VAULT;1.1;AES256"), "mine": short}, []
    )
    assert {"nodewise_suite": "core", "nodewise_note": variables.REPLACED} == found


def test_a_scenario_gives_its_faults() -> None:
    """The cluster and the target are production's."""
    asked = production.scenario_of(made(), "upgrade-under-kill")
    assert (True, "3.5.16", "3.4.23") == (bool(asked.faults), asked.upgrade and asked.upgrade.to, asked.cluster.version)


@pytest.mark.parametrize(
    ("code", "rehearsed", "verdict", "gaps"),
    [
        (0, {}, "valid", []),
        (1, {}, "invalid", []),
        (3, {}, "unknown", []),
        (4, {}, "unknown", []),
        (0, {"gates": {}}, "unknown", ["quiet: gates of the plan: not as in production"]),
        (0, {"groups": {"c": ["n1"]}}, "valid", ["quiet: shape of the plan: not as in production"]),
    ],
)
def test_what_came_of_a_trial(code: int, rehearsed: dict[str, Any], verdict: str, gaps: list[str], tmp_path: Path) -> None:
    """Where something else was done than in production, it is unknown; another shape is a gap."""
    run = Run(planned(tmp_path, replace(made(), **rehearsed)))
    ended, told = production.trial(made(), run, 7, "quiet", code)
    assert (Trial("quiet", 7, verdict, "run"), gaps) == (ended, told)


def test_a_trial_without_a_plan_is_unknown(tmp_path: Path) -> None:
    """Nothing was rehearsed."""
    ended, told = production.trial(made(), Run(tmp_path), 7, "quiet", 0)
    assert ("unknown", 5) == (ended.verdict, len(told))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (None, "has no plan.yaml"),
        ({"kind": "rollback"}, "is the plan of a rollback: nothing to rehearse"),
        ({"batches": []}, "is the plan of nothing to do"),
        ({"system": "toy"}, "toy is not a system that testnets have"),
    ],
)
def test_what_cannot_be_rehearsed(change: dict[str, Any] | None, says: str, tmp_path: Path) -> None:
    """One or two lines, exit code 2, and nothing is made."""
    folder = tmp_path if change is None else planned(tmp_path, replace(made(observation()), **change))
    done = CliRunner().invoke(nodewise, ["rehearse", "--plan", str(folder)])
    assert (2, True) == (done.exit_code, says in done.stderr)
    assert len(done.stderr.splitlines()) <= 2
    assert not list(tmp_path.glob("**/rehearsals"))


def test_a_record_as_it_is_kept(tmp_path: Path) -> None:
    """One file, named by the release, with its schema; what comes back is what was signed."""
    kept = keep(record("d" * 64, gaps=["data"]), tmp_path)
    assert ("d" * 64, 1) == (kept.stem, msgspec.json.decode(kept.read_bytes())["schema"])
    assert "" == objection(find(str(tmp_path), "d" * 64) or record("x"), "d" * 64, [public(KEY)], WEEK, NOW)
