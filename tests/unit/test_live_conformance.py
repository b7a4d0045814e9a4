"""What /ws-live answers, byte by byte: the handshake, RFC 6455, and the contract's messages.

uvicorn and `websockets` do the most of it; these tests say what is expected of them, and of ours.
"""

import asyncio
import json
import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from processor.core.notices import AudienceCounted

EVENT = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
TOPIC = f"event:{EVENT}"
OTHERS = [f"6f9619ff-8b86-d011-b42d-00cf4fc96{n:03d}" for n in range(100)]

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FRAME_BYTES = 16_384


@pytest.fixture(autouse=True)
def no_library_complains(caplog: pytest.LogCaptureFixture) -> Any:
    """Nothing that a client does is an error of ours."""
    yield
    records = caplog.get_records("call") + caplog.get_records("teardown")
    assert [each.getMessage() for each in records if each.levelno >= logging.ERROR] == []


# -- the handshake ---------------------------------------------------------------------------------


async def test_a_handshake_that_is_right_is_answered_as_rfc_6455_wants_it(live) -> None:
    house = await live()
    answer = await house.ask()
    assert answer.status == 101
    assert answer.headers["upgrade"].lower() == "websocket"
    assert answer.headers["connection"].lower() == "upgrade"
    assert "sec-websocket-extensions" not in answer.headers
    assert "server" not in answer.headers


async def test_extensions_and_subprotocols_are_not_agreed_to(live) -> None:
    house = await live()
    answer = await house.ask(
        Sec_WebSocket_Extensions="permessage-deflate", Sec_WebSocket_Protocol="chat, superchat"
    )
    assert answer.status == 101
    assert "sec-websocket-extensions" not in answer.headers
    assert "sec-websocket-protocol" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://rally.example.evil.example",
        "https://evil-rally.example",
        "https://evil.example/rally.example",
        "https://rally.exampl",
        "https://rally.example:443",
        "https://rally.example:8443",
        "https://rally.example/",
        "https://rally.example.",
        "http://rally.example",
        "wss://rally.example",
        "rally.example",
        "https://user@rally.example",
        "https://rally.example, https://rally.example",
        "null",
        "",
        None,
    ],
)
async def test_any_other_origin_is_forbidden_and_nobody_is_asked(live, origin) -> None:
    house = await live()
    answer = await house.ask(origin=origin)
    assert (answer.status, house.verifier.asked, house.places) == (403, [], (0, 0))


async def test_two_origins_are_none(live) -> None:
    house = await live()
    browser = await house.call()
    request = browser.request().replace(
        b"\r\nCookie", b"\r\nOrigin: https://rally.example\r\nCookie"
    )
    await browser.write(request)
    assert (await browser.answer()).status == 400
    assert house.verifier.asked == []


async def test_case_makes_no_other_origin(live) -> None:
    house = await live(LIVE_WS_ALLOWED_ORIGINS="https://rally.example,http://localhost:8055")
    assert (await house.ask(origin="HTTPS://Rally.Example")).status == 101
    assert (await house.ask(origin="http://localhost:8055")).status == 101


async def test_no_origin_is_for_tools_where_that_is_allowed(live) -> None:
    house = await live(LIVE_WS_ALLOW_NO_ORIGIN="true")
    assert (await house.ask(origin=None)).status == 101
    assert (await house.ask(origin="null")).status == 403
    assert (await house.ask(origin="")).status == 403


async def test_the_live_page_may_connect_from_where_it_came(live) -> None:
    house = await live(LIVE_PAGE="true")
    host = f"live.example:{house.port}"
    assert (await house.ask(Host=host, origin=f"http://{host}")).status == 101
    assert (await house.ask(Host=host, origin=f"https://{host}")).status == 101, "TLS ends before"
    assert (await house.ask(Host=host, origin="http://live.example")).status == 403
    assert (await house.ask(Host=host, origin="http://")).status == 403
    assert (await house.ask(Host="", origin="http://")).status == 403
    assert (await house.ask(Host=host, origin="https://rally.example")).status == 101


async def test_without_the_page_its_origin_is_like_any_other(live) -> None:
    house = await live()
    assert (await house.ask(Host="live.example", origin="http://live.example")).status == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8081", 101),
        ("127.0.0.1", 101),
        ("localhost:8081", 101),
        ("LOCALHOST", 101),
        ("[::1]:8081", 101),
        ("[::1]", 101),
        ("rebound.evil.example:8081", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:80", 403),
        ("evil.example:127.0.0.1", 403),
        ("127.0.0.1:evil.example", 403),
        ("127.0.0.1:80@evil.example", 403),
        ("192.168.1.7:8081", 403),
        ("::1", 403),
        ("", 403),
    ],
)
async def test_an_open_house_answers_only_to_names_of_this_machine(live, host, status) -> None:
    house = await live(LIVE_AUTH="open", LIVE_PAGE="true")
    house.verifier.memory.login("anything", "anybody")
    assert (await house.ask(Host=host, cookie="anything")).status == status


