# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster's own certificate authority, kept in a folder of the controller.

    <folder>/ca.crt ca.key            the authority; the key is 0600 and never leaves the controller
    <folder>/client.crt client.key    for the operator and for workloads
    <folder>/nodes/<name>.crt .key    for a node, as server and as client

Everything here may be called again and by several processes at once: what is there and still good is returned as it is.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nodewise import files
from nodewise.errors import SetupError

AUTHORITY_DAYS = 3650
# Clocks of nodes may be behind the controller's: a certificate that is not valid yet stops a cluster as an expired one does.
BACKDATED = datetime.timedelta(hours=1)


class Certificate(NamedTuple):
    """A certificate as PEM text, with its key and the authority that signed it; `changed` when this call made it."""

    certificate: str
    key: str
    authority: str
    expires: str  # ISO 8601, UTC
    changed: bool


class _Pair(NamedTuple):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def node(
    folder: Path, cluster: str, name: str, names: Sequence[str], days: int = 365, renew_days: int = 30, *, check: bool = False
) -> Certificate:
    """Return the certificate of a node (server and client), good for `names`, localhost and 127.0.0.1.

    Made anew when it is missing, has less than `renew_days` days left, names other hosts or another authority signed it. With
    `check` what is made is returned, and nothing is written.
    """
    names = [name, *names, "localhost", "127.0.0.1"]
    return _issue(folder, cluster, Path("nodes") / name, name, names, (days, renew_days), check)


def client(folder: Path, cluster: str, days: int = 365, renew_days: int = 30) -> Certificate:
    """Return the client certificate of the operator and of workloads: `client.crt` and `client.key` in the folder."""
    return _issue(folder, cluster, Path("client"), f"{cluster} client", [], (days, renew_days))


def remove(folder: Path, cluster: str, nodes: Sequence[str], passwords: Sequence[str] = ()) -> list[Path]:
    """Remove what a cluster has in the folder, by name, and return it; folders go once they are empty.

    The certificates of its `nodes` always; the authority with the client's, and `passwords`, only where the authority is this
    cluster's and no certificate of another cluster's nodes is there.
    """
    if not folder.is_dir():
        return []
    with _locked(folder):
        gone = _unlinked(folder / "nodes" / f"{name}.{end}" for name in nodes for end in ("crt", "key"))
        authority = _load(folder / "ca")
        own = authority is not None and authority.certificate.subject == _name(f"{cluster} authority")
        if own and not any((folder / "nodes").glob("*.crt")):
            pairs = (folder / f"{stem}.{end}" for stem in ("client", "ca") for end in ("crt", "key"))
            gone += _unlinked([*pairs, *(folder / "passwords" / name for name in passwords)])
        for empty in (folder / "nodes", folder / "passwords"):
            _unlinked(empty.glob(".ansible_lockfile*"))
            with contextlib.suppress(OSError):
                empty.rmdir()
        if [folder / ".lock"] == list(folder.iterdir()):
            (folder / ".lock").unlink()
            folder.rmdir()
    return gone


def _unlinked(paths: Iterable[Path]) -> list[Path]:
    """Remove files; returns those that were there."""
    there = [path for path in paths if path.exists()]
    for path in there:
        path.unlink()
    return there


def _issue(
    folder: Path, cluster: str, stem: Path, common_name: str, names: list[str], life: tuple[int, int], check: bool = False
) -> Certificate:
    days, renew_days = life
    keep = _as_it_is if check else _store
    with contextlib.nullcontext() if check else _locked(folder):
        authority = _load(folder / "ca") or keep(folder / "ca", _new_authority(cluster))
        pair = _load(folder / stem)
        changed = pair is None or not _good(pair.certificate, authority.certificate, names, renew_days)
        if pair is None or changed:
            pair = keep(folder / stem, _sign(authority, common_name, names, days))
    expires = pair.certificate.not_valid_after_utc.isoformat()
    return Certificate(_pem(pair.certificate), _key_pem(pair.key), _pem(authority.certificate), expires, changed)


def _new_authority(cluster: str) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"{cluster} authority")
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    builder = _builder(name, name, key, AUTHORITY_DAYS).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return _Pair(builder.add_extension(usage, critical=True).sign(key, hashes.SHA256()), key)


def _sign(authority: _Pair, common_name: str, names: list[str], days: int) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    # etcd's own gateway calls the server as a client with the server's certificate: a node needs both usages.
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if names else [])
    builder = _builder(_name(common_name), authority.certificate.subject, key, days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(sorted(_general_names(names), key=str)), critical=False)
    return _Pair(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - BACKDATED).not_valid_after(now + datetime.timedelta(days=days))


def _good(certificate: x509.Certificate, authority: x509.Certificate, names: list[str], renew_days: int) -> bool:
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return (
        left > datetime.timedelta(days=renew_days)
        and _names_of(certificate) == _general_names(names)
        and _signed(certificate, authority)
    )


def _signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError):
        return False
    return True


def _names_of(certificate: x509.Certificate) -> set[x509.GeneralName]:
    try:
        return set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return set()


def _general_names(names: Sequence[str]) -> set[x509.GeneralName]:
    return {_general_name(name) for name in names}


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _load(stem: Path) -> _Pair | None:
    certificate, key = stem.with_name(f"{stem.name}.crt"), stem.with_name(f"{stem.name}.key")
    if not key.exists() and not certificate.exists():
        return None
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        pair = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise SetupError(
            f"{stem}: not a readable certificate and key ({error}); restore both files, or remove both to have new ones"
        ) from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != pair.public_key():
        raise SetupError(f"{stem}: the key is not the certificate's; restore both files, or remove both to have new ones")
    return _Pair(pair, private)


def _store(stem: Path, pair: _Pair) -> _Pair:
    stem.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Both files are complete before either is in place, and the key comes first: readers never see half of one.
    parts = {"key": (_key_pem(pair.key), 0o600), "crt": (_pem(pair.certificate), 0o644)}
    paths = {end: stem.with_name(f"{stem.name}.{end}") for end in parts}
    staged = {end: files.stage(paths[end], text, mode) for end, (text, mode) in parts.items()}
    for end, path in paths.items():
        staged[end].replace(path)
    return pair


def _as_it_is(_stem: Path, pair: _Pair) -> _Pair:
    return pair


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except PermissionError as error:
        raise SetupError(f"{error.filename}: not writable; set nodewise_pki_dir to a folder that is") from None
