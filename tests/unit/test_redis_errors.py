"""What each error of redis-py and of a server asks us to do, and how redis-py is set up."""

import asyncio
import ssl
import subprocess
import sys

import pytest
from redis import exceptions as driver
from redis._parsers.base import BaseParser
from redis.asyncio import Connection, SSLConnection

from processor.adapters.redis.connection import POOL_SIZE, READ_SIZE, Wire, connect
from processor.adapters.redis.errors import BY_CODE, translate
from processor.core.errors import Refused, Unavailable

SHORT, LONG, NEVER = Unavailable.Pause.SHORT, Unavailable.Pause.LONG, None

# What servers really send (Redis 7, Valkey 9), and what it asks us to do.
SAID = {
    "LOADING Redis is loading the dataset in memory": ("loading", SHORT),
    "READONLY You can't write against a read only replica.": ("read-only", SHORT),
    "NOREPLICAS Not enough good replicas to write.": ("no-replicas", SHORT),
    "OOM command not allowed when used memory > 'maxmemory'.": ("full", LONG),
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is 'no'.": (
        "master-down",
        SHORT,
    ),
    "CLUSTERDOWN The cluster is down": ("cluster-down", SHORT),
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL.": ("busy", SHORT),
    "UNKILLABLE Sorry the script already executed write commands.": ("busy", LONG),
    "TRYAGAIN Multiple keys request during rehashing of slot": ("moving", SHORT),
    "ASK 3999 127.0.0.1:6381": ("moving", SHORT),
    "NOGROUP No such key 's' or consumer group 'g'": ("group-missing", SHORT),
    "UNBLOCKED the stream key no longer exists": ("group-missing", SHORT),
    "ERR no such key": ("group-missing", SHORT),
    "MISCONF Redis is configured to save RDB snapshots, but it cannot": ("not-persisting", LONG),
    "ERR Error running script (call to f_6b1bf486c81ceb7e): @user_script:2: @user_script: 2: "
    "-OOM command not allowed when used memory > 'maxmemory'.": ("full", LONG),
    "ERR max number of clients reached": ("too-many-clients", LONG),
    "EXECABORT Transaction discarded because of previous errors.": ("server-error", LONG),
    "NOSCRIPT No matching script. Please use EVAL.": ("server-error", LONG),
    "ERR something that nobody has seen before": ("server-error", LONG),
    "NEWCODE of a release to come": ("server-error", LONG),
    "": ("server-error", LONG),
    "NOAUTH Authentication required.": ("credentials", NEVER),
    "WRONGPASS invalid username-password pair or user is disabled.": ("credentials", NEVER),
    "ERR AUTH <password> called without any password configured for the default user."
    " Are you sure your configuration is correct?": ("credentials", NEVER),
    "ERR Client sent AUTH, but no password is set": ("credentials", NEVER),
    "NOPERM User ingest has no permissions to run the 'xadd' command": ("permission", NEVER),
    "WRONGTYPE Operation against a key holding the wrong kind of value": ("wrong-type", NEVER),
    "NOPROTO unsupported protocol version": ("protocol", NEVER),
    "MOVED 3999 127.0.0.1:6381": ("cluster", NEVER),
    "CROSSSLOT Keys in request don't hash to the same slot": ("cluster", NEVER),
    "ERR unknown command 'XAUTOCLAIM', with args beginning with: 's'": ("unsupported", NEVER),
    "ERR syntax error": ("unsupported", NEVER),
    "ERR DB index is out of range": ("database-index", NEVER),
    "ERR invalid DB index": ("database-index", NEVER),
}


def pause(verdict: Unavailable | Refused) -> Unavailable.Pause | None:
    return verdict.pause if isinstance(verdict, Unavailable) else NEVER


@pytest.mark.parametrize("said", SAID)
def test_what_a_server_says(said):
    verdict = translate(BaseParser.parse_error(said))
    assert (verdict.reason, pause(verdict)) == SAID[said]
    assert verdict.dependency == "stream"


def test_every_code_of_the_table_was_heard():
    assert set(BY_CODE) <= {said.partition(" ")[0] for said in SAID}


@pytest.mark.parametrize("said", SAID)
def test_a_class_says_as_much_as_the_code_that_redis_py_cut_off(said):
    parsed = BaseParser.parse_error(said)
    parsed.status_code = None  # as older releases leave it
    assert translate(parsed).reason == SAID[said][0]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (driver.ConnectionError("Error 111 connecting to 127.0.0.1:1."), "connection"),
        (ConnectionResetError(104, "Connection reset by peer"), "connection"),
        (driver.InvalidResponse("Protocol error, got 'H'"), "connection"),
        (driver.TimeoutError("Timeout connecting to server"), "timeout"),
        (TimeoutError(), "timeout"),
    ],
)
def test_a_connection_that_fails_is_tried_again_soon(error, reason):
    verdict = translate(error)
    assert (verdict.reason, pause(verdict)) == (reason, SHORT)
    assert verdict.sentence.startswith("Redis: ")
    assert len(verdict.sentence) > len("Redis: ")