async def test_without_a_cookie_nobody_is_asked(live) -> None:
    house = await live()
    for cookie in (None, ""):
        answer = await house.ask(cookie=cookie)
        assert (answer.status, answer.headers.get("retry-after")) == (401, None)
    assert (house.verifier.asked, house.places) == ([], (0, 0))


async def test_the_cookie_header_goes_to_the_verifier_as_it_is(live) -> None:
    house = await live()
    assert (await house.ask(cookie="a=1; session=good; b=\xe9")).status == 101
    assert house.verifier.asked == ["a=1; session=good; b=\xe9"]


async def test_a_session_that_is_none_is_unauthorized(live) -> None:
    house = await live()
    assert (await house.ask(cookie="session=forged")).status == 401
    assert house.places == (0, 0)


async def test_while_directus_is_away_a_browser_is_told_to_come_again(live) -> None:
    house = await live()
    house.verifier.memory.away()
    answer = await house.ask()
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert house.places == (0, 0)


async def test_a_closed_door_is_said_before_anybody_is_asked(live) -> None:
    house = await live()
    house.admission.close()
    answer = await house.ask()
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert (house.verifier.asked, house.places) == ([], (0, 0))


async def test_a_door_that_closes_while_directus_is_asked_lets_nobody_in(live) -> None:
    house = await live()
    house.verifier.go_on.clear()
    browser = await house.call()
    await browser.write(browser.request())
    await house.until(lambda: house.places == (0, 1), "asking")
    house.admission.close()
    house.verifier.go_on.set()
    assert (await browser.answer()).status == 503
    assert house.places == (0, 0)


async def test_a_full_instance_says_come_again(live) -> None:
    house = await live(LIVE_WS_MAX_CONNECTIONS="2")
    first, _ = await house.connect(), await house.connect()
    answer = await house.ask(cookie=house.user("another"))
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    first.hang_up()
    await house.until(lambda: house.places == (1, 0), "a place is free")
    assert (await house.ask()).status == 101


async def test_handshakes_under_way_count_as_connections(live) -> None:
    house = await live(LIVE_WS_MAX_CONNECTIONS="2")
    house.verifier.go_on.clear()
    for _ in range(2):
        browser = await house.call()
        await browser.write(browser.request())
    await house.until(lambda: house.places == (0, 2), "asking")
    assert (await house.ask()).status == 503


async def test_a_user_has_so_many_connections_and_no_more(live) -> None:
    house = await live(LIVE_WS_MAX_CONNECTIONS_PER_USER="2")
    first, _ = await house.connect(), await house.connect()
    assert (await house.ask()).status == 429
    assert (await house.ask(cookie=house.user("another"))).status == 101
    first.hang_up()
    await house.until(lambda: house.places == (2, 0), "a place is free")
    assert (await house.ask()).status == 101


@pytest.mark.parametrize("path", ["/", "/ws-live/", "/ws", "/ws-live/x", "/WS-LIVE", "//ws-live"])
async def test_there_is_no_other_websocket(live, path) -> None:
    house = await live()
    answer = await house.ask(path=path)
    assert answer.status == 404
    assert "http" not in answer.body.decode()
    assert (house.verifier.asked, house.places) == ([], (0, 0))


async def test_a_query_changes_nothing(live) -> None:
    house = await live()
    assert (await house.ask(path="/ws-live?token=x")).status == 101


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"method": "POST"}, 405),
        ({"method": "HEAD"}, 405),
        ({"Upgrade": None}, 404),
        ({"Upgrade": "h2c"}, 404),
        ({"Connection": None}, 404),
        ({"Connection": "keep-alive"}, 404),
        ({"Sec_WebSocket_Key": None}, 400),
        ({"Sec_WebSocket_Key": ""}, 400),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400),
        ({"Sec_WebSocket_Key": "not base64 at all!!"}, 400),
        ({"Sec_WebSocket_Version": None}, 400),
        ({"Sec_WebSocket_Version": "8"}, 400),
        ({"Host": None}, 400),
        ({"Host": "one\r\nHost: two"}, 400),
        ({"Content_Length": "5"}, 400),
        ({"Transfer_Encoding": "chunked"}, 400),
        ({"Cookie": f"session=good; long={'x' * 9_000}"}, 431),
        ({"X": "y\r\nX: y" + "\r\nX: y" * 200}, 431),
        ({"X": "x" * 70_000}, 431),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_is_no_handshake_is_answered_and_the_connection_ends(
    live, wrong, status
) -> None:
    house = await live()
    browser = await house.call()
    await browser.write(browser.request(**wrong))
    assert (await browser.answer()).status == status
    if status != 404:  # plain HTTP goes on
        assert await browser.at_end()
        await house.until_empty()
    assert house.verifier.asked == []


