"""Settings: declared once, read all at once, masked wherever shown."""

from datetime import timedelta

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from processor.entrypoints.durations import Duration
from processor.entrypoints.reading import (
    Origins,
    Url,
    Whole,
    WrongSettings,
    declarations,
    masked,
    read,
)
from processor.entrypoints.reference import env_example
from processor.entrypoints.settings import GROUPS, LATER, LagSettings, RunSettings, doubts

ENOUGH = {
    "REDIS_URL": "redis://localhost:6379/0",
    "POSTGRES_URL": "postgresql://localhost/rally",
    "DIRECTUS_BASE_URL": "http://localhost:8055",
}
LOOPBACK_ONLY = {"METRICS_HOST": "127.0.0.1", "LIVE_WS_HOST": "localhost"}
DECLARED = [one for group in GROUPS for _, one in declarations(group)]

WRONG = {
    "INSTANCE_ID": "two words",
    "LOG_LEVEL": "loud",
    "LOG_FORMAT": "xml",
    "REDIS_URL": "http://:hunter2@localhost",
    "REDIS_TELEMETRY_STREAM": "telemetry:a,telemetry:b",
    "REDIS_CONSUMER_GROUP": "a group",
    "POSTGRES_URL": "postgresql://u:hunter2#x@localhost/rally",
    "POSTGRES_STATEMENT_CACHE": "-1",
    "POSTGRES_STATEMENT_TIMEOUT_MS": "99",
    "REDIS_CONSUMER_NAME": "\t\x01",
    "BATCH_SIZE": "0",
    "BATCH_BLOCK_MS": "5001",
    "WRITE_BATCH_SIZE": "many",
    "WRITE_CONCURRENCY": "33",
    "IN_FLIGHT_CAP": "1e4",
    "POSTGRES_POOL_SIZE": "1",
    "DEVICE_STATE_LRU_CAP": "0",
    "CLOCK_AHEAD_MS": "-1",
    "CLAIM_THRESHOLD_MS": "499",
    "CLAIM_INTERVAL_MS": "99",
    "DEAD_LETTER_AFTER": "1",
    "DEAD_LETTER_MAXLEN": "0",
    "TRACK_CHANGES": "perhaps",
    "POSITIONS_COMPRESS_AFTER": "59m",
    "POSITIONS_DROP_AFTER": "a month",
    "STREAM_SILENCE_WARN_MS": "999",
    "LIVE_WS_HOST": "a b",
    "LIVE_WS_PORT": "-1",
    "LIVE_WS_ALLOWED_ORIGINS": "https://rally.example/,*",
    "LIVE_WS_ALLOW_NO_ORIGIN": "maybe",
    "LIVE_WS_PING_INTERVAL_MS": "99",
    "LIVE_WS_PONG_TIMEOUT_MS": "99",
    "LIVE_WS_DRAIN_TIMEOUT_MS": "-1",
    "LIVE_WS_STALL_TIMEOUT_MS": "99",
    "LIVE_WS_BACKPRESSURE_THRESHOLD_BYTES": "1023",
    "LIVE_WS_MAX_FRAME_BYTES": "124",
    "LIVE_WS_MESSAGE_RATE": "0",
    "LIVE_WS_MESSAGE_BURST": "0",
    "LIVE_WS_MAX_SUBSCRIPTIONS": "0",
    "LIVE_WS_MAX_CONNECTIONS_PER_USER": "0",
    "LIVE_WS_MAX_CONNECTIONS": "0",
    "LIVE_BROADCAST_GROUP_PREFIX": "a b",
    "LIVE_BROADCAST_BATCH_SIZE": "0",
    "LIVE_BROADCAST_BATCH_BLOCK_MS": "5001",
    "LIVE_DEVICE_EVENT_REFRESH_MS": "99",
    "LIVE_BATCH_INTERVAL_MS": "9",
    "LIVE_SNAPSHOT_TIMEOUT_MS": "9",
    "LIVE_PAGE": "perhaps",
    "LIVE_MAP_STYLE_URL": "file:///etc/passwd",
    "LIVE_AUTH": "nobody",
    "DIRECTUS_BASE_URL": "localhost:8055",
    "DIRECTUS_SESSION_COOKIE": "a=b",
    "DIRECTUS_AUTH_TIMEOUT_MS": "9",
    "DIRECTUS_AUTHZ_TIMEOUT_MS": "9",
    "DIRECTUS_RECHECK_MS": "999",
    "DIRECTUS_MAX_CONCURRENCY": "0",
    "DIRECTUS_MAX_RPS": "0",
    "ROLES": "ingest,racing,wings",
    "MIGRATE_ON_START": "2",
    "SHUTDOWN_TIMEOUT_MS": "600001",
    "METRICS_HOST": "my host",
    "METRICS_PORT": "65536",
}


