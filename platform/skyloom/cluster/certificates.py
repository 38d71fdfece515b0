"""Certificates for one cluster: its own authority, and three short-lived pairs under it.

The authority's key is used in memory and forgotten: nobody can make a fourth pair. Whoever
holds a pair is trusted with everything on the cluster, since Dask knows no roles; but the
client's cannot pose as a scheduler or worker.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from skyloom.errors import ErrorKind, NotFoundError, SpecError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["ROLES", "Certificates", "check_certificate", "make_certificates"]

ROLES = ("scheduler", "worker", "client")
LIFETIME_H = 168.0
"""A week: longer than a run, shorter than a forgotten copy is dangerous."""
CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Certificates:
    """What `make_certificates` wrote."""

    folder: Path
    expires: datetime
    cluster_file: Path
    """For ``--cluster``: names the client's pair."""

    @property
    def authority(self) -> Path:
        """The certificate that everybody checks the others against."""
        return self.folder / "ca.pem"

    def pair(self, role: str) -> tuple[Path, Path]:
        """Return certificate and private key of a role."""
        return self.folder / f"{role}.pem", self.folder / f"{role}-key.pem"


def make_certificates(
    folder: str | Path, *, scheduler: str = "tls://127.0.0.1:8786", lifetime_h: float = LIFETIME_H
) -> Certificates:
    """Make the certificates of one cluster run, and a cluster file that uses them.

    Parameters
    ----------
    folder : str or Path
        Made with mode 0700, private keys in it with 0600; must not exist, or be empty.
    scheduler : str
        The address at which clients will reach the scheduler, for the cluster file.
    lifetime_h : float
        Hours until all of them expire, from 0 (exclusive) to a year.

    Raises
    ------
    SpecError
        If the folder has files, the lifetime is out of bounds, or the address is not ``tls://``.
    """
    if not 0 < lifetime_h <= 366 * 24:
        msg = f"certificates for a cluster run last more than 0 hours and at most a year, not {lifetime_h}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    if not scheduler.startswith("tls://") or set(scheduler) & set('"\\\n'):
        msg = f"the scheduler's address is tls://HOST:PORT, not {scheduler!r}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    made = Certificates(
        _private_folder(Path(folder)),
        datetime.now(UTC) + timedelta(hours=lifetime_h),
        Path(folder, "cluster.toml"),
    )
    issue(made)
    text = (
        "# A Dask scheduler that is reached by TLS: skyloom run JOB.toml --cluster THIS_FILE\n"
        f'kind = "scheduler"\naddress = "{scheduler}"\n'
        'tls_ca = "ca.pem"\ntls_cert = "client.pem"\ntls_key = "client-key.pem"\n'
    )
    _create(made.cluster_file, text.encode())
    return made


def _private_folder(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        msg = f"{folder} has files in it; certificates are made for one run, in a new directory"
        raise SpecError(msg, kind=ErrorKind.ALREADY_EXISTS, folder=str(folder))
    folder.chmod(0o700)
    return folder


def issue(made: Certificates, *, expires: Mapping[str, datetime] = MappingProxyType({})) -> None:
    """Make an authority, and a pair for each role; write all but the authority's key.

    Parameters
    ----------
    made : Certificates
        Where, and until when.
    expires : mapping of str to datetime
        Roles whose pair ends at another time.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate(made.expires, "authority", authority_key.public_key(), signed_by=authority_key)
    _create(made.authority, _pem(authority))
    for role in ROLES:
        key = ec.generate_private_key(ec.SECP256R1())
        until = expires.get(role, made.expires)
        certificate = _certificate(until, role, key.public_key(), signed_by=authority_key, issuer=authority)
        file, key_file = made.pair(role)
        _create(file, _pem(certificate))
        _create(key_file, _key_pem(key))


def _certificate(
    expires: datetime,
    role: str,
    key: ec.EllipticCurvePublicKey,
    *,
    signed_by: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None = None,
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"skyloom {role}")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject if issuer else name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - CLOCKS_DIFFER)
        .not_valid_after(expires)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=0 if issuer is None else None), True)
        .add_extension(_usage(authority=issuer is None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signed_by.public_key()), False)
    )
    if issuer is not None:
        purposes = [Purpose.CLIENT_AUTH] if role == "client" else [Purpose.SERVER_AUTH, Purpose.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), False)
    return builder.sign(signed_by, hashes.SHA256())


def _usage(*, authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _create(path: Path, data: bytes) -> None:
    """Create a file that only its owner reads, whatever the umask is."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def check_certificate(authority: Path, certificate: Path, key: Path) -> None:
    """Refuse, before anything connects, a pair that no peer would accept or that others can read.

    Raises
    ------
    NotFoundError
        If a file is missing.
    SpecError
        If one is no certificate, the pair has expired or is not valid yet, was not issued by
        `authority`, or the private key can be read by others than its owner.
    """
    from cryptography.exceptions import InvalidSignature

    issuer, found = _load(authority), _load(certificate)
    now = datetime.now(UTC)
    if not (found.not_valid_before_utc <= now < min(found.not_valid_after_utc, issuer.not_valid_after_utc)):
        until = min(found.not_valid_after_utc, issuer.not_valid_after_utc)
        msg = (
            f"{certificate} is valid from {found.not_valid_before_utc:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} "
            "UTC, not now: make new ones for the cluster with `skyloom cluster certs`, and start it with them"
        )
        raise SpecError(msg, kind=ErrorKind.INSECURE, file=str(certificate))
    try:
        found.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as error:
        msg = f"{certificate} was not issued by {authority}; both must come from one `skyloom cluster certs`"
        raise SpecError(msg, kind=ErrorKind.INSECURE, file=str(certificate)) from error
    if not key.is_file():
        msg = f"there is no private key {key}"
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, file=str(key))
    if stat.S_IMODE(key.stat().st_mode) & 0o077:
        msg = f"the private key {key} can be read by others: chmod 600 it, or better, make new ones"
        raise SpecError(msg, kind=ErrorKind.INSECURE, file=str(key))


def _load(path: Path) -> x509.Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        msg = f"there is no certificate {path}; `skyloom cluster certs` makes one"
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, file=str(path)) from None
    except ValueError as error:
        msg = f"{path} is no PEM certificate ({error})"
        raise SpecError(msg, kind=ErrorKind.INSECURE, file=str(path)) from error