async def test_whoever_speaks_before_the_answer_is_cut(live) -> None:
    house = await live()
    together = await house.call()
    await together.write(together.request() + together.frame(PING))
    assert (await together.answer()).status == 400
    assert await together.at_end()

    house.verifier.go_on.clear()
    for early in (
        together.frame(PING),
        together.frame(TEXT, b"{}"),
        together.frame(CLOSE),
        b"\x81",
    ):
        browser = await house.call()
        await browser.write(browser.request())
        await house.until(lambda: house.places == (0, 1), "asking")
        await browser.write(early)
        assert await browser.at_end()
        house.verifier.go_on.set()
        await house.until_empty()
        house.verifier.go_on.clear()


@pytest.mark.parametrize("reset", [False, True])
async def test_a_browser_that_leaves_in_the_handshake_gives_its_place_back(live, reset) -> None:
    house = await live()
    house.verifier.go_on.clear()
    browser = await house.call()
    await browser.write(browser.request())
    await house.until(lambda: house.places == (0, 1), "asking")
    browser.hang_up(reset=reset)
    await house.until(lambda: not house.state.connections, "uvicorn knows that it is gone")
    assert house.places == (0, 1), "the question is still under way"
    house.verifier.go_on.set()
    await house.until_empty()
    assert house.notices == [] or {type(each) for each in house.notices} == {AudienceCounted}


async def test_a_bug_in_the_handshake_costs_no_place(live, caplog) -> None:
    house = await live()
    house.verifier.bug = "planted=bug"
    assert (await house.ask(cookie="planted=bug")).status == 500
    await house.until_empty()
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == [
        "Exception in ASGI application\n"
    ]
    caplog.clear()


async def test_a_second_request_on_a_connection_may_be_a_handshake(live) -> None:
    house = await live()
    browser = await house.call()
    assert (await browser.ask(Upgrade=None)).status == 404
    assert (await browser.ask()).status == 101


# -- frames ----------------------------------------------------------------------------------------


def unknown_topic(length: int) -> bytes:
    """A message of so many bytes that is answered, and asks nobody."""
    filler = "x" * (length - len(json.dumps({"type": "subscribe", "topic": ""})))
    return json.dumps({"type": "subscribe", "topic": filler}).encode()


@pytest.mark.parametrize("length", [125, 126, 127, 1_000, FRAME_BYTES])
async def test_messages_of_any_allowed_length_are_read(live, length) -> None:
    house = await live()
    browser = await house.connect()
    await browser.say(unknown_topic(length))
    assert (await browser.told())["code"] == "unknown-topic"


@pytest.mark.parametrize("length_bytes", [2, 8])
async def test_a_length_that_could_be_shorter_is_read_all_the_same(live, length_bytes) -> None:
    """RFC 6455 wants the shortest from senders and asks no receiver to refuse the others."""
    house = await live()
    browser = await house.connect()
    await browser.send(TEXT, unknown_topic(100), length_bytes=length_bytes)
    assert (await browser.told())["code"] == "unknown-topic"


