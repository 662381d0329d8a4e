"""Which hosts and addresses may be asked."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.inputs.hosts import Hosts, any_address, bare_url, checked_addresses, is_public
from tasks_lib.inputs.unusable import Refused, Unusable


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("example.com", "https://example.com/a?b#c"),
        ("example.com", "https://EXAMPLE.com./a"),
        ("example.com", "https://example.com:443"),
        ("*.example.com", "https://a.b.example.com/"),
        ("http://example.com", "http://example.com"),
        ("example.com:8443", "https://example.com:8443/"),
        ("*", "https://anything.test/"),
        ("[::1]", "https://[::1]/"),
        ("xn--bcher-kva.example", "https://bücher.example/"),
    ],
)
def test_allowed(entry: str, url: str) -> None:
    """R15: a URL of a host that the job names is asked for."""
    assert Hosts([entry]).checked(url)


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("example.com", "http://example.com/"),
        ("example.com", "https://a.example.com/"),
        ("example.com", "https://example.com.evil.test/"),
        ("example.com", "https://evilexample.com/"),
        ("example.com", "https://example.com:8443/"),
        ("example.com", "https://evil.test/#@example.com"),
        ("example.com", "https://evil.test\\@example.com/"),
        ("*.example.com", "https://example.com/"),
        ("*.example.com", "https://.example.com/"),
        ("*.example.com", "https://notexample.com/"),
        ("*", "https://ann:pw@example.com/"),
        ("*", "http://example.com/"),
    ],
)
def test_refused(entry: str, url: str) -> None:
    """Nothing but the very hosts, with their scheme and port, and no login in the URL."""
    with pytest.raises(Unusable):
        Hosts([entry]).checked(url)


@pytest.mark.parametrize(
    "url", ["", "example.com", "ftp://example.com/", "file:///etc/passwd", "https://", "https://a b/"]
)
def test_no_url(url: str) -> None:
    """What is no URL of the web is told as such."""
    with pytest.raises(Unusable):
        Hosts(["*", "http://*"]).checked(url)


@given(st.text(max_size=80))
def test_any_text(text: str) -> None:
    """No text breaks the check."""
    try:
        url = Hosts(["example.com"]).checked(text)
    except Unusable:
        return
    assert url.host.rstrip(".") == "example.com"


@pytest.mark.parametrize(
    "entry",
    ["", "a b", "ftp://a.com", "https://a.com/path", "*a.com", "a.*.com", "a.com:99999", "user@a.com"],
)
def test_no_entry(entry: str) -> None:
    """An entry that is no host is refused when the job is read."""
    with pytest.raises(ValueError, match="is no host"):
        Hosts([entry])


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",  # noqa: S104 - as an address
        "224.0.0.1", "255.255.255.255", "192.0.0.1", "198.18.0.1", "240.0.0.1",
        "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "::127.0.0.1", "2001:db8::1",
    ],
)  # fmt: skip
def test_private_addresses(address: str) -> None:
    """Addresses of this machine, its networks and a cloud's metadata are not public, however written."""
    assert not is_public(ipaddress.ip_address(address))
    with pytest.raises(Refused, match="private address"):
        checked_addresses(
            "h",
            ["93.184.216.34", address],
        )
    assert checked_addresses("h", [address], may_ask=any_address) == (address,)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses(address: str) -> None:
    """Everything else is."""
    assert is_public(ipaddress.ip_address(address))


def test_bare_url() -> None:
    """What is told of a URL holds no login, no query and no fragment."""
    assert bare_url("https://ann:pw@example.com:81/a?sig=secret#x") == "https://example.com:81/a"
