"""Which connections are refused before they are made."""

from __future__ import annotations

import pytest

from skyloom.cluster import ClusterSpec, make_certificates, resolve, start
from skyloom.errors import ErrorKind, NotFoundError, SpecError


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:8786", "tcp://localhost:8786", "tcp://[::1]:8786", "tcp://127.8.0.1:1"]
)
def test_a_scheduler_on_this_machine_needs_no_tls(address):
    assert resolve(address).address == address


FAR = [
    "tcp://10.0.0.5:8786",
    "tcp://scheduler:8786",
    "tcp://0.0.0.0:8786",
    "tcp://[::]:1",
    "tcp://127.0.0.1.evil.org:1",
]


@pytest.mark.parametrize("address", FAR)
def test_an_open_scheduler_elsewhere_is_refused_unless_one_insists(address):
    with pytest.raises(SpecError, match=r"skyloom cluster certs(.|\n)*--insecure") as caught:
        resolve(address)
    assert caught.value.kind == ErrorKind.INSECURE
    assert resolve(address, insecure=True).insecure


def test_a_spec_made_by_hand_is_checked_too():
    with pytest.raises(SpecError, match="--insecure"), start(ClusterSpec(kind="scheduler", address=FAR[0])):
        pass


def test_a_cluster_file_can_insist(tmp_path):
    path = tmp_path / "cluster.toml"
    path.write_text(f'kind = "scheduler"\naddress = "{FAR[0]}"\n')
    with pytest.raises(SpecError, match="--insecure"):
        resolve(path)
    path.write_text(f'kind = "scheduler"\naddress = "{FAR[0]}"\ninsecure = true\n')
    assert resolve(path).insecure


def test_tls_needs_its_files_also_when_one_insists():
    for insecure in (False, True):
        with pytest.raises(SpecError, match="tls_ca, tls_cert and tls_key"):
            resolve("tls://10.0.0.5:8786", insecure=insecure)


def test_certificates_with_an_open_address_are_a_mistake(tmp_path):
    make_certificates(tmp_path / "certs")
    path = tmp_path / "certs" / "cluster.toml"
    path.write_text(path.read_text().replace("tls://", "tcp://"))
    with pytest.raises(SpecError, match="is not tls://"):
        resolve(path)


def test_a_dashboard_for_everybody_is_refused_unless_one_insists(tmp_path):
    path = tmp_path / "cluster.toml"
    path.write_text('dashboard = "0.0.0.0:8787"\n')
    with pytest.raises(SpecError, match="without a password"):
        resolve(path)
    assert resolve(path, insecure=True).dashboard == "0.0.0.0:8787"


def test_a_misspelt_key_is_said_with_the_close_one(tmp_path):
    path = tmp_path / "cluster.toml"
    path.write_text('tls_cret = "x"\n')
    with pytest.raises(SpecError, match="tls_cert"):
        resolve(path)
    with pytest.raises(NotFoundError):
        resolve("nowhere.toml")