@pytest.mark.parametrize("pieces", [2, 5, 40])
async def test_a_message_in_pieces_is_one_message(live, pieces) -> None:
    house = await live()
    browser = await house.connect()
    message = json.dumps({"type": "subscribe", "topic": "ça", "id": "é"}, ensure_ascii=False)
    data = message.encode()
    cuts = [len(data) * n // pieces for n in range(pieces + 1)]
    for n in range(pieces):
        opcode = CONT if n else TEXT
        await browser.send(opcode, data[cuts[n] : cuts[n + 1]], fin=n == pieces - 1)
    told = await browser.told()
    assert (told["code"], told["topic"], told["id"]) == ("unknown-topic", "ça", "é")


async def test_control_frames_may_stand_between_the_pieces(live) -> None:
    house = await live()
    browser = await house.connect()
    message = unknown_topic(200)
    await browser.send(TEXT, message[:100], fin=False)
    await browser.send(PING, b"between")
    await browser.send(PONG, b"unasked")
    await browser.send(CONT, b"", fin=False)
    await browser.send(CONT, message[100:])
    pong = await browser.hear()
    assert (pong.opcode, pong.payload) == (PONG, b"between")
    assert (await browser.told())["code"] == "unknown-topic"


async def test_a_frame_may_come_byte_by_byte(live) -> None:
    house = await live()
    browser = await house.connect()
    for byte in browser.frame(TEXT, unknown_topic(130)):
        await browser.write(bytes([byte]))
        await asyncio.sleep(0)
    assert (await browser.told())["code"] == "unknown-topic"


async def test_many_frames_may_come_at_once(live) -> None:
    house = await live()
    browser = await house.connect()
    await browser.write(
        b"".join(browser.frame(TEXT, unknown_topic(100 + n)) for n in range(10))
        + browser.frame(PING, b"after")
        + browser.frame(CLOSE, b"\x03\xe8")
    )
    frames = []
    while frame := await browser.hear():
        frames.append(frame)
    assert [frame.opcode for frame in frames] == [PONG, CLOSE] or [
        frame.opcode for frame in frames
    ] == [PONG, *[TEXT] * 10, CLOSE], "it has said goodbye, and answers may be too late"


WRONG_FRAMES: dict[str, tuple[int, dict[str, Any]]] = {
    "reserved bit 1": (1002, {"opcode": TEXT, "payload": b"{}", "reserved": 4}),
    "reserved bit 2": (1002, {"opcode": TEXT, "payload": b"{}", "reserved": 2}),
    "reserved bit 3": (1002, {"opcode": PING, "reserved": 1}),
    **{f"opcode {n}": (1002, {"opcode": n}) for n in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "not masked": (1002, {"opcode": TEXT, "payload": b"{}", "masked": False}),
    "a pong not masked": (1002, {"opcode": PONG, "masked": False}),
    "a long ping": (1002, {"opcode": PING, "payload": b"x" * 126}),
    "a long close": (1002, {"opcode": CLOSE, "payload": b"\x03\xe8" + b"x" * 124}),
    "a ping in pieces": (1002, {"opcode": PING, "fin": False}),
    "a close in pieces": (1002, {"opcode": CLOSE, "fin": False}),
    "the rest of nothing": (1002, {"opcode": CONT, "payload": b"{}"}),
    "bad UTF-8": (1007, {"opcode": TEXT, "payload": b'{"type":"\xff"}'}),
    "half a character": (1007, {"opcode": TEXT, "payload": b"\xc3"}),
    "a surrogate in UTF-8": (1007, {"opcode": TEXT, "payload": b"\xed\xa0\x80"}),
    "binary": (1003, {"opcode": BINARY, "payload": b"{}"}),
    "a byte too long": (1009, {"opcode": TEXT, "payload": b"x" * (FRAME_BYTES + 1)}),
    "long beyond reason": (1009, {"opcode": TEXT, "size": 2**62}),
    "long beyond measure": (1009, {"opcode": BINARY, "size": 2**63}),
    "a close of one byte": (1002, {"opcode": CLOSE, "payload": b"\x03"}),
    **{
        f"close {code}": (1002, {"opcode": CLOSE, "payload": code.to_bytes(2, "big")})
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535)
    },
    "a close in bad UTF-8": (1007, {"opcode": CLOSE, "payload": b"\x03\xe8\xff"}),
}


@pytest.mark.parametrize("case", WRONG_FRAMES)
async def test_a_wrong_frame_ends_the_connection_with_its_code(live, case) -> None:
    house = await live()
    browser, other = await house.connect(), await house.connect()
    code, frame = WRONG_FRAMES[case]
    await browser.send(**frame)
    assert await browser.goodbye() == code
    assert not browser.was_reset
    await house.until(lambda: house.codes == [code], "the application knows why")
    await other.send(PING, b"still here?")
    assert (await other.hear()).payload == b"still here?"


async def test_a_message_too_long_is_told_so_though_it_goes_on_and_on(live) -> None:
    house = await live()
    browser = await house.connect()
    writing = asyncio.create_task(browser.send(TEXT, b"x" * 3_000_000))
    assert await browser.sent_away() == 1009
    await writing
    await browser.close(1009)
    browser.link.shutdown(1)
    assert await browser.at_end()
    assert not browser.was_reset


async def test_pieces_are_counted_together(live) -> None:
    house = await live()
    browser = await house.connect()
    await browser.send(TEXT, b"x" * 10_000, fin=False)
    await browser.send(CONT, b"x" * 6_384, fin=False)
    await browser.send(CONT, b"", fin=False)
    await browser.send(CONT, b"x")
    assert await browser.goodbye() == 1009


async def test_bad_utf8_in_pieces_is_found_in_the_whole(live) -> None:
    house = await live()
    browser = await house.connect()
    await browser.send(TEXT, b'{"\xc3', fin=False)
    await browser.send(CONT, b'(":1}')
    assert await browser.goodbye() == 1007


async def test_bad_utf8_and_goodbye_at_once_is_a_goodbye(live) -> None:
    house = await live()
    browser = await house.connect()
    await browser.write(browser.frame(TEXT, b"\xff") + browser.frame(CLOSE, b"\x03\xe8"))
    assert await browser.sent_away() == 1000


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_a_message_in_the_middle_of_another_is_refused(live, opcode) -> None:
    house = await live()
    browser = await house.connect()
    await browser.send(TEXT, b"{", fin=False)
    await browser.send(opcode, b"{}")
    assert await browser.goodbye() == 1002


async def test_a_goodbye_in_the_middle_of_a_message_ends_it(live) -> None:
    house = await live()
    browser = await house.connect()
    await browser.send(TEXT, b"{", fin=False)
    await browser.close(1000)
    assert await browser.sent_away() == 1002


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 3000, 4000, 4999])
async def test_a_goodbye_is_answered_with_its_own_code(live, code) -> None:
    house = await live()
    browser = await house.watch()
    await browser.close(code, "auf Wiedersehen é".encode())
    assert await browser.sent_away() == code
    assert await browser.at_end()
    assert not browser.was_reset
    await house.until_empty()
    assert house.codes == [code]


