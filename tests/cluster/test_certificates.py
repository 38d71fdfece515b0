"""Certificates: short-lived, readable by their owner alone, and checked before anything connects."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta

import pytest

from skyloom.cli import main
from skyloom.cluster import make_certificates, resolve
from skyloom.cluster.certificates import Certificates, check_certificate, issue
from skyloom.errors import ErrorKind, NotFoundError, SpecError

ADDRESS = "tls://10.0.0.5:8786"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("c") / "certs", scheduler=ADDRESS, lifetime_h=2)


def with_expired(folder, *stale):
    """Certificates of which those of the roles `stale` were valid for a minute, and are no more."""
    folder.mkdir()
    now = datetime.now(UTC)
    made = Certificates(folder, now + timedelta(hours=1), folder / "cluster.toml")
    old = Certificates(folder, now - timedelta(minutes=1), folder / "cluster.toml")
    issue(made, expires=dict.fromkeys(stale, old.expires))
    return made


def test_only_the_owner_can_read_them_whatever_the_umask_is(tmp_path):
    before = os.umask(0)
    try:
        made = make_certificates(tmp_path / "certs")
    finally:
        os.umask(before)
    assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in made.folder.iterdir()} == {0o600}


def test_the_key_of_the_authority_is_nowhere(made):
    names = {path.name for path in made.folder.iterdir()}
    pairs = {f"{role}{end}.pem" for role in ("scheduler", "worker", "client") for end in ("", "-key")}
    assert names == pairs | {"ca.pem", "cluster.toml"}


def test_the_cluster_file_names_the_client_wherever_it_is_read_from(made, monkeypatch, tmp_path):
    monkeypatch.chdir(made.folder.parent)
    spec = resolve("certs/cluster.toml")
    assert (spec.kind, spec.address) == ("scheduler", ADDRESS)
    assert spec.tls_key == str(made.folder / "client-key.pem")


def test_the_client_cannot_pose_as_a_server(made):
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    for role, serves in {"scheduler": True, "worker": True, "client": False}.items():
        found = x509.load_pem_x509_certificate(made.pair(role)[0].read_bytes())
        purposes = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert (ExtendedKeyUsageOID.SERVER_AUTH in purposes) == serves
        assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert found.not_valid_after_utc <= datetime.now(UTC) + timedelta(hours=2)


def test_a_good_pair_passes(made):
    for role in ("scheduler", "worker", "client"):
        check_certificate(made.authority, *made.pair(role))


def test_an_expired_pair_is_refused_with_the_way_out(tmp_path):
    old = with_expired(tmp_path / "old", "client")
    with pytest.raises(SpecError, match=r"not now(.|\n)*skyloom cluster certs") as caught:
        check_certificate(old.authority, *old.pair("client"))
    assert caught.value.kind == ErrorKind.INSECURE


def test_a_pair_of_another_cluster_is_refused(made, tmp_path):
    other = make_certificates(tmp_path / "other")
    with pytest.raises(SpecError, match="was not issued by"):
        check_certificate(other.authority, *made.pair("client"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path, mode):
    made = make_certificates(tmp_path / "certs")
    made.pair("client")[1].chmod(mode)
    with pytest.raises(SpecError, match="can be read by others"):
        check_certificate(made.authority, *made.pair("client"))


@pytest.mark.parametrize("name", ["ca.pem", "client.pem", "client-key.pem"])
def test_a_missing_file_is_named(tmp_path, name):
    made = make_certificates(tmp_path / "certs")
    (made.folder / name).unlink()
    with pytest.raises(NotFoundError, match=name):
        check_certificate(made.authority, *made.pair("client"))


def test_garbage_is_no_certificate(tmp_path):
    made = make_certificates(tmp_path / "certs")
    made.authority.write_text("-----BEGIN CERTIFICATE-----\nno\n")
    with pytest.raises(SpecError, match="no PEM certificate"):
        check_certificate(made.authority, *made.pair("client"))


def test_a_directory_with_files_is_never_written_into(tmp_path):
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "ca.pem").write_text("mine")
    with pytest.raises(SpecError, match="has files in it"):
        make_certificates(tmp_path / "certs")
    assert (tmp_path / "certs" / "ca.pem").read_text() == "mine"


@pytest.mark.parametrize(
    "wrong", [{"lifetime_h": 0}, {"lifetime_h": 9000}, {"scheduler": "tcp://h:1"}, {"scheduler": 'tls://"'}]
)
def test_nonsense_is_refused_before_anything_is_made(tmp_path, wrong):
    with pytest.raises(SpecError):
        make_certificates(tmp_path / "certs", **wrong)
    assert not (tmp_path / "certs").exists()


def test_the_command_says_how_to_start_each_part_and_prints_no_key(tmp_path, capsys):
    assert main(["cluster", "certs", str(tmp_path / "certs"), "--scheduler", ADDRESS, "--hours", "3"]) == 0
    out = capsys.readouterr().out
    for words in (
        "dask scheduler --protocol tls --port 8786",
        f"OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 dask worker {ADDRESS}",
        "cluster.toml",
    ):
        assert words in out
    assert "PRIVATE" not in out
    assert main(["cluster", "certs", str(tmp_path / "certs")]) == 2
