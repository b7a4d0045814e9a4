"""The live page as people meet it: Chromium, `processor run`, real Redis and TimescaleDB.

What only a server can do (its own states, thousands of fixes) is said by a WebSocket of the test's
own, behind the same page. Pictures are kept in TEST_PICTURES, or in pytest's temporary folder.
"""

import asyncio
import itertools
import json
import math
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import pytest_asyncio

from processor.entrypoints.demo.office import RallyOffice

pytestmark = pytest.mark.asyncio(loop_scope="module")

DESKTOP, PHONE = (1280, 800), (390, 844)
LOOKS = [
    pytest.param(size, scheme, id=f"{name}-{scheme}")
    for name, size in (("desktop", DESKTOP), ("phone", PHONE))
    for scheme in ("light", "dark")
]
WITHIN_MS = 20_000
TARGET_PX = 44
ISTRIA = (45.24, 13.9)


# ---- the service, the devices, the browser


class Drive:
    """A service with the page, an event, and devices that drive circles in Istria."""

    def __init__(self, start: Callable[..., Any], source: Any, office: RallyOffice) -> None:
        self.start = start
        self.source = source
        self.event = office.event(office.organization())
        self._office = office
        self.imeis: list[str] = []
        self._task: asyncio.Task[None] | None = None

    def enter(self, count: int) -> None:
        for _ in range(count):
            device = self._office.device()
            self._office.fit(self._office.entry(self.event), device)
            self.imeis.append(device.imei)
        self.imeis.sort()

    def fix(self, number: int, at_s: float, **members: Any) -> None:
        """Where a device is at a time of the wall clock; it takes ten minutes for a round."""
        turn = 2 * math.pi * (at_s / 600 + number / max(1, len(self.imeis)))
        radius = 0.01 + 0.002 * number
        payload = {
            "device_id": self.imeis[number],
            "timestamp": datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds"),
            "latitude": round(ISTRIA[0] + radius * math.sin(turn), 6),
            "longitude": round(ISTRIA[1] + 1.42 * radius * math.cos(turn), 6),
            "angle": round(math.degrees(-turn)) % 360,
            "speed": round(radius * 111_320 * 2 * math.pi / 600 * 3.6),
        }
        payload["timestamp"] = payload["timestamp"].replace("+00:00", "Z")
        self.source.add(self.source.payload(0, **payload | members))

    def history(self, seconds: int) -> None:
        now = time.time()
        for number in range(len(self.imeis)):
            for ago in range(seconds, 0, -2):
                self.fix(number, now - ago)

    def go(self) -> None:
        """From now on a fix of each device every half second."""

        async def drive() -> None:
            while True:
                for number in range(len(self.imeis)):
                    self.fix(number, time.time())
                await asyncio.sleep(0.5)

        self._task = asyncio.create_task(drive())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


@pytest_asyncio.fixture(loop_scope="module")
async def drive(
    service: Any, producer: Any, redis_url: str, business_url: str
) -> AsyncIterator[Drive]:
    source = producer(redis_url)
    settings = {
        "ROLES": "ingest,live",
        "LIVE_PAGE": "true",
        "LIVE_AUTH": "open",
        "LIVE_DEVICE_EVENT_REFRESH_MS": "200",
        "LIVE_WS_DRAIN_TIMEOUT_MS": "300",
    }

    async def start(name: str = "a", **more: str) -> Any:
        running = service(name, redis_url, business_url, source.stream, **settings | more)
        await asyncio.to_thread(running.ready)
        return running

    drive = Drive(start, source, RallyOffice(business_url))
    yield drive
    await drive.stop()


