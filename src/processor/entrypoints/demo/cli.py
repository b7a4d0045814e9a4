"""`processor demo`: servers, service, a rally and a look at it, on this machine, in one command.

Everything is real but the cars: the service is `processor run` in a process of its own, what it
reads was written by somebody else, and what is counted at the end is asked of the database. With
--chaos the service is killed every ten seconds meanwhile, and counted all the same.
"""

import asyncio
import getpass
import os
import signal
import socket
import sys
import webbrowser
from collections import Counter
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from typing import Any

import asyncpg
import click
from attrs import frozen
from redis.asyncio import Redis
from rich.console import Console
from rich.live import Live
from rich.table import Table

from processor.adapters.files.producer import MAXLEN
from processor.adapters.redis.connection import connect
from processor.adapters.redis.producing import produce
from processor.entrypoints.demo import programs
from processor.entrypoints.demo.field import entered
from processor.entrypoints.demo.process import NotStarted, free_port
from processor.entrypoints.demo.rehearsal import CARS, DEVICES, Key, Rehearsal
from processor.entrypoints.demo.servers import Postgres, Valkey
from processor.entrypoints.demo.service import Running
from processor.entrypoints.exits import Exit
from processor.entrypoints.feed import play

STREAM = "telemetry:teltonika"
GROUP = "processor"
SEED = 7
LOOK_S = 0.25  # four looks a second are a moving picture, and cost the servers nothing
PLAIN_LOOK_S = 2.0  # into a file, a line every two seconds says as much
KILL_EVERY_S = 10.0
READY_WITHIN_S = 60.0
SETTLED_WITHIN_S = 60.0  # after the last entry; a second, unless the machine is drowning


