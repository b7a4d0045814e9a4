"""The live page: static files, read once at start, and one answer that tells the page where it is.

Everything it loads comes from here, so the policy that a browser holds it to is strict: no script
or style of anybody else's, no frame around it, nothing sent elsewhere. Every answer carries that
policy, errors too. The page finds its WebSocket beside itself, by a relative address, so nothing
here builds on `request.url`: a client writes its host part.

The map library is not ours and not in the repository; `make setup` brings it (see
requirements/page.lock).
"""

import gzip
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from attrs import frozen
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from processor import __version__

HERE = Path(__file__).parent
ASSETS = HERE / "assets"
VENDOR = HERE / "vendor"
VENDORED = ("maplibre-gl.js", "maplibre-gl.css")

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""A closed table: what the machine's own table says of `.js` differs from machine to machine."""

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-]+(:\d{1,5})?|https?://\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


def page_routes(*, stream: str, style_url: str | None) -> list[BaseRoute]:
    """`/`, `/assets/...` and `/page.json`.

    `stream` is named where no device has sent anything; `style_url` is a MapLibre style that
    replaces the map we bring, and its origin is the only one the page may read from besides ours.

    Raises FileNotFoundError where the map library was not fetched, and ValueError for a
    `style_url` that is no http or https address; each is one sentence that says what to do.
    """
    headers = _headers(style_url)
    files = dict(_files())
    about = {"stream": stream, "styleUrl": style_url, "version": __version__}

    async def page(request: Request) -> Response:
        return files["index.html"].answer(request.headers, headers)

    async def asset(request: Request) -> Response:
        file = files.get(request.path_params["name"])
        if file is None:
            return PlainTextResponse("not a file of this page\n", status_code=404, headers=headers)
        return file.answer(request.headers, headers)

    async def told(_: Request) -> Response:
        return JSONResponse(about, headers=headers | {"cache-control": "no-store"})

    return [
        Route("/", page),
        Route("/assets/{name:path}", asset),
        Route("/page.json", told),
    ]


@frozen
class _File:
    """A file as it is sent: a browser asks each time whether it changed, and is told so briefly."""

    content_type: str
    plain: bytes
    packed: bytes
    tag: str

    def answer(self, asked: Headers, headers: dict[str, str]) -> Response:
        packs = "gzip" in asked.get("accept-encoding", "")
        tag = f'"{self.tag}-gzip"' if packs else f'"{self.tag}"'
        headers = headers | {"cache-control": "no-cache", "etag": tag, "vary": "accept-encoding"}
        # A proxy that packs by itself makes our tag a weak one.
        if tag in asked.get("if-none-match", "").replace("W/", "").split(", "):
            return Response(status_code=304, headers=headers)
        if packs:
            headers["content-encoding"] = "gzip"
        body = self.packed if packs else self.plain
        return Response(body, media_type=self.content_type, headers=headers)


def _files() -> Iterator[tuple[str, _File]]:
    missing = [name for name in VENDORED if not (VENDOR / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"the live page lacks its map library ({', '.join(missing)} in {VENDOR}): "
            "run `make setup`, or set LIVE_PAGE=false"
        )
    for file in sorted(ASSETS.iterdir()):
        yield file.name, _read(file)
    for name in VENDORED:
        yield f"vendor/{name}", _read(VENDOR / name)


def _read(file: Path) -> _File:
    plain = file.read_bytes()
    return _File(
        content_type=CONTENT_TYPES[file.suffix],
        plain=plain,
        packed=gzip.compress(plain, mtime=0),
        tag=hashlib.sha256(plain).hexdigest()[:16],
    )


def _headers(style_url: str | None) -> dict[str, str]:
    # 'self' stands for WebSockets of our own origin, too. MapLibre's workers are blobs; images
    # reach it by connect-src, and then are blobs as well.
    policy = {
        "default-src": "'self'",
        "worker-src": "'self' blob:",
        "img-src": "'self' data: blob:",
        "connect-src": " ".join(["'self'", *_style_origin(style_url)]),
        "object-src": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "form-action": "'self'",
    }
    return {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
    }


def _style_origin(style_url: str | None) -> Iterator[str]:
    """The origin of the style, unless it is ours; it is written into a header, so it is checked."""
    if style_url is None or re.fullmatch(r"/(?!/)\S*", style_url):
        return
    parts = urlsplit(style_url)
    origin = f"{parts.scheme}://{parts.netloc}"
    if not _ORIGIN.fullmatch(origin):
        raise ValueError(
            f"LIVE_MAP_STYLE_URL is {style_url!r}: it must be the http or https address of a "
            "MapLibre style, without user and password, or a path on our own origin"
        )
    yield origin