class Screen:
    """A page in a window of its own, and what went wrong in it."""

    def __init__(self, page: Any, pictures: Path) -> None:
        self.page = page
        self.problems: list[str] = []
        self._pictures = pictures
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.problems.append(f"{error} {error.stack}"))

    def _said(self, message: Any) -> None:
        # A browser says by itself that a handshake was refused, or that a server is away.
        expected = ("WebSocket connection to", "Failed to load resource")
        if message.type == "error" and not message.text.startswith(expected):
            self.problems.append(message.text)

    async def open(self, service: Any, query: str = "") -> "Screen":
        await self.page.goto(f"http://127.0.0.1:{service.live_port}/{query}")
        return self

    async def state(self, name: str) -> None:
        wanted = "name => document.documentElement.dataset.state === name"
        await self.page.wait_for_function(wanted, arg=name, timeout=WITHIN_MS)

    async def shows(self, count: int) -> None:
        """So many devices are in the list, and drawn."""
        await self.page.wait_for_function(
            "count => globalThis.livePage?.fleet.size === count", arg=count, timeout=WITHIN_MS
        )
        drawn = "() => livePage.map.map.queryRenderedFeatures({layers: ['devices']}).length > 0"
        await self.page.wait_for_function(drawn, timeout=WITHIN_MS)
        assert await self.page.locator("#devices li").count() == count

    async def says(self, pattern: str) -> None:
        """The sentence of the state, within a while: some states pass by themselves."""
        await self.page.wait_for_function(
            "pattern => new RegExp(pattern).test(document.getElementById('notice').innerText)",
            arg=pattern,
            timeout=WITHIN_MS,
        )

    async def picture(self, name: str) -> None:
        await self.page.screenshot(path=self._pictures / f"{name}.png")


Open = Callable[..., Awaitable[Screen]]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = os.environ.get("TEST_PICTURES")
    folder = Path(given) if given else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest_asyncio.fixture(loop_scope="module")
async def screen(browser: Any, pictures: Path) -> AsyncIterator[Open]:
    """Make a window: await screen(size, scheme, **options of the context). At the end nothing may
    have gone wrong in any."""
    opened = []

    async def make(
        size: tuple[int, int] = DESKTOP, scheme: str = "light", **options: Any
    ) -> Screen:
        context = await browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            has_touch=size == PHONE,
            **options,
        )
        opened.append(Screen(await context.new_page(), pictures))
        return opened[-1]

    yield make
    for each in opened:
        await each.page.context.close()
    assert [problem for each in opened for problem in each.problems] == []


# ---- devices


async def test_devices_of_the_stream_move_on_the_map(drive: Drive, screen: Open) -> None:
    drive.enter(6)
    drive.history(60)
    service = await drive.start()
    drive.go()
    view = await (await screen()).open(service, f"?event={drive.event}")
    await view.state("live")
    await view.shows(6)
    where = "() => [...livePage.fleet].map(({shown}) => [shown.lon, shown.lat])"
    before = await view.page.evaluate(where)
    await view.page.wait_for_function(
        "before => [...livePage.fleet].every(({shown}, i) => shown.lon !== before[i][0])",
        arg=before,
        timeout=WITHIN_MS,
    )
    trails = await view.page.evaluate("() => [...livePage.fleet].map(({trail}) => trail.length)")
    assert min(trails) > 20, "the history came with the subscription"
    row = view.page.locator("#devices li").first
    assert drive.imeis[0] in await row.inner_text()
    assert re.search(r"42 km/h\s+\d\.\d s", await row.inner_text())
    bounds = await view.page.evaluate("() => livePage.map.map.getBounds().toArray()")
    assert bounds[0][0] < min(x for x, _ in before), "all of them are in the picture"
    assert bounds[1][0] > max(x for x, _ in before)
    assert bounds[1][0] - bounds[0][0] < 1, "and they fill it"


