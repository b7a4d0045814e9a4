"""What the live page's server side answers, and with which headers."""

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from processor import __version__
from processor.adapters.websocket import page
from processor.adapters.websocket.page import ASSETS, page_routes

POLICY = {
    "default-src 'self'",
    "worker-src 'self' blob:",
    "img-src 'self' data: blob:",
    "connect-src 'self'",
    "object-src 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "form-action 'self'",
}
PAGE_BYTES_MAX = 1_500_000


@pytest.fixture(autouse=True)
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the map library: these tests are about ours."""
    for name in page.VENDORED:
        (tmp_path / name).write_text(f"/* {name} */")
    monkeypatch.setattr(page, "VENDOR", tmp_path)
    return tmp_path


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


async def get(path: str, *, style_url: str | None = None, **headers: str) -> Answer:
    """One request, straight to the application."""
    app = Starlette(routes=page_routes(stream="telemetry:cars", style_url=style_url))
    app.router.redirect_slashes = False
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    names = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"evil.example"), *names.items()],
    }
    await app(scope, receive, send)
    return Answer(
        sent[0]["status"],
        {name.decode(): value.decode() for name, value in sent[0]["headers"]},
        b"".join(message.get("body", b"") for message in sent[1:]),
    )


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/assets/app.js", "text/javascript; charset=utf-8"),
        ("/assets/style.css", "text/css; charset=utf-8"),
        ("/assets/earth.json", "application/json"),
        ("/assets/icon.svg", "image/svg+xml"),
        ("/assets/NOTICE.txt", "text/plain; charset=utf-8"),
        ("/assets/vendor/maplibre-gl.js", "text/javascript; charset=utf-8"),
    ],
)
async def test_files_come_with_their_type(path: str, content_type: str) -> None:
    answer = await get(path)
    assert (answer.status, answer.headers["content-type"]) == (200, content_type)
    assert answer.body


@pytest.mark.parametrize("path", ["/", "/assets/app.js", "/page.json", "/assets/none.js"])
async def test_every_answer_is_strict(path: str) -> None:
    headers = (await get(path)).headers
    assert set(headers["content-security-policy"].split("; ")) == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path", ["/assets/", "/assets/none.js", "/assets/../__init__.py", "/assets/vendor/../app.js"]
)
async def test_only_the_files_of_the_page_are_there(path: str) -> None:
    answer = await get(path)
    assert answer.status == 404
    assert b"evil.example" not in answer.body


async def test_a_file_that_did_not_change_is_not_sent_again() -> None:
    first = await get("/assets/app.js")
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    for asked in (tag, f"W/{tag}", f'"other", {tag}'):
        again = await get("/assets/app.js", if_none_match=asked)
        assert (again.status, again.body) == (304, b"")
    assert (await get("/assets/style.css", if_none_match=tag)).status == 200


async def test_files_are_packed_for_those_who_unpack() -> None:
    plain = await get("/assets/earth.json")
    packed = await get("/assets/earth.json", accept_encoding="br, gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.headers["vary"] == "accept-encoding"


async def test_the_page_is_told_where_it_is() -> None:
    answer = await get("/page.json", style_url="https://maps.example/style.json")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.body == (
        b'{"stream":"telemetry:cars","styleUrl":"https://maps.example/style.json","version":"%b"}'
        % __version__.encode()
    )
    assert b'"styleUrl":null' in (await get("/page.json")).body


@pytest.mark.parametrize(
    ("style_url", "origin"),
    [
        ("https://maps.example/a/style.json?key=1", " https://maps.example"),
        ("http://127.0.0.1:8080/style.json", " http://127.0.0.1:8080"),
        ("/map/style.json", ""),
        (None, ""),
    ],
)
async def test_the_page_may_read_from_the_styles_origin(style_url: str, origin: str) -> None:
    policy = (await get("/", style_url=style_url)).headers["content-security-policy"]
    assert f"connect-src 'self'{origin};" in policy


@pytest.mark.parametrize(
    "style_url",
    [
        "maps.example/style.json",
        "ftp://maps.example/style.json",
        "https://user:secret@maps.example/style.json",
        "https://maps.example; script-src */style.json",
        "//maps.example/style.json",
    ],
)
def test_a_style_that_is_no_address_is_refused(style_url: str) -> None:
    with pytest.raises(ValueError, match="LIVE_MAP_STYLE_URL"):
        page_routes(stream="s", style_url=style_url)


def test_a_missing_map_library_says_what_to_run(vendor: Path) -> None:
    (vendor / "maplibre-gl.js").unlink()
    with pytest.raises(FileNotFoundError, match=r"maplibre-gl\.js.*`make setup`"):
        page_routes(stream="s", style_url=None)


def test_nothing_of_the_page_is_inline_or_written_as_html() -> None:
    html = (ASSETS / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=|javascript:", html)
    for script in ASSETS.glob("*.js"):
        text = script.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)


def test_the_page_is_light() -> None:
    """What is ours; with the map library (983 kB) it stays below 1.5 MB."""
    ours = sum(file.stat().st_size for file in ASSETS.iterdir())
    assert ours < PAGE_BYTES_MAX - 983_328
