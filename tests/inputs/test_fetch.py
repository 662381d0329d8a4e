"""What rows' URLs bring, and what they cannot be made to do."""

import gzip
import zlib
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tasks_lib.inputs.fetch import Fetched, open_fetcher
from tasks_lib.inputs.hosts import Hosts, MayAsk, any_address, is_public
from tasks_lib.inputs.network import Patience
from tasks_lib.inputs.unusable import Refused, Unusable
from tests.inputs.web import Web

pytestmark = pytest.mark.anyio

AT_ONCE = (0.0, 0.0)


async def fetched(
    web: Web,
    url: str,
    *,
    most: int = 10_000,
    hosts: tuple[str, ...] = (),
    may_ask: MayAsk = any_address,
    **more: Any,
) -> Fetched:
    """What comes of a URL of the web server."""
    allowed = Hosts(hosts or (web.host,))
    async with open_fetcher(allowed, may_ask=may_ask, waits=AT_ONCE, **more) as fetcher:
        return await fetcher.get(url, most=most)


async def test_a_page(web: Web) -> None:
    """R15: a URL's content comes with what the server says of it."""
    page = await fetched(web, web.has("/a/b.html", b"<p>hi", kind="text/html; charset=latin-1"))
    assert (page.content, page.content_type, page.encoding) == (b"<p>hi", "text/html", "latin-1")
    assert page.name == "b.html"
    assert page.url == web.url("/a/b.html")


async def test_a_private_address_is_not_asked(web: Web) -> None:
    """Loopback is nobody's business unless the job says so, and no connection is made."""
    with pytest.raises(Refused, match="private address"):
        await fetched(web, web.has("/", b"x"), may_ask=is_public)
    assert web.asked == []


async def test_a_redirect_to_a_private_address(web: Web) -> None:
    """A public host that leads to a private address is followed to that door and no further."""
    port = web.port

    async def resolve(host: str, _: int) -> Iterable[str]:
        return {"public.test": ["127.0.0.1"], "metadata.test": ["169.254.169.254"]}[host]

    web.leads("/go", f"http://metadata.test:{port}/latest/meta-data")
    with pytest.raises(Refused, match=r"metadata\.test has a private address"):
        await fetched(
            web,
            f"http://public.test:{port}/go",
            hosts=(f"http://public.test:{port}", f"http://metadata.test:{port}"),
            resolve=resolve,
            may_ask=lambda address: address.is_loopback,  # here loopback stands for the world
        )
    assert web.asked == ["/go"]


async def test_a_redirect_to_a_host_that_is_not_allowed(web: Web) -> None:
    """Each redirect is checked like the first URL."""
    web.leads("/go", "http://example.com/")
    with pytest.raises(Refused, match=r"example\.com is not among"):
        await fetched(web, web.url("/go"))


async def test_the_name_is_looked_up_once(web: Web) -> None:
    """A name that leads elsewhere at the second look is asked where it led at the first."""
    looks = []

    async def resolve(host: str, _: int) -> Iterable[str]:
        looks.append(host)
        return ["127.0.0.1"] if len(looks) == 1 else ["192.0.2.1"]

    web.has("/", b"x")
    hosts = (f"http://name.test:{web.port}",)
    page = await fetched(web, f"http://name.test:{web.port}/", hosts=hosts, resolve=resolve)
    assert page.content == b"x"
    assert looks == ["name.test"]


async def test_redirects_end(web: Web) -> None:
    """Five redirects are followed, a sixth is not."""
    web.has("/0", b"here")
    for at in range(1, 7):
        web.leads(f"/{at}", f"/{at - 1}", status=307)
    assert (await fetched(web, web.url("/5"))).content == b"here"
    with pytest.raises(Unusable, match="more than 5 redirects"):
        await fetched(web, web.url("/6"))


async def test_a_body_that_is_too_long(web: Web) -> None:
    """No more is read than may be: by what the server says, by what it sends, and by what that unpacks to."""
    web.has("/told", b"x" * 101)
    web.has("/packed", gzip.compress(b"\0" * 100_000_000), content_encoding="gzip")

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not web.over.is_set():
            handler.wfile.write(b"x" * 65_536)

    web.pages["/endless"] = endless
    for path in ("/told", "/packed", "/endless"):
        with pytest.raises(Unusable, match="more than 100 bytes"):
            await fetched(web, web.url(path), most=100)
    assert (await fetched(web, web.url("/told"), most=101)).content == b"x" * 101


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
async def test_a_packed_body(web: Web, pack: Any) -> None:
    """Gzip and deflate are unpacked."""
    name = "gzip" if pack is gzip.compress else "deflate"
    page = await fetched(web, web.has("/", pack(b"text" * 100), content_encoding=name), most=400)
    assert page.content == b"text" * 100


async def test_a_broken_body(web: Web) -> None:
    """What cannot be unpacked, or was packed otherwise, is no content."""
    web.has("/a", b"no gzip", content_encoding="gzip")
    web.has("/b", b"x", content_encoding="br")
    web.has("/c", gzip.compress(b"x" * 1000)[:-9], content_encoding="gzip")
    for path in "abc":
        with pytest.raises(Unusable):
            await fetched(web, web.url(f"/{path}"))
    assert web.asked.count("/c") == 3


async def test_slow_bodies(web: Web) -> None:
    """A server that sends a byte now and then is given up after the whole time, a silent one earlier."""

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not web.over.wait(0.02):
            handler.wfile.write(b"x")

    def silent(handler: BaseHTTPRequestHandler) -> None:
        del handler
        web.over.wait()

    web.pages |= {"/drip": drip, "/silent": silent}
    with pytest.raises(Unusable, match=r"more than 0\.2 seconds"):
        await fetched(web, web.url("/drip"), patience=Patience(total=0.2))
    with pytest.raises(Unusable, match="was not to be had"):
        await fetched(web, web.url("/silent"), patience=Patience(silence=0.1))
    assert web.asked == ["/drip"] * 3 + ["/silent"] * 3


async def test_passing_failures_are_tried_again(web: Web) -> None:
    """A 503 and a lost connection are tried again twice; a 404 is what it is."""
    answers = [503, None, 200]

    def page(handler: BaseHTTPRequestHandler) -> None:
        status = answers.pop(0)
        if status is None:
            handler.close_connection = True
            return
        handler.send_response(status)
        handler.send_header("content-length", "2")
        handler.end_headers()
        handler.wfile.write(b"ok")

    web.pages["/"] = page
    assert (await fetched(web, web.url("/"))).content == b"ok"
    web.has("/503", b"", status=503)
    for path, times in (("/503", 3), ("/404", 1)):
        with pytest.raises(Unusable, match=f"status {path[1:]}"):
            await fetched(web, web.url(path))
        assert web.asked.count(path) == times


async def test_nothing_secret_is_told(web: Web) -> None:
    """A signed URL's query is in no message."""
    with pytest.raises(Unusable) as caught:
        await fetched(web, web.url("/none?signature=secret"))
    assert "secret" not in str(caught.value)


async def test_nobody_there(web: Web) -> None:
    """A host without an address, and one where nobody listens, are told."""

    async def nowhere(host: str, port: int) -> Iterable[str]:
        raise OSError(host, port)

    with pytest.raises(Unusable, match="is not known"):
        await fetched(web, "https://name.test/", hosts=("name.test",), resolve=nowhere)
    with pytest.raises(Unusable, match="was not to be had"):
        await fetched(web, "http://127.0.0.1:9/", hosts=("http://127.0.0.1:9",))