async def test_a_goodbye_without_a_code_is_answered_without_one(live) -> None:
    house = await live()
    browser = await house.connect()
    await browser.close(None)
    assert await browser.sent_away() == 1005
    await house.until_empty()


async def test_after_a_goodbye_nothing_is_read(live) -> None:
    house = await live()
    browser = await house.connect()
    await browser.write(browser.frame(CLOSE, b"\x03\xe8") + browser.frame(TEXT, b"{}") * 3)
    assert await browser.sent_away() == 1000
    assert await browser.at_end()


@pytest.mark.parametrize("payload", [b"", b"x", b"\x00\xff" * 62 + b"!"], ids=len)
async def test_a_ping_is_answered_with_its_payload(live, payload) -> None:
    house = await live()
    browser = await house.connect()
    await browser.send(PING, payload)
    pong = await browser.hear()
    assert (pong.opcode, pong.payload) == (PONG, payload)


async def test_a_pong_that_nobody_asked_for_is_ignored(live) -> None:
    house = await live()
    browser = await house.connect()
    await browser.send(PONG, b"hello")
    await browser.send(PING, b"and?")
    assert (await browser.hear()).payload == b"and?"


async def test_whoever_answers_our_pings_stays_and_whoever_does_not_is_closed(live) -> None:
    house = await live(LIVE_WS_PING_INTERVAL_MS="100", LIVE_WS_PONG_TIMEOUT_MS="400")
    alive, dead = await house.connect(), await house.connect()

    async def answer_pings() -> None:
        while frame := await alive.hear():
            if frame.opcode == PING:
                await alive.send(PONG, frame.payload)

    answering = asyncio.create_task(answer_pings())
    assert await dead.sent_away() == 1011
    await house.until(lambda: house.codes == [1011], "it is gone, and why is known")
    assert not answering.done()
    assert len(house.clients) == 1
    answering.cancel()


async def test_a_pong_with_the_wrong_payload_is_none(live) -> None:
    house = await live(LIVE_WS_PING_INTERVAL_MS="100", LIVE_WS_PONG_TIMEOUT_MS="200")
    browser = await house.connect()
    ping = await browser.hear()
    await browser.send(PONG, ping.payload + b"!")
    assert await browser.sent_away() == 1011


# -- messages --------------------------------------------------------------------------------------


async def test_a_subscribe_is_answered_and_then_what_moves_is_sent(live) -> None:
    house = await live()
    house.devices(2)
    house.move(1, 1)
    browser = await house.connect()
    await browser.subscribe(id="7")
    told = await browser.told()
    assert told.pop("snapshot") == [{"deviceId": "d1", "lat": 1.0, "lon": 2.0, "ts": 1780819201000}]
    assert told.pop("serverTime") > 1_780_000_000_000
    assert told == {"type": "subscribed", "topic": TOPIC, "id": "7"}
    house.move(0, 2)
    told = await browser.told()
    assert (told["type"], told["topic"], told["deviceId"]) == ("position", TOPIC, "d0")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b" ",
        b"{",
        b"{}",
        b"[]",
        b"null",
        b'"subscribe"',
        b'{"type":"publish","topic":"x"}',
        b'{"type":"subscribe"}',
        b'{"type":"subscribe","topic":1}',
        b'{"type":"subscribe","topic":"x","id":1}',
        b'{"type":"subscribe","topic":"x","id":"\\ud800"}',
        b'{"type":"subscribe","topic":"x","history":201}',
        b'{"type":"subscribe","topic":"x","frames":"all"}',
        b"[" * 16_000,
        b'{"a":' * 3_000,
        b"\x00",
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda message: message[:40].decode(errors="replace"),
)
async def test_what_is_no_message_is_a_bad_message_and_the_third_ends_it(live, message) -> None:
    house = await live()
    browser = await house.connect()
    for _ in range(3):
        await browser.say(message)
        told = await browser.told()
        assert (told["type"], told["code"]) == ("error", "bad-message")
    assert await browser.goodbye() == 4400
    assert house.verifier.asked == ["session=good"]


async def test_of_a_bad_message_the_id_and_topic_are_echoed_where_they_can_be_read(live) -> None:
    house = await live()
    browser = await house.connect()
    await browser.say({"type": "subscribe", "topic": "t", "id": "é", "history": -1})
    told = await browser.told()
    assert (told["code"], told["topic"], told["id"]) == ("bad-message", "t", "é")