def test_every_wrong_setting_is_said_at_once_with_what_is_allowed() -> None:
    assert WRONG.keys() == {one.variable for one in DECLARED}
    with pytest.raises(WrongSettings) as caught:
        read(RunSettings, WRONG)
    lines = {line.partition(":")[0]: line for line in caught.value.lines}
    assert lines.keys() == WRONG.keys()
    assert len(caught.value.lines) == len(WRONG), "one line each"
    for one in DECLARED:
        assert lines[one.variable].endswith(f"allowed: {one.kind.allowed}")
    assert "hunter2" not in str(caught.value)
    assert "'racing' is not in this version yet and 'wings' is unknown" in lines["ROLES"]


def test_what_is_missing_and_what_is_wrong_are_said_together() -> None:
    with pytest.raises(WrongSettings) as caught:
        read(RunSettings, {"BATCH_SIZE": "0", "REDIS_URL": ENOUGH["REDIS_URL"]})
    assert [line.partition(":")[0] for line in caught.value.lines] == [
        "POSTGRES_URL",
        "BATCH_SIZE",
        "DIRECTUS_BASE_URL",
    ]
    assert not caught.value.smallest, "something is set: this is no first visit"


def test_with_nothing_set_the_smallest_env_that_works_is_shown() -> None:
    with pytest.raises(WrongSettings) as caught:
        read(RunSettings, {})
    smallest = dict(line.split("=", 1) for line in caught.value.smallest)
    assert smallest.keys() == ENOUGH.keys()
    assert read(RunSettings, smallest).redis.url == smallest["REDIS_URL"]
    assert all(line in str(caught.value) for line in caught.value.smallest)


def test_defaults_are_those_of_the_contract() -> None:
    settings = read(RunSettings, ENOUGH)
    assert settings.redis.stream == "telemetry:teltonika"
    assert settings.redis.group == "processor"
    assert settings.ingest.read_count == 1_000
    assert settings.ingest.read_wait_ms == 2_000
    assert settings.ingest.write_count == 2_000
    assert settings.ingest.writers == 3
    assert settings.ingest.in_flight == 10_000
    assert settings.pool_size == 4
    assert settings.postgres.statement_timeout_ms == 15_000
    assert settings.ingest.devices == 100_000
    assert settings.ingest.clock_ahead_ms == 60_000
    assert settings.ingest.claim_idle_ms == 60_000
    assert settings.ingest.claim_interval_ms == 30_000
    assert settings.ingest.dead_letter_maxlen == 1_000_000
    assert settings.ingest.silence_ms == 60_000
    assert settings.ingest.compress_after is None
    assert settings.ingest.drop_after is None
    assert settings.process.shutdown_ms == 20_000
    assert settings.process.http_host == "0.0.0.0"
    assert settings.process.http_port == 9_090
    assert settings.process.roles == ("ingest", "live")
    assert settings.live_pool_size == 4
    assert settings.process.migrate
    assert settings.ingest.track_changes
    assert not doubts(settings, ENOUGH), "the defaults give no cause for doubt"


def test_no_default_is_out_of_its_own_range() -> None:
    for group in GROUPS:
        for name, one in declarations(group):
            default = attrs.fields_dict(group)[name].default
            if default is not attrs.NOTHING and default not in (None, ()):
                assert one.kind.parse(one.kind.show(default)) == default


def test_a_default_has_its_reason_and_a_required_one_its_example() -> None:
    for one in DECLARED:
        assert one.meaning
        told = one.default and (one.why or one.example)
        silent = one.variable in {"LIVE_WS_ALLOWED_ORIGINS", "LIVE_MAP_STYLE_URL"}  # empty
        assert one.example if one.required else (told or (silent and one.why)), one.variable


def test_an_empty_variable_counts_as_unset() -> None:
    assert read(RunSettings, {**ENOUGH, "BATCH_SIZE": "", "INSTANCE_ID": " "}) == read(
        RunSettings, ENOUGH
    )


