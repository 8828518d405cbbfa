"""A cluster's own authority: what is made once, what is made again, and who can sign."""

from __future__ import annotations

import datetime
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509

from nodewise import pki
from nodewise.errors import SetupError


def test_a_certificate_that_is_good_is_kept(tmp_path: Path) -> None:
    """The second call returns the same certificate and says that nothing changed."""
    first = pki.node(tmp_path, "c", "n1", ["10.0.0.1"])
    second = pki.node(tmp_path, "c", "n1", ["10.0.0.1"])
    assert (True, False) == (first.changed, second.changed)
    assert first.certificate == second.certificate


def test_a_certificate_names_the_node_and_its_addresses(tmp_path: Path) -> None:
    """Peers and clients may reach it by name, by address, and from the node itself."""
    made = x509.load_pem_x509_certificate(pki.node(tmp_path, "c", "n1", ["10.0.0.1", "n1.example.org"]).certificate.encode())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"n1", "n1.example.org", "localhost"} == set(names.get_values_for_type(x509.DNSName))
    assert {"10.0.0.1", "127.0.0.1"} == {str(address) for address in names.get_values_for_type(x509.IPAddress)}


@pytest.mark.parametrize(("names", "renew_days"), [(["10.0.0.2"], 30), (["10.0.0.1"], 400)])
def test_a_certificate_is_renewed_when_names_change_or_its_end_is_near(tmp_path: Path, names: list[str], renew_days: int) -> None:
    """A certificate that is no longer what is asked for is made anew, by the same authority."""
    first = pki.node(tmp_path, "c", "n1", ["10.0.0.1"])
    second = pki.node(tmp_path, "c", "n1", names, renew_days=renew_days)
    assert second.changed
    assert first.authority == second.authority


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    """What would be made or renewed is returned as a change, and the folder stays as it is."""
    assert pki.node(tmp_path / "pki", "c", "n1", [], check=True).changed
    assert [] == list(tmp_path.iterdir())
    first = pki.node(tmp_path, "c", "n1", [])
    assert not pki.node(tmp_path, "c", "n1", [], check=True).changed
    renewed = pki.node(tmp_path, "c", "n1", [], renew_days=400, check=True)
    assert (True, first.authority) == (renewed.changed, renewed.authority)
    assert first == pki.node(tmp_path, "c", "n1", [])._replace(changed=True)


def test_a_certificate_of_another_authority_is_not_good(tmp_path: Path) -> None:
    """With a new authority every certificate is new: the old ones would not be trusted."""
    pki.node(tmp_path, "c", "n1", [])
    for name in ("ca.crt", "ca.key"):
        (tmp_path / name).unlink()
    assert pki.node(tmp_path, "c", "n1", []).changed


def test_a_certificate_lasts_as_long_as_stated(tmp_path: Path) -> None:
    """365 days, unless it is said otherwise."""
    end = datetime.datetime.fromisoformat(pki.node(tmp_path, "c", "n1", [], days=10, renew_days=1).expires)
    left = end - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=9, hours=23) < left <= datetime.timedelta(days=10)


def test_keys_are_their_owners_alone(tmp_path: Path) -> None:
    """Every private key has mode 0600."""
    pki.node(tmp_path, "c", "n1", [])
    pki.client(tmp_path, "c")
    keys = list(tmp_path.rglob("*.key"))
    assert {0o600} == {path.stat().st_mode & 0o777 for path in keys}
    assert len(keys) == len(["ca", "client", "n1"])


def test_many_at_once_have_one_authority(tmp_path: Path) -> None:
    """Calls at the same time, for the same and for other nodes, agree on one authority and one certificate a node."""
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: pki.node(tmp_path, "c", f"n{number % 3}", []), range(12)))
    assert len({one.authority for one in made}) == 1
    assert len({one.certificate for one in made}) == len(["n0", "n1", "n2"])


def test_a_key_that_is_gone_is_an_error_and_not_a_new_authority(tmp_path: Path) -> None:
    """A new authority would lock every node out: half of one is for the operator to fix."""
    pki.node(tmp_path, "c", "n1", [])
    (tmp_path / "ca.key").unlink()
    with pytest.raises(SetupError, match="restore both files"):
        pki.node(tmp_path, "c", "n1", [])


def files(folder: Path) -> set[str]:
    """All files below a folder, but for the lock."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_a_cluster_is_removed_by_name(tmp_path: Path) -> None:
    """Its nodes, its client and its authority go, with the passwords that are named; empty folders go, and so does the folder."""
    folder = tmp_path / "pki"
    pki.client(folder, "a")
    for name in ("n1", "n2"):
        pki.node(folder, "a", name, [])
    (folder / "passwords").mkdir()
    (folder / "passwords/superuser").write_text("x")
    (folder / "passwords/theirs").write_text("x")
    assert 9 == len(pki.remove(folder, "a", ["n1", "n2", "n3"], ["superuser", "rewind"]))
    assert {"passwords/theirs"} == files(folder)
    (folder / "passwords/theirs").unlink()
    assert [] == pki.remove(folder, "a", ["n1", "n2"])
    assert not folder.exists()
    assert [] == pki.remove(folder, "a", ["n1", "n2"])


def test_what_another_cluster_has_in_the_folder_stays(tmp_path: Path) -> None:
    """While another cluster has nodes there, and where another made the authority: that, the client and the passwords stay."""
    pki.client(tmp_path, "a")
    for cluster, name in (("a", "a1"), ("b", "b1")):
        pki.node(tmp_path, cluster, name, [])
    (tmp_path / "passwords").mkdir()
    (tmp_path / "passwords/superuser").write_text("x")
    (tmp_path / "other").mkdir()
    pki.client(tmp_path / "other", "c")
    kept = files(tmp_path) - {"nodes/a1.crt", "nodes/a1.key"}
    pki.remove(tmp_path, "a", ["a1"], ["superuser"])
    assert kept == files(tmp_path)
    pki.remove(tmp_path, "b", ["b1"], ["superuser"])
    assert kept - {"nodes/b1.crt", "nodes/b1.key"} == files(tmp_path)
