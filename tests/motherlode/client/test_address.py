"""Where a client asks, and as whom: what cannot be is refused at once, and no key is shown."""

import ssl
from pathlib import Path

import pytest

from motherlode.client.address import Address
from motherlode.errors import SettingsError


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://h", "http://", "http://h:99999", "http://h:x", "http://h?a=1", "http://[::1"]
)
def test_what_is_no_servers_url_is_refused_by_name(url: str) -> None:
    with pytest.raises(SettingsError, match="is no server's URL"):
        Address.of(url)


def test_a_secret_in_a_url_or_a_key_is_not_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        Address.of("http://user:hunter2@h")
    assert "hunter2" not in str(caught.value)
    for key in ("", "hunter2\r\nx: y", "hunter2 ", "hünter2"):
        with pytest.raises(SettingsError) as caught:
            Address.of("http://h", key)
        assert "nter2" not in str(caught.value)
    assert "hunter2" not in repr(Address.of("http://h", "hunter2"))


def test_ports_prefixes_and_ipv6() -> None:
    assert (Address.of("https://h").port, Address.of("http://h").port) == (443, 80)
    address = Address.of("http://[::1]:8000/behind/")
    assert (address.host, address.origin, address.prefix) == ("::1", "http://[::1]:8000", "/behind")


def test_tls_checks_the_certificate_by_the_file_that_is_named(tmp_path: Path) -> None:
    tls = Address.of("https://h").tls
    assert tls is not None
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)
    with pytest.raises(SettingsError, match="cannot be read"):
        Address.of("https://h", ca_file=tmp_path / "none.pem")