@click.command()
@click.option(
    "--speed",
    type=click.FloatRange(min=1, max=1000),
    default=40.0,
    show_default=True,
    help="Speed-up factor; at 1 the rally takes 18 minutes.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8081,
    show_default=True,
    help="Where the map is; 0 takes a free port.",
)
@click.option("--once", is_flag=True, help="End after the rally instead of waiting for Ctrl-C.")
@click.option("--chaos", is_flag=True, help="Kill the service every 10 s, and count.")
@click.option("--no-browser", is_flag=True, help="Only say where the map is.")
def demo(*, speed: float, port: int, once: bool, chaos: bool, no_browser: bool) -> int:
    """Show everything at work on this machine; nothing is left behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leaves nothing behind either
    console = Console(highlight=False)
    try:
        with ExitStack() as stack:
            console.print("starting a Redis-compatible server and PostgreSQL ...")
            valkey = stack.enter_context(Valkey())
            postgres = stack.enter_context(Postgres(timescale=programs.timescale() is not None))
            event = entered(postgres.url, DEVICES)
            service = stack.enter_context(
                Running(
                    redis_url=valkey.url,
                    postgres_url=postgres.url,
                    stream=STREAM,
                    page_port=a_port(port),
                )
            )
            console.print(f"[dim]{valkey.programs.about}; {postgres.programs.about}[/dim]")
            show = Show(console, service, event, speed=speed, chaos=chaos)
            lost = asyncio.run(show.run(browser=not no_browser))
            if not once:
                show.tell_how_to_look()
                with suppress(KeyboardInterrupt):
                    asyncio.run(show.go_round())
            return Exit.FAILED if lost else Exit.DONE
    except NotStarted as error:
        click.echo(str(error), err=True)
        return Exit.INTERNAL
    except KeyboardInterrupt:
        click.echo("stopped; nothing is left behind", err=True)
        # A clean stop; but whoever waited for the sum at the end has not got it.
        return Exit.FAILED if once else Exit.DONE


@frozen
class Look:
    """What the stream and the table hold at one moment."""

    sent: int
    lag: int
    pending: int
    rows: int
    dead: int

    @property
    def done(self) -> int:
        return self.sent - self.lag - self.pending

    @property
    def duplicates(self) -> int:
        return max(0, self.done - self.rows - self.dead)


class Show:
    """One rally, from the first start to the sum at the end."""

    def __init__(
        self, console: Console, service: Running, event: str, *, speed: float, chaos: bool
    ) -> None:
        self._console = console
        self._service = service
        self._address = f"http://127.0.0.1:{service.page_port}/?event={event}"
        self._speed = speed
        self._chaos = chaos
        self._kills = 0

    async def run(self, *, browser: bool) -> int:
        """Play and tell. How many fixes were lost or came twice."""
        settings = self._service.settings
        redis = connect(settings["REDIS_URL"], timeout_s=10, name="demo")
        await self._until_ready()
        self._tell_where_the_map_is()
        if browser and has_screen():
            await asyncio.to_thread(webbrowser.open, self._address)
        database = await asyncpg.connect(settings["POSTGRES_URL"])
        try:
            rehearsal = Rehearsal.at(datetime.now(UTC), self._speed, SEED)
            self._console.print(
                f"{CARS} cars drive a recorded road at {self._speed:g} x speed: "
                f"{len(rehearsal.cues)} entries in {rehearsal.lasts_s:.0f} s"
            )
            looking = asyncio.create_task(self._look_on(redis, database, rehearsal))
            killing = asyncio.create_task(self._kill_now_and_then())
            await self._play(redis, rehearsal)
            killing.cancel()
            await asyncio.wait([killing])
            await self._until_ready()
            await looking
            return await self._sum_up(redis, database, rehearsal)
        finally:
            await database.close()
            await redis.aclose()

    async def go_round(self) -> None:
        """Drive on, round after round, until somebody has seen enough."""
        redis = connect(self._service.settings["REDIS_URL"], timeout_s=10, name="demo")
        try:
            while True:
                rehearsal = Rehearsal.at(datetime.now(UTC), self._speed, SEED)
                await self._play(redis, rehearsal)
        finally:
            await redis.aclose()

    async def _play(self, redis: Redis, rehearsal: Rehearsal) -> None:
        await play(
            rehearsal.cues,
            lambda fields: produce(redis, STREAM, fields, maxlen=MAXLEN),
            stop=asyncio.Event(),
            sent=lambda count: None,
        )

    def _tell_where_the_map_is(self) -> None:
        port = self._service.page_port
        self._console.print(f"the map: {self._address}", style="bold", soft_wrap=True)
        self._console.print(
            f"[dim]from another machine, first: ssh -N -L {port}:127.0.0.1:{port} "
            f"{getpass.getuser()}@{socket.gethostname()}[/dim]",
            soft_wrap=True,
        )

    async def _until_ready(self) -> None:
        async with asyncio.timeout(READY_WITHIN_S):
            while not await asyncio.to_thread(self._service.ready):  # noqa: ASYNC110 - a process
                await asyncio.sleep(0.05)

    async def _kill_now_and_then(self) -> None:
        while self._chaos:
            await asyncio.sleep(KILL_EVERY_S)
            self._service.kill()
            self._kills += 1
            self._service.start()

    async def _look_on(self, redis: Redis, database: Any, rehearsal: Rehearsal) -> None:
        """Draw until everything that will be sent was sent and is settled."""
        looks: list[tuple[float, Look]] = []
        clock = asyncio.get_running_loop().time
        started = clock()
        terminal = self._console.is_terminal
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                look = await _look(redis, database)
                looks = [*looks[-20:], (clock(), look)]
                (then, before), (at, _) = looks[0], looks[-1]
                rate = (look.done - before.done) / (at - then) if at > then else 0.0
                if terminal:
                    live.update(self._table(look, rate, len(rehearsal.cues)), refresh=True)
                else:
                    self._console.print(
                        f"sent {look.sent}  rows {look.rows}  duplicates {look.duplicates}  "
                        f"dead {look.dead}  lag {look.lag}  {rate:.0f} records/s",
                        soft_wrap=True,
                    )
                if look.sent == len(rehearsal.cues) == look.done:
                    return
                late_s = clock() - started - rehearsal.lasts_s
                if late_s > SETTLED_WITHIN_S:
                    raise NotStarted(f"{look.lag + look.pending} entries are not settled in time")
                await asyncio.sleep(LOOK_S if terminal else PLAIN_LOOK_S)

    def _table(self, look: Look, rate: float, total: int) -> Table:
        table = Table(title=STREAM, title_justify="left", min_width=60)
        table.add_column("")
        table.add_column("entries", justify="right")
        rows = {
            f"sent, of {total}": look.sent,
            "acknowledged": look.done,
            "not read yet (lag)": look.lag,
            "in flight": look.pending,
            "rows in positions": look.rows,
            "duplicates": look.duplicates,
            "dead letters": look.dead,
            "records a second": round(rate),
        }
        if self._chaos:
            rows["times the service was killed"] = self._kills
        for name, count in rows.items():
            table.add_row(name, f"{count:,}".replace(",", " "))
        return table

    async def _sum_up(self, redis: Redis, database: Any, rehearsal: Rehearsal) -> int:
        rows = await database.fetch("SELECT device_id, ts FROM positions")
        found: Counter[Key] = Counter((row[0], row[1].astimezone(UTC)) for row in rows)
        letters: Any = await redis.xrange(f"{STREAM}:dlq")
        dead = {fields[b"origin_id"] for _, fields in letters}
        lost = len(rehearsal.fixes - found.keys()) + max(0, rehearsal.rubbish - len(dead))
        twice = found.total() - len(found)
        duplicates = len(rehearsal.cues) - len(found) - len(dead)
        killed = f" although the service was killed {self._kills} times" if self._chaos else ""
        self._console.print(
            f"{len(rehearsal.cues)} entries: {len(found)} rows, {duplicates} duplicates, "
            f"{len(dead)} dead letters; lost {lost}, twice {twice}{killed}.",
            style="bold",
        )
        return lost + twice

    def tell_how_to_look(self) -> None:
        """What to type to see the rows, the state of things and the metrics."""
        settings = self._service.settings
        environment = " ".join(f"{k}={v}" for k, v in settings.items() if k.endswith("_URL"))
        lines = [
            "",
            "The cars go round and round until Ctrl-C. To look for yourself, in another terminal:",
            f"  {self._address} is the map",
            f"  psql {settings['POSTGRES_URL']} -c 'TABLE positions LIMIT 5'",
            f"  {environment} {sys.argv[0]} doctor",
            f"  curl http://127.0.0.1:{self._service.port}/metrics",
        ]
        for line in lines:
            self._console.print(line, soft_wrap=True, markup=False)


def a_port(wanted: int) -> int:
    """The wanted port, or a free one where 0 is wanted. Raises NotStarted if somebody has it."""
    if wanted == 0:
        return free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise NotStarted(
                f"port {wanted} is taken: stop what has it, or take another with --port"
            ) from error
    return wanted


def has_screen() -> bool:
    """Would a browser that we open be seen? A text browser in this terminal would be in the way."""
    return sys.stdout.isatty() and (
        sys.platform == "darwin" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
    )


async def _look(redis: Redis, database: Any) -> Look:
    pipeline = redis.pipeline(transaction=True)
    pipeline.xlen(STREAM)
    pipeline.xinfo_groups(STREAM)
    pipeline.xlen(f"{STREAM}:dlq")
    sent, groups, dead = await pipeline.execute()
    rows = await database.fetchval("SELECT count(*) FROM positions")
    group = next(group for group in groups if group["name"] == GROUP.encode())
    return Look(sent, group["lag"] or 0, group["pending"], rows, dead)