def test_a_command_checks_only_what_it_uses() -> None:
    settings = read(LagSettings, {"REDIS_URL": "redis://localhost", "BATCH_SIZE": "none"})
    assert settings.redis.url == "redis://localhost"


def test_a_value_comes_from_a_file(tmp_path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql://u:hunter2@localhost/rally\n")
    environ = {**ENOUGH, "POSTGRES_URL": "", "POSTGRES_URL_FILE": str(secret)}
    settings = read(RunSettings, environ)
    assert settings.postgres.url == "postgresql://u:hunter2@localhost/rally"
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("content", "also", "sentence"),
    [
        (None, {}, "POSTGRES_URL_FILE cannot be read (No such file or directory)"),
        (b"", {}, "the file that POSTGRES_URL_FILE names is empty"),
        (b"\xff", {}, "POSTGRES_URL_FILE cannot be read (not text in UTF-8)"),
        (b"x", {"POSTGRES_URL": ENOUGH["POSTGRES_URL"]}, "POSTGRES_URL_FILE is set, too"),
    ],
)
def test_a_file_that_gives_no_value_is_said_once(tmp_path, content, also, sentence) -> None:
    path = tmp_path / "url"
    if content is not None:
        path.write_bytes(content)
    environ = {**ENOUGH, "POSTGRES_URL": "", "POSTGRES_URL_FILE": str(path), **also}
    with pytest.raises(WrongSettings) as caught:
        read(RunSettings, environ)
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].startswith("POSTGRES_URL: ")
    assert sentence in caught.value.lines[0]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:hunter2@host:6379/0", "redis://:***@host:6379/0"),
        ("rediss://user:hunter2@host", "rediss://user:***@host"),
        ("redis://user@host", "redis://user@host"),
        ("postgresql://u:hun@ter2@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:hunter2/x@h/d", "postgresql://***"),
        ("postgresql://u:p#hunter2@h/d", "postgresql://***"),
        ("postgresql:///d?host=/run/x&user=u", "postgresql:///d?host=/run/x&user=u"),
        ("postgresql://h/d?password=hunter2&a=b", "postgresql://h/d?password=***&a=b"),
        ("postgresql://h/d?sslpassword=hunter2", "postgresql://h/d?sslpassword=***"),
        ("hunter2", "***"),
    ],
)
def test_passwords_are_masked_and_hosts_are_not(url: str, shown: str) -> None:
    assert masked(url) == shown


@given(st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text.strip()))
@example("a:b/c@d")
def test_no_password_shows_whatever_is_in_it(password: str) -> None:
    secret = f"<<{password}>>"
    assert secret not in masked(f"redis://user:{secret}@host:6379/0")


@pytest.mark.parametrize(
    "url", ["redis://", "redis://:6379", "redis://h:0", "redis://h:port", "redis://h:99999", "h"]
)
def test_an_address_without_a_host_or_with_a_bad_port_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Url(("redis",)).parse(url)


@given(st.text())
@example("١")
@example("1_000")
@example(" 1")
def test_a_whole_number_is_ascii_digits_and_nothing_else(text: str) -> None:
    try:
        value = Whole(-100, 100).parse(text)
    except ValueError:
        return
    assert text.lstrip("+-").isascii()
    assert text.lstrip("+-").isdigit()
    assert value == int(text)


def test_a_claim_threshold_below_three_statement_timeouts_is_doubted() -> None:
    (sentence,) = doubts(read(RunSettings, {**ENOUGH, "CLAIM_THRESHOLD_MS": "44999"}), {})
    assert sentence.startswith("CLAIM_THRESHOLD_MS is 44999")
    assert not doubts(read(RunSettings, {**ENOUGH, "CLAIM_THRESHOLD_MS": "45000"}), {})


def test_compressing_what_is_dropped_by_then_is_doubted() -> None:
    def told(drop: str, compress: str) -> list[str]:
        environ = {"POSITIONS_DROP_AFTER": drop, "POSITIONS_COMPRESS_AFTER": compress}
        return doubts(read(RunSettings, {**ENOUGH, **environ}), {})

    for compress in ("30d", "720h", "31d"):
        (sentence,) = told("30d", compress)
        assert sentence.startswith("POSITIONS_COMPRESS_AFTER is not shorter")
    for drop, compress in (("30d", "29d"), ("", "29d"), ("30d", ""), ("", "")):
        assert told(drop, compress) == []