@pytest.mark.parametrize(
    "topic",
    ["", "x", "event:", f"event:{EVENT.upper()}", f"{TOPIC} ", f"{TOPIC}\n", f"entry:{EVENT}",
     f"event:{EVENT}/..", "event:" + EVENT.replace("-", ""), "event:" + "٣" * 36],
)  # fmt: skip
async def test_a_topic_that_is_no_event_is_unknown_and_nobody_is_asked(live, topic) -> None:
    house = await live()
    browser = await house.connect()
    for kind in ("subscribe", "unsubscribe"):
        await browser.say({"type": kind, "topic": topic, "id": "1"})
        told = await browser.told()
        assert (told["code"], told["topic"], told["id"]) == ("unknown-topic", topic, "1")
    assert house.verifier.asked == ["session=good"]


async def test_an_id_is_echoed_in_every_answer_where_it_was_given_and_only_there(live) -> None:
    house = await live(LIVE_WS_MAX_SUBSCRIPTIONS="1", LIVE_WS_MESSAGE_BURST="100")
    browser = await house.connect()
    for members in ({}, {"id": ""}, {"id": "any \u2028 string"}, {"id": None}):
        expected = members if members.get("id") is not None else {}
        for say in (
            browser.subscribe(**members),
            browser.subscribe(OTHERS[0], **members),
            browser.unsubscribe(**members),
            browser.subscribe(OTHERS[0], **members),
            browser.say({"type": "subscribe", "topic": "x", **members}),
        ):
            await say
            told = await browser.told()
            assert {name: told[name] for name in told if name == "id"} == expected, told


@pytest.mark.parametrize("away", [False, True])
async def test_an_event_that_may_not_be_read_or_not_now_is_refused_by_name(live, away) -> None:
    house = await live()
    browser = await house.connect()
    if away:
        house.verifier.memory.away()
    await browser.subscribe(OTHERS[0])
    told = await browser.told()
    assert (told["code"], told["topic"]) == (
        "unavailable" if away else "forbidden",
        f"event:{OTHERS[0]}",
    )
    assert house.snapshots.asked == []
    house.verifier.memory.back()
    await browser.subscribe()
    assert (await browser.told())["type"] == "subscribed"


async def test_ten_events_forbidden_within_a_minute_end_it(live) -> None:
    house = await live(LIVE_WS_MESSAGE_BURST="100")
    browser = await house.connect()
    for n in range(9):
        await browser.subscribe(OTHERS[n])
        assert (await browser.told())["code"] == "forbidden"
    house.clock.forward(61)
    for n in range(9):
        await browser.subscribe(OTHERS[n])
        assert (await browser.told())["code"] == "forbidden"
    await browser.subscribe(OTHERS[9])
    assert (await browser.told())["code"] == "forbidden"
    assert await browser.goodbye() == 4403


async def test_faster_than_the_rate_is_said_once_a_second_and_the_tenth_time_ends_it(live) -> None:
    house = await live(LIVE_WS_MESSAGE_RATE="1", LIVE_WS_MESSAGE_BURST="1")
    browser = await house.connect()
    began_s, limited = house.clock.elapsed(), 0
    message = browser.frame(TEXT, b'{"type":"subscribe","topic":"x","id":"7"}')
    while limited < 10:
        await browser.write(message * 4)
        while (told := await browser.told())["code"] != "rate-limited":
            pass
        assert (told["topic"], told["id"]) == ("x", "7")
        limited += 1
        assert limited <= house.clock.elapsed() - began_s + 1
        house.clock.forward(1)
    assert await browser.goodbye() == 4429
    codes = [json.loads(each.payload)["code"] for each in browser.heard if each.opcode == TEXT]
    assert codes.count("rate-limited") == 10
    assert codes.count("unknown-topic") >= 10, "the others are read"


async def test_subscriptions_are_bounded_and_a_place_comes_back(live) -> None:
    house = await live(LIVE_WS_MAX_SUBSCRIPTIONS="2", LIVE_WS_MESSAGE_BURST="100")
    for other in OTHERS[:3]:
        house.verifier.memory.grant("driver", other)
    browser = await house.connect()

    async def subscribe(event: str) -> str:
        await browser.subscribe(event)
        told = await browser.told()
        return told.get("code", told["type"])

    assert await subscribe(OTHERS[0]) == "subscribed"
    assert await subscribe(OTHERS[3]) == "forbidden", "and it takes no place"
    assert await subscribe(OTHERS[1]) == "subscribed"
    assert await subscribe(OTHERS[1]) == "subscribed", "again, in the same place"
    assert await subscribe(OTHERS[2]) == "too-many-subscriptions"
    await browser.unsubscribe(OTHERS[0])
    assert (await browser.told())["type"] == "unsubscribed"
    assert await subscribe(OTHERS[2]) == "subscribed"
    assert len(house.registry) == 2