async def test_a_quiet_device_fades_and_says_since_when(drive: Drive, screen: Open) -> None:
    drive.enter(4)
    service = await drive.start()
    for number, ago_s in enumerate((1, 70, 400, 2000)):
        drive.fix(number, time.time() - ago_s)
    view = await (await screen()).open(service, f"?event={drive.event}")
    await view.shows(4)
    levels = await view.page.evaluate(
        "ids => ids.map((id) => livePage.fleet.get(id).level)", drive.imeis
    )
    assert levels == [0, 1, 2, 3]
    texts = await view.page.locator("#devices li").all_inner_texts()
    assert ["last seen" in text for text in texts] == [False, True, True, True]
    assert re.search(r"last seen (\d+ \w+ )?\d\d:\d\d:\d\d", texts[2])
    opacity = await view.page.evaluate(
        """() => livePage.map.map.queryRenderedFeatures({layers: ['devices']})
            .map(({properties}) => properties.o).sort().reverse()"""
    )
    assert opacity == [1, 0.7, 0.5, 0.35]


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
async def test_how_it_looks(drive: Drive, screen: Open, size: tuple[int, int], scheme: str) -> None:
    drive.enter(14)
    drive.history(400)
    service = await drive.start()
    drive.fix(3, time.time() - 700)
    drive.go()
    view = await (await screen(size, scheme)).open(service, f"?event={drive.event}")
    name = f"{'desktop' if size == DESKTOP else 'phone'}-{scheme}"
    await view.shows(14)
    await view.page.wait_for_timeout(1500)
    await view.picture(f"{name}-overview")
    await accessible(view)
    await view.page.locator("#devices button").nth(5).click()
    await view.page.wait_for_timeout(2500)
    await view.picture(f"{name}-follow")
    await accessible(view)
    assert f"follow={drive.imeis[5]}" in view.page.url
    if size == PHONE:
        await view.page.locator("#handle").click()
        await view.page.wait_for_timeout(500)
        await view.picture(f"{name}-list")
        await view.page.locator("#handle").click()
        await view.page.wait_for_timeout(500)
        await view.picture(f"{name}-map")
        panel = await view.page.locator("#panel").bounding_box()
        assert panel["height"] < 0.2 * PHONE[1]
        assert panel["width"] == PHONE[0]