@pytest.mark.parametrize(
    ("written", "meant", "shown"),
    [
        ("30d", timedelta(days=30), "30d"),
        ("12h", timedelta(hours=12), "12h"),
        ("90m", timedelta(minutes=90), "90m"),
        ("48H", timedelta(days=2), "2d"),
        ("120m", timedelta(hours=2), "2h"),
        ("1h", timedelta(hours=1), "1h"),
        ("3650d", timedelta(days=3650), "3650d"),
    ],
)
def test_a_duration_is_a_number_and_its_unit(written: str, meant: timedelta, shown: str) -> None:
    kind = Duration("1h", "3650d")
    assert kind.parse(written) == meant
    assert kind.show(meant) == shown
    assert kind.parse(shown) == meant


@pytest.mark.parametrize(
    "written", ["30", "d", "1.5h", "-1d", "1 d", "30days", "1d12h", "60s", "٣d", "1w", "99999999d"]
)
def test_what_is_no_duration_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        Duration("1h", "3650d").parse(written)


@pytest.mark.parametrize("written", ["0d", "59m", "3651d", "87601h"])
def test_a_duration_out_of_its_range_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="out of range"):
        Duration("1h", "3650d").parse(written)


def test_live_without_directus_names_both_ways_out() -> None:
    with pytest.raises(WrongSettings) as caught:
        read(RunSettings, {**ENOUGH, "DIRECTUS_BASE_URL": ""})
    (line,) = caught.value.lines
    assert "http://localhost:8055" in line
    assert "ROLES=ingest" in line
    for way_out in ({"ROLES": "ingest"}, {"LIVE_AUTH": "open", **LOOPBACK_ONLY}):
        read(RunSettings, {**ENOUGH, "DIRECTUS_BASE_URL": "", **way_out})


@pytest.mark.parametrize("outside", ["METRICS_HOST", "LIVE_WS_HOST"])
def test_an_open_house_has_every_listener_on_loopback(outside: str) -> None:
    environ = {**ENOUGH, "LIVE_AUTH": "open", **LOOPBACK_ONLY, outside: "0.0.0.0"}
    with pytest.raises(WrongSettings, match=f"LIVE_AUTH: open lets everybody in, so {outside}"):
        read(RunSettings, environ)
    read(RunSettings, {**environ, outside: "::1"})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://Rally.example", ("https://rally.example",)),
        ("https://rally.example:443, http://a:80", ("https://rally.example", "http://a")),
        ("http://localhost:8055,http://localhost:8055", ("http://localhost:8055",)),
        ("http://[::1]:8081", ("http://[::1]:8081",)),
    ],
)
def test_origins_are_written_as_browsers_write_them(written: str, meant: tuple[str, ...]) -> None:
    assert Origins().parse(written) == meant


@pytest.mark.parametrize("written", ["*", "null", "rally.example", "https://a/", "ftp://a", "a,,b"])
def test_what_is_no_origin_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        Origins().parse(written)


def test_a_setting_of_a_later_version_is_doubted_instead_of_ignored() -> None:
    environ = {**ENOUGH, "STREAM_URL_FILE": "/x", "OTHERS": "x"}
    told = doubts(read(RunSettings, environ), environ)
    assert [sentence.partition(" ")[0] for sentence in told] == ["STREAM_URL"]
    assert not LATER.keys() & {one.variable for one in DECLARED}, "those are in this version"


@pytest.mark.parametrize("several", ["a,b", "telemetry:teltonika:{0..15}"])
def test_several_streams_are_refused_and_not_taken_for_a_name(several: str) -> None:
    with pytest.raises(WrongSettings, match="no comma list and no range"):
        read(RunSettings, {**ENOUGH, "REDIS_TELEMETRY_STREAM": several})


def test_a_hash_tag_is_part_of_a_streams_name() -> None:
    settings = read(RunSettings, {**ENOUGH, "REDIS_TELEMETRY_STREAM": "telemetry:{3}"})
    assert settings.redis.stream == "telemetry:{3}"


def test_the_example_is_a_valid_environment_and_names_everything() -> None:
    lines = env_example().splitlines()
    active = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    read(RunSettings, active)
    offered = {line.removeprefix("#").partition("=")[0] for line in lines if "=" in line}
    assert {one.variable for one in DECLARED} <= offered