async def test_subscribes_under_way_count(live) -> None:
    house = await live(LIVE_WS_MAX_SUBSCRIPTIONS="2")
    browser = await house.connect()
    house.verifier.go_on.clear()
    await browser.subscribe(OTHERS[0])
    await browser.subscribe(OTHERS[1])
    await browser.subscribe(OTHERS[2])
    assert (await browser.told())["code"] == "too-many-subscriptions"
    assert len(house.verifier.asked) == 3


async def test_unsubscribing_from_what_was_never_subscribed_to_is_answered(live) -> None:
    house = await live()
    browser = await house.watch()
    for _ in range(2):
        await browser.unsubscribe(id="x")
        told = await browser.told()
        assert told == {"type": "unsubscribed", "topic": TOPIC, "id": "x"}
    assert len(house.registry) == 0
    house.devices(1)
    house.move(0, 1)
    await browser.send(PING, b"nothing came")
    assert (await browser.hear()).payload == b"nothing came"


async def test_subscribing_twice_is_answered_twice_and_sent_once(live) -> None:
    house = await live()
    house.devices(1)
    browser = await house.watch()
    await browser.subscribe(id="again")
    assert (await browser.told())["id"] == "again"
    house.move(0, 1)
    assert (await browser.told())["type"] == "position"
    await browser.send(PING, b"only one")
    assert (await browser.hear()).payload == b"only one"


@pytest.mark.parametrize("held", ["verifier", "snapshots"])
async def test_unsubscribing_before_the_answer_leaves_nothing_behind(live, held) -> None:
    house = await live()
    house.devices(1)
    browser = await house.connect()
    waiting = getattr(house, held)
    waiting.go_on.clear()
    await browser.subscribe(id="in vain")
    await house.until(lambda: EVENT in waiting.asked, "asked")
    await browser.unsubscribe(id="so there")
    assert (await browser.told())["id"] == "so there"
    house.move(0, 1)
    waiting.go_on.set()
    told = await browser.told()
    assert (told["type"], told["id"]) == ("error", "in vain")
    house.move(0, 2)
    await browser.send(PING, b"nothing came")
    assert (await browser.hear()).payload == b"nothing came"
    assert len(house.registry) == 0


@pytest.mark.parametrize("held", ["verifier", "snapshots"])
async def test_two_subscribes_under_way_are_both_answered_and_one_is_sent(live, held) -> None:
    house = await live()
    house.devices(1)
    browser = await house.connect()
    waiting = getattr(house, held)
    waiting.go_on.clear()
    await browser.subscribe(id="1")
    await browser.subscribe(id="2")
    await house.until(lambda: waiting.asked.count(EVENT) == 2, "asked twice")
    waiting.go_on.set()
    told = [await browser.told(), await browser.told()]
    assert {each["id"] for each in told} == {"1", "2"}
    assert [each["type"] for each in told].count("subscribed") >= 1
    house.move(0, 1)
    assert (await browser.told())["type"] == "position"
    await browser.send(PING, b"only one")
    assert (await browser.hear()).payload == b"only one"
    assert len(house.registry) == 1


async def test_a_browser_that_leaves_while_it_is_being_answered_leaves_nothing_behind(live) -> None:
    house = await live()
    for held in (house.verifier, house.snapshots):
        browser = await house.connect()
        held.go_on.clear()
        await browser.subscribe()
        await house.until(lambda held=held: held.asked[-1:] == [EVENT], "asked")
        browser.hang_up()
        await house.until_empty()
        held.go_on.set()


async def test_a_session_that_ended_is_found_out_by_a_subscribe(live) -> None:
    house = await live()
    browser = await house.connect()
    house.verifier.memory.logout("session=good")
    await browser.subscribe()
    assert await browser.goodbye() == 4401


async def test_a_session_that_ended_is_found_out_by_a_recheck(live) -> None:
    house = await live()
    browser = await house.watch()
    (client,) = house.clients.connected()
    await house.clients.recheck(client)
    house.verifier.memory.revoke("driver", EVENT)
    await house.clients.recheck(client)
    told = await browser.told()
    assert (told["type"], told["code"], told["topic"]) == ("error", "forbidden", TOPIC)
    house.verifier.memory.logout("session=good")
    await house.clients.recheck(client)
    assert await browser.goodbye() == 4401
    await house.until_empty()