async def test_the_keyboard_does_it_all(drive: Drive, screen: Open) -> None:
    drive.enter(5)
    service = await drive.start()
    drive.go()
    view = await (await screen()).open(service, f"?event={drive.event}")
    await view.shows(5)
    press = view.page.keyboard.press
    focused = "() => document.activeElement.closest('li')?.dataset.id ?? document.activeElement.id"

    for key, row in [("ArrowDown", 0), ("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1)]:
        await press(key)
        assert await view.page.evaluate(focused) == drive.imeis[row]
    await press("Enter")
    assert view.page.url.endswith(f"&follow={drive.imeis[1]}")
    assert await view.page.locator("#followed").is_visible()
    await view.page.wait_for_timeout(1000)
    centre, shown = await view.page.evaluate(
        """id => { const {lon, lat} = livePage.fleet.get(id).shown;
            const at = livePage.map.map.project([lon, lat]);
            return [[(innerWidth - 332) / 2, (innerHeight + 46) / 2], [at.x, at.y]] }""",
        drive.imeis[1],
    )
    assert math.dist(centre, shown) < 40, "the followed device stays in the free middle"
    await press("Escape")
    assert "follow" not in view.page.url
    assert await view.page.locator("#followed").is_hidden()
    await press("f")
    assert view.page.url.endswith(f"&follow={drive.imeis[1]}")
    await press("f")
    assert "follow" not in view.page.url

    await press("/")
    assert await view.page.evaluate(focused) == "search"
    await view.page.keyboard.type(drive.imeis[3][-5:])
    assert await view.page.locator("#devices li:visible").count() == 1
    await press("Enter")
    assert view.page.url.endswith(f"&follow={drive.imeis[3]}")
    await press("Escape")
    assert await view.page.locator("#devices li:visible").count() == 5
    await view.page.keyboard.press("?")
    assert await view.page.locator("#keys").is_visible()
    await press("Escape")
    assert await view.page.locator("#keys").is_hidden()
    assert view.page.url.endswith(f"&follow={drive.imeis[3]}"), "only the dialog was closed"


async def test_a_click_on_the_map_follows_and_a_shared_link_does_too(
    drive: Drive, screen: Open
) -> None:
    drive.enter(3)
    service = await drive.start()
    for number in range(3):
        drive.fix(number, time.time(), speed=0)
    view = await (await screen()).open(service, f"?event={drive.event}")
    await view.shows(3)
    at = await view.page.evaluate(
        """id => { const {lon, lat} = livePage.fleet.get(id).shown;
            return livePage.map.map.project([lon, lat]) }""",
        drive.imeis[2],
    )
    await view.page.mouse.click(at["x"] + 12, at["y"] - 12)
    await view.page.wait_for_url(f"**follow={drive.imeis[2]}", timeout=WITHIN_MS)
    other = await screen()
    await other.page.goto(view.page.url)
    await other.shows(3)
    assert await other.page.evaluate("() => livePage.map.tracking")
    assert drive.imeis[2] in await other.page.locator("#followed").inner_text()


# ---- connection


async def test_a_server_that_restarts_is_found_again(drive: Drive, screen: Open) -> None:
    drive.enter(2)
    first = await drive.start("a")
    drive.go()
    view = await (await screen()).open(first, f"?event={drive.event}")
    await view.shows(2)
    assert await asyncio.to_thread(first.stop) == 0
    await view.page.wait_for_function(
        "() => ['restarting', 'lost'].includes(document.documentElement.dataset.state)",
        timeout=WITHIN_MS,
    )
    second = await drive.start("b", LIVE_WS_PORT=str(first.live_port))
    await view.state("live")
    newest = await view.page.evaluate("() => livePage.fleet.newestTs")
    await view.page.wait_for_function(
        "newest => livePage.fleet.newestTs > newest", arg=newest, timeout=WITHIN_MS
    )
    assert await view.page.locator("#notice").is_hidden()

    second.kill()
    await view.state("lost")
    await view.says(r"Connection lost[\s\S]*as of \d\d:\d\d:\d\d[\s\S]*Try now")
    countdown = view.page.locator("#countdown")
    await view.page.wait_for_function(
        "() => /next try in \\d+ s/.test(document.getElementById('countdown').textContent)",
        timeout=WITHIN_MS,
    )
    assert await countdown.is_visible()
    await view.picture("desktop-light-lost")
    await accessible(view)


async def test_who_is_not_logged_in_is_told_so(
    service: Any, producer: Any, redis_url: str, rally: Any, screen: Open
) -> None:
    """And one who is sees his event and no other; and is told when his session has ended."""
    running = service(
        "a",
        redis_url,
        rally.directus.database_url,
        producer(redis_url).stream,
        ROLES="ingest,live",
        LIVE_PAGE="true",
        DIRECTUS_BASE_URL=rally.directus.url,
        DIRECTUS_RECHECK_MS="1000",
        DIRECTUS_MAX_RPS="100",
    )
    await asyncio.to_thread(running.ready)
    nobody = await (await screen()).open(running, f"?event={rally.event}")
    await nobody.state("refused")
    await nobody.says(r"probably not logged in[\s\S]*Log in to Directus")
    await nobody.picture("desktop-light-refused")

    member = await screen()
    cookie = await asyncio.to_thread(rally.directus.log_in, rally.member)
    name, _, value = cookie.partition("=")
    origin = f"http://127.0.0.1:{running.live_port}"
    await member.page.context.add_cookies([{"name": name, "value": value, "url": origin}])
    await member.open(running, f"?event={rally.event}")
    await member.state("live")
    await member.says("No device has sent anything yet")
    stranger = Screen(await member.page.context.new_page(), Path())
    await stranger.open(running, f"?event={rally.other_event}")
    await stranger.state("forbidden")
    await stranger.says("You may not see this event")
    await asyncio.to_thread(rally.directus.log_out, cookie)
    await member.state("ended")
    await member.says(r"Your session has ended[\s\S]*Try again")


async def test_a_page_of_another_origin_gets_nothing(
    drive: Drive, screen: Open, elsewhere: str
) -> None:
    service = await drive.start()
    view = await screen()
    await view.page.goto(elsewhere)
    heard = await view.page.evaluate(
        """({address, event}) => new Promise((done) => {
            const heard = [];
            const socket = new WebSocket(address);
            socket.onopen = () => socket.send(JSON.stringify(
                { type: "subscribe", topic: `event:${event}` }));
            socket.onmessage = ({ data }) => heard.push(data);
            socket.onclose = ({ code }) => done([heard, code]);
        })""",
        {"address": f"ws://127.0.0.1:{service.live_port}/ws-live", "event": drive.event},
    )
    assert heard == [[], 1006]
    framed = await view.page.evaluate(
        """(address) => new Promise((done) => {
            const frame = document.createElement("iframe");
            frame.src = address;
            frame.onload = () => {
                try { done(frame.contentDocument?.body.textContent ?? "closed"); }
                catch { done("closed"); }
            };
            document.body.append(frame);
        })""",
        f"http://127.0.0.1:{service.live_port}/",
    )
    assert framed == "closed"
    assert all("frame-ancestors" in problem for problem in view.problems)
    view.problems.clear()


HELLO = b"<!doctype html><link rel=icon href='data:,'><body>elsewhere"
STYLE = json.dumps(
    {
        "version": 8,
        "sources": {},
        "layers": [
            {"id": "theirs", "type": "background", "paint": {"background-color": "#dfe8d8"}},
        ],
    }
).encode()


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """An origin that is not ours. It has a map style."""

    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_style = self.path == "/style.json"
            self.send_response(200)
            self.send_header("content-type", "application/json" if is_style else "text/html")
            self.send_header("access-control-allow-origin", "*")
            self.end_headers()
            self.wfile.write(STYLE if is_style else HELLO)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


async def test_another_map_may_be_below(drive: Drive, screen: Open, elsewhere: str) -> None:
    drive.enter(2)
    drive.history(60)
    service = await drive.start(LIVE_MAP_STYLE_URL=f"{elsewhere}style.json")
    drive.go()
    view = await (await screen()).open(service, f"?event={drive.event}")
    await view.shows(2)
    layers = "() => livePage.map.map.getStyle().layers.map(({id}) => id)"
    assert await view.page.evaluate(layers) == [
        *("theirs", "trails", "followed-edge", "followed", "devices"),
    ]
    await view.page.emulate_media(color_scheme="dark")
    await view.page.wait_for_timeout(500)
    assert (await view.page.evaluate(layers))[-1] == "devices"


async def test_a_map_that_is_away_is_replaced_by_ours(drive: Drive, screen: Open) -> None:
    drive.enter(1)
    service = await drive.start(LIVE_MAP_STYLE_URL="http://127.0.0.1:9/style.json")
    drive.go()
    view = await (await screen()).open(service, f"?event={drive.event}")
    await view.shows(1)
    assert "cannot be loaded" in await view.page.locator("#flaw").inner_text()
    assert await view.page.evaluate("() => livePage.map.map.getLayer('land') !== undefined")
    view.problems.clear()  # MapLibre says so, too


async def test_dark_may_fall_while_one_looks(drive: Drive, screen: Open) -> None:
    drive.enter(2)
    service = await drive.start()
    drive.go()
    view = await (await screen()).open(service, f"?event={drive.event}")
    await view.shows(2)
    ground = """() => {
        try { return livePage.map.map.getPaintProperty('water', 'background-color') ?? ''; }
        catch { return ''; }  // the style is being exchanged
    }"""
    light = await (await view.page.wait_for_function(ground)).json_value()
    await view.page.emulate_media(color_scheme="dark")
    await view.page.wait_for_function(f"light => ![light, ''].includes(({ground})())", arg=light)
    await view.shows(2)


# ---- states, as a server of the test's own brings them about


def says(code: str) -> Callable[[Any, str], None]:
    return lambda socket, topic: socket.send(
        json.dumps({"type": "error", "code": code, "message": "no", "topic": topic})
    )


def closes(code: int) -> Callable[[Any, str], None]:
    # Playwright's close is a coroutine in disguise; the page's onclose is what we wait for.
    return lambda socket, _: asyncio.ensure_future(socket.close(code=code))


STATES: dict[str, tuple[Callable[[Any, str], Any], str]] = {
    "forbidden": (says("forbidden"), "You may not see this event"),
    "not-found": (says("not-found"), "There is no such event"),
    "busy": (says("unavailable"), "asks us to wait"),
    "restarting": (closes(1012), "The server is restarting"),
    "ended": (closes(4401), "Your session has ended"),
}


@pytest.mark.parametrize(("size", "scheme"), [LOOKS[0], LOOKS[3]])
async def test_each_state_has_a_sentence(
    drive: Drive, screen: Open, size: tuple[int, int], scheme: str
) -> None:
    service = await drive.start()
    view = await screen(size, scheme)
    name = f"{'desktop' if size == DESKTOP else 'phone'}-{scheme}"

    for query, state, sentence in [
        ("", "no-event", "Which event"),
        ("?event=none", "wrong-event", "That is no event"),
        (f"?event={drive.event}", "live", f"The stream is {drive.source.stream}"),
    ]:
        await view.open(service, query)
        await view.state(state)
        await view.page.wait_for_timeout(1000)
        await view.says(sentence)
        await view.picture(f"{name}-{state}")
        await accessible(view)

    answer: Callable[[Any, str], Any] = says("forbidden")

    def connected(socket: Any) -> None:
        socket.on_message(lambda text: answer(socket, json.loads(text)["topic"]))

    await view.page.route_web_socket("**/ws-live", connected)
    await view.page.add_init_script(  # long waits, so that a state is there to be looked at
        "const { random } = Math; Math.random = () => 0.8 + 0.2 * random();"
    )
    for state, (does, sentence) in STATES.items():
        answer = does
        await view.open(service, f"?event={drive.event}")
        await view.says(sentence)
        await view.picture(f"{name}-{state}")
        await accessible(view)


async def test_the_form_leads_to_the_event(drive: Drive, screen: Open) -> None:
    service = await drive.start()
    view = await (await screen()).open(service)
    field = view.page.get_by_label("Event id")
    await field.fill("not an id")
    await view.page.get_by_role("button", name="Show it").click()
    assert "event" not in view.page.url
    await field.fill(drive.event.upper())
    await field.press("Enter")
    await view.state("live")


async def test_reduced_motion_is_honoured(drive: Drive, screen: Open) -> None:
    drive.enter(1)
    service = await drive.start()
    drive.fix(0, time.time())
    view = await screen(reduced_motion="reduce")
    await view.open(service, f"?event={drive.event}")
    await view.shows(1)
    drive.fix(0, time.time(), latitude=45.3, longitude=13.9, speed=100, angle=0)
    at = "() => { const [{shown, fix}] = livePage.fleet; return [shown.lat, fix.lat] }"
    await view.page.wait_for_function("() => [...livePage.fleet][0].fix.lat === 45.3")
    await view.page.wait_for_timeout(700)
    assert await view.page.evaluate(at) == [45.3, 45.3], "from fix to fix, without gliding"


# ---- accessibility

VISIBLE = """
  const seen = (element) =>
    element.checkVisibility({ visibilityProperty: true, opacityProperty: true })
    && element.getBoundingClientRect().width > 1;
"""

CONTRAST = (
    "() => {"
    + VISIBLE
    + """
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => v / 255)
      .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour[3] === 1) return colour;
    }
    return parse(getComputedStyle(document.body).backgroundColor);
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const element = node.parentElement;
    if (!node.textContent.trim() || !seen(element)) continue;
    const { color, fontSize, fontWeight } = getComputedStyle(element);
    const [text, ground] = [luminance(parse(color)), luminance(behind(element))];
    const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    const large = parseFloat(fontSize) >= 24 || (parseFloat(fontSize) >= 18.7 && fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) poor.push([node.textContent.trim(), ratio.toFixed(2)]);
  }
  return poor;
}"""
)

SMALL = (
    "target => {"
    + VISIBLE
    + """
  return [...document.querySelectorAll("button, input, select")].filter(seen)
    .map((element) => [element.id || element.textContent.trim(), element.getBoundingClientRect()])
    .filter(([, { width, height }]) => width < target || height < target)
    .map(([name, { width, height }]) => [name, width, height]);
}"""
)


async def accessible(view: Screen) -> None:
    """Names, contrast, target sizes, one heading of the first rank."""
    assert await view.page.evaluate(CONTRAST) == []
    assert await view.page.evaluate(SMALL, TARGET_PX) == []
    assert await view.page.locator("h1").count() == 1
    session = await view.page.context.new_cdp_session(view.page)
    tree = (await session.send("Accessibility.getFullAXTree"))["nodes"]
    await session.detach()
    roles = {"button", "link", "textbox", "searchbox", "dialog", "region", "image", "img"}
    unnamed = [
        node["role"]["value"]
        for node in tree
        if not node["ignored"]
        and node["role"]["value"] in roles
        and not node.get("name", {}).get("value")
    ]
    assert unnamed == []


# ---- how fast

FRAMES = """(forMs) => new Promise((done) => {
  const [frames, picture, letter] = [[], [], []];
  const view = livePage.map;
  const { picture: draw } = Object.getPrototypeOf(view);
  view.picture = function (...given) {
    const began = performance.now();
    draw.apply(this, given);
    picture.push(performance.now() - began);
  };
  let last = performance.now();
  const end = last + forMs;
  const tick = () => {
    const now = performance.now();
    frames.push(now - last);
    last = now;
    if (now < end) return requestAnimationFrame(tick);
    delete view.picture;
    const at = (list, share) => list.sort((a, b) => a - b)[Math.floor(share * (list.length - 1))];
    done({ frames: frames.length, frame_ms: [at(frames, 0.5), at(frames, 0.95)],
      picture_ms: [at(picture, 0.5), at(picture, 0.95)] });
  };
  requestAnimationFrame(tick);
})"""

SECONDS = 5


async def test_five_hundred_devices_at_ten_hertz(
    drive: Drive, screen: Open, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Measured and told, not judged: a machine without a graphics card draws in software."""
    service = await drive.start()
    view = await screen()
    sending: list[asyncio.Task[None]] = []

    def connected(socket: Any) -> None:
        def heard(text: str) -> None:
            message = json.loads(text)
            if message["type"] == "subscribe":
                sending.append(asyncio.ensure_future(crowd(socket, message)))

        socket.on_message(heard)

    await view.page.route_web_socket("**/ws-live", connected)
    await view.open(service, f"?event={drive.event}")
    await view.shows(500)
    await view.page.wait_for_timeout(2000)
    session = await view.page.context.new_cdp_session(view.page)
    await session.send("Performance.enable")

    async def seconds(name: str) -> float:
        metrics = (await session.send("Performance.getMetrics"))["metrics"]
        return next(metric["value"] for metric in metrics if metric["name"] == name)

    before = await seconds("ScriptDuration")
    measured = await view.page.evaluate(FRAMES, SECONDS * 1000)
    script_ms = 1000 * (await seconds("ScriptDuration") - before) / measured["frames"]
    for task in sending:
        task.cancel()
    await asyncio.gather(*sending, return_exceptions=True)
    await view.picture("desktop-light-500")
    figures = measured | {
        "frames_per_second": round(measured["frames"] / SECONDS, 1),
        "script_ms_per_frame": round(script_ms, 2),
    }
    (pictures / "frames.json").write_text(json.dumps(figures, indent=1))
    with capsys.disabled():
        sys.stdout.write(f"\n500 devices at 10 Hz: {json.dumps(figures)}\n")
    assert measured["frames"] > 0


async def crowd(socket: Any, subscribe: dict[str, Any]) -> None:
    """Five hundred devices in circles, each moved ten times a second. Their trails are as long as
    an answer of the server has room for."""
    topic = subscribe["topic"]

    def fixes(at_ms: int) -> list[dict[str, Any]]:
        return [
            {
                "deviceId": f"35630704{number:07d}",
                "ts": at_ms,
                "lat": ISTRIA[0] + (number % 25) / 100 + 0.003 * math.sin(at_ms / 9000 + number),
                "lon": ISTRIA[1] + (number // 25) / 60 + 0.004 * math.cos(at_ms / 9000 + number),
                "speed": 40 + number % 80,
                "course": round(math.degrees(-at_ms / 9000 - number)) % 360,
            }
            for number in range(500)
        ]

    def now() -> int:
        return int(time.time() * 1000)

    past = [fixes(now() - 100 * ago) for ago in range(40, 0, -1)]
    trails = {trail[0]["deviceId"]: list(trail) for trail in zip(*past, strict=True)}
    answer = {"type": "subscribed", "topic": topic, "id": subscribe["id"], "serverTime": now()}
    socket.send(json.dumps(answer | {"snapshot": past[-1], "trails": trails}))
    began = time.monotonic()
    for beat in itertools.count(1):
        await asyncio.sleep(max(0.0, began + beat / 10 - time.monotonic()))
        frame = {"type": "positions", "topic": topic, "positions": fixes(now())}
        socket.send(json.dumps(frame))