def test_a_certificate_that_does_not_fit_is_for_an_operator():
    try:
        try:
            raise ssl.SSLCertVerificationError("certificate verify failed: self-signed")
        except OSError:
            raise driver.ConnectionError("Error connecting")  # noqa: B904 as redis-py does
    except driver.ConnectionError as error:
        verdict = translate(error)
    assert isinstance(verdict, Refused)
    assert verdict.reason == "certificate"
    advice = "check rediss:// and ssl_ca_certs in REDIS_URL"
    assert verdict.sentence == f"Redis: Error connecting ({advice})"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (driver.ConnectionError("Error 111 connecting."), "Redis: Error 111 connecting"),
        (driver.ConnectionError(""), "Redis: ConnectionError"),
        (
            BaseParser.parse_error("OOM command not allowed"),
            "Redis: command not allowed (raise maxmemory or trim what fills it)",
        ),
        (
            BaseParser.parse_error("NOPROTO unsupported"),
            "Redis: NOPROTO unsupported (the server does not speak RESP2)",
        ),
    ],
    ids=["words", "none", "advice", "refused"],
)
def test_a_sentence_is_the_servers_words_and_what_to_do(error, sentence):
    assert translate(error).sentence == sentence


def exception_classes():
    found = [driver.RedisError]
    for kind in found:
        found += kind.__subclasses__()
    return found


@pytest.mark.parametrize("kind", exception_classes(), ids=lambda kind: kind.__name__)
def test_the_table_is_total(kind):
    """Nothing is ever a record's fault, whatever class redis-py may think of."""
    error = kind.__new__(kind)
    Exception.__init__(error, "1 a:1")
    error.args = ("1 a:1",)
    assert isinstance(translate(error), Unavailable | Refused)


# -------------------------------------------------------------------------------------- settings


def test_every_default_of_redis_py_that_matters_is_set():
    client = connect("redis://u:p@example.org:7000/3", timeout_s=1.5, name="who")
    pool = client.connection_pool
    expected = {
        "host": "example.org",
        "port": 7000,
        "db": 3,
        "username": "u",
        "password": "p",
        "client_name": "who",
        "protocol": 2,
        "retry_on_error": [],
        "retry_on_timeout": False,
        "socket_timeout": 1.5,
        "socket_connect_timeout": 2.0,
        "socket_read_size": READ_SIZE,
        "socket_keepalive": True,
        "health_check_interval": 0,
        "decode_responses": False,
    }
    assert {name: pool.connection_kwargs[name] for name in expected} == expected
    assert (pool.max_connections, pool.timeout) == (POOL_SIZE, 1.5)
    connection = pool.make_connection()
    assert type(connection) is Connection
    assert connection.retry.get_retries() == 0


def test_a_url_cannot_undo_them():
    url = "redis://h/0?socket_timeout=99&retry_on_timeout=yes&protocol=3&max_connections=1000"
    pool = connect(url, timeout_s=1.5, name="who").connection_pool
    connection = pool.make_connection()
    assert (connection.socket_timeout, connection.protocol) == (1.5, 2)
    assert connection.retry.get_retries() == 0
    assert pool.max_connections == POOL_SIZE


def test_tls_is_verified_unless_the_url_says_otherwise():
    pool = connect("rediss://h:1?ssl_ca_certs=ca.pem", timeout_s=1, name="who").connection_pool
    connection = pool.make_connection()
    assert type(connection) is SSLConnection
    assert connection.ca_certs == "ca.pem"
    assert connection.cert_reqs == ssl.CERT_REQUIRED
    assert connection.check_hostname


@pytest.mark.parametrize("url", ["http://h", "nonsense", "unix:///run/redis.sock", "redis://h:x"])
def test_a_url_that_is_none_is_refused(url):
    with pytest.raises(Refused, match="REDIS_URL"):
        connect(url, timeout_s=1, name="who")


def test_without_hiredis_nothing_is_begun():
    program = (
        "import sys; sys.modules['hiredis'] = None\n"
        "from processor.adapters.redis.connection import connect\n"
        "from processor.core.errors import Refused\n"
        "try: connect('redis://h', timeout_s=1, name='who')\n"
        "except Refused as refused: print(refused.reason, refused.sentence)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("hiredis-missing hiredis is not installed"), done.stderr


async def closing_server(connections: list[bytes]) -> asyncio.Server:
    """Takes one command, notes it, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = b""
        while b"XADD" not in heard:
            heard += await reader.read(4096)
            if b"XADD" not in heard:
                writer.write(b"+OK\r\n" * heard.count(b"CLIENT\r\n"))
                heard = b""
        connections.append(heard)
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


async def test_no_command_is_ever_sent_twice():
    heard: list[bytes] = []
    server = await closing_server(heard)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = connect(url, timeout_s=1, name="who")
    wire = Wire(url, timeout_s=1, name="who")
    with pytest.raises(driver.ConnectionError):
        await client.execute_command("XADD", "s", "*", "k", "v")
    with pytest.raises(Unavailable):
        await wire.ask(("XADD", "s", "*", "k", "v"))
    await asyncio.sleep(0.1)  # for a retry that must not come
    assert len(heard) == 2
    await client.aclose()
    await wire.aclose()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    "said",
    [
        "NOGROUP No such key 's' or consumer group 'g' script: 5f, on @user_script:1.",
        "ERR Error running script (call to f_5f): @user_script:4: NOGROUP No such key 's'",
        "ERR Error running script (call to f_5f): @user_script: 4: -NOGROUP No such key 's'",
    ],
)
def test_what_a_script_met_is_what_it_says(said: str) -> None:
    assert translate(driver.ResponseError(said)).reason == "group-missing"