async def test_a_bug_ends_its_connection_with_1011_and_no_other(live, caplog) -> None:
    house = await live()
    house.devices(1)
    browser, other = await house.watch(), await house.watch()
    house.verifier.bug = OTHERS[0]
    await browser.subscribe(OTHERS[0])
    assert await browser.goodbye() == 1011
    await house.until(lambda: house.codes == [1011], "it is gone")
    house.move(0, 1)
    assert (await other.told())["type"] == "position"
    assert len(house.clients) == len(house.registry) == 1
    caplog.clear()


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    messages=st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.text(max_size=40).map(lambda text: json.dumps(text).encode()),
            st.fixed_dictionaries(
                {},
                optional={
                    "type": st.sampled_from(["subscribe", "unsubscribe", "x"]),
                    "topic": st.sampled_from([TOPIC, f"event:{OTHERS[0]}", "x", 1, None]),
                    "id": st.one_of(st.text(), st.integers(), st.none()),
                    "history": st.integers(-1, 300),
                    "frames": st.sampled_from(["batch", "single", "", 1]),
                    "include": st.lists(st.sampled_from(["crossings", "x"]), max_size=2),
                },
            ).map(lambda message: json.dumps(message).encode()),
        ),
        min_size=1,
        max_size=12,
    ),
    opcodes=st.lists(st.sampled_from([TEXT, TEXT, TEXT, BINARY, PING]), min_size=12, max_size=12),
)
def test_whatever_is_said_only_declared_answers_and_codes_come_back(
    live_once, messages, opcodes
) -> None:
    async def converse() -> None:
        async with live_once() as house:
            browser = await house.connect()
            for opcode, message in zip(opcodes, messages, strict=False):
                await browser.send(opcode, message[:125])
            await browser.unsubscribe(id="the end")
            while frame := await browser.hear():
                if frame.opcode == CLOSE:
                    code = int.from_bytes(frame.payload[:2], "big")
                    assert code in {1003, 1007, 4400}, code
                    break
                if frame.opcode == TEXT:
                    told = json.loads(frame.payload)
                    assert told["type"] in {"subscribed", "unsubscribed", "error"}
                    if told.get("id") == "the end":
                        break

    asyncio.run(converse())


# -- the end ---------------------------------------------------------------------------------------


async def test_a_drain_says_1012_to_one_after_the_other_and_lets_nobody_in(live) -> None:
    house = await live()
    browsers = [await house.watch() for _ in range(4)]
    draining = asyncio.create_task(house.role.server().drain(400))
    assert await browsers[0].goodbye() == 1012
    assert not draining.done()
    assert len(house.clients) >= 2, "the others are still to come"
    assert (await house.ask()).status == 503
    house.devices(1)
    house.move(0, 1)
    assert (await browsers[3].told())["type"] == "position", "until then it is served"
    for browser in browsers[1:]:
        assert await browser.goodbye() == 1012
        assert not browser.was_reset
    await draining
    assert house.codes == [1012] * 4
    await house.until_empty()


async def test_a_drain_without_time_says_1012_to_all_at_once(live) -> None:
    house = await live()
    browsers = [await house.watch() for _ in range(3)]
    await house.role.server().drain(0)
    assert [await browser.sent_away() for browser in browsers] == [1012] * 3


async def test_the_server_ends_though_a_browser_reads_nothing_and_answers_nothing(live) -> None:
    house = await live(LIVE_WS_STALL_TIMEOUT_MS="600000")
    house.devices(1)
    deaf = await house.watch(receives=4096)
    (line,) = (client.line for client in house.clients.connected())
    second = 0
    while line.clear:
        house.move(0, second := second + 1)
    quiet = await house.connect()
    await house.role.server().drain(50)
    await house.stop_serving()
    assert await quiet.sent_away() == 1012
    await house.until_empty()
    assert await deaf.at_end()


async def test_the_server_ends_in_the_middle_of_handshakes_and_goodbyes(live, caplog) -> None:
    house = await live()
    house.devices(1)
    staying, leaving = await house.connect(), await house.watch(receives=4096)
    line = house.clients.connected()[-1].line
    second = 0
    while line.clear:
        house.move(0, second := second + 1)
    await leaving.close()  # and the answer waits behind what it does not read
    await house.until(lambda: line.closed, "it said goodbye")
    house.verifier.go_on.clear()
    coming = await house.call()
    await coming.write(coming.request())
    await house.until(lambda: house.places[1] == 1, "asking")
    await house.stop_serving()
    assert (await coming.answer()).status == 500
    assert await staying.sent_away() == 1012
    caplog.clear()  # that somebody was in the middle of something is said


# -- HTTP ------------------------------------------------------------------------------------------


async def test_an_answer_that_is_broken_by_its_request_ends_quietly(live) -> None:
    house = await live(routes=[Route("/", lambda request: PlainTextResponse("hello"))])
    browser = await house.call()
    await browser.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert (await browser.answer()).status == 405
    await browser.write(b"no chunk of any size\r\n")
    assert await browser.at_end()
    await house.until_empty()


async def test_http_is_answered_beside_the_websocket(live) -> None:
    async def hello(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    house = await live(routes=[Route("/", hello)])
    browser = await house.call()
    for _ in range(3):
        answer = await browser.ask(path="/", Upgrade=None)
        assert (answer.status, answer.body) == (200, b"hello")
    assert (await browser.ask(path="/ws-live", Upgrade=None)).status == 404
