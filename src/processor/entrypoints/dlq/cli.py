"""`processor dlq`: look at the dead letters, put them on the stream again, drop them."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from processor.core.errors import Reason
from processor.entrypoints import show
from processor.entrypoints.exits import Exit
from processor.entrypoints.instants import entry_id, instant

if TYPE_CHECKING:
    from processor.adapters.redis.letters import Letter, RedisLetters
    from processor.entrypoints.dlq.choosing import Chosen
    from processor.entrypoints.dlq.moving import Pace, Work

FOREIGN = "not-a-letter"
"""As the adapter calls what somebody else put there; a test holds the two equal."""

Command = TypeVar("Command", bound=Callable[..., Any])

FILTERS = (
    click.option(
        "--reason",
        "reasons",
        multiple=True,
        metavar="REASON",
        type=click.Choice([*(reason.value for reason in Reason), FOREIGN]),
        help="Only those of this reason, such as field-range; may be given again.",
    ),
    click.option("--device", help="Only those of this device (IMEI)."),
    click.option(
        "--since", metavar="TIME", type=instant, help="Only those that failed then or later."
    ),
    click.option("--until", metavar="TIME", type=instant, help="Only those that failed before."),
)


def filtered(command: Command) -> Command:
    for option in reversed(FILTERS):
        command = option(command)
    return command


as_json = click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
dry_run = click.option("--dry-run", is_flag=True, help="Only say what would be done.")
everything = click.option("--all", "everything", is_flag=True, help="All there are.")
ids = click.argument("ids", nargs=-1, metavar="[ID]...", type=entry_id)


@click.group()
def dlq() -> None:
    """Look at the dead letters, put them on the stream again, drop them.

    A dead letter is an entry of the stream that could not become a row. TIME is
    2026-05-04T10:00:00Z (or with an offset), or a span back from now such as 15m, 2h, 3d.
    """


@dlq.command("list")
@filtered
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="The newest so many; 0 for all.",
)
@as_json
def list_letters(*, limit: int, as_json: bool, **filters: Any) -> int:
    """Say which dead letters there are, the newest last.

    One row for each entry of the stream, and how often its letter is there (more than once after
    a crash). What was in it: processor dlq show ID.
    """
    from processor.entrypoints.dlq import choosing, showing
    from processor.entrypoints.dlq.moving import opened

    wanted = choosing.Wanted(**filters)

    async def answer() -> None:
        async with opened(os.environ) as (letters, _):
            with show.working("reading dead letters"):
                chosen = await choosing.choose(letters, wanted, limit=limit)
                there = await letters.count()
            rows = showing.rows(letters, chosen)
            if as_json:
                told = {"stream": letters.key, "there": there, "reasons": dict(chosen.reasons)}
                await showing.print_json(rows, told)
                return
            await showing.print_rows(rows)
            click.echo(_summed(chosen, there, letters.key, limit), err=True)

    asyncio.run(answer())
    return Exit.DONE


def _summed(chosen: "Chosen", there: int, key: str, limit: int) -> str:
    if not there:
        return f"{key} holds no dead letter"
    if not chosen:
        return f"none of the {there} dead letters in {key} is meant"
    more = f", the newest {limit} (--limit 0 for all)" if len(chosen) == limit else ""
    return f"{_counted(chosen.reasons)}{more}; {key} holds {there} letters"


def _counted(reasons: Counter[str]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())


@dlq.command("show")
@click.argument("named", metavar="ID", type=entry_id)
@as_json
def show_letter(*, named: str, as_json: bool) -> int:
    """Say all of one dead letter: what came, why it failed, what to do.

    ID is the letter's, or that of the entry in the stream. Prints coordinates.
    """
    from processor.entrypoints.dlq import choosing, showing
    from processor.entrypoints.dlq.moving import opened

    async def found() -> "Sequence[Letter]":
        async with opened(os.environ) as (letters, _):
            chosen, _ = await choosing.find(letters, [named])
            return [letter async for letter in choosing.letters_of(letters, chosen)]

    with show.working("looking for it"):
        letters = asyncio.run(found())
    if as_json:
        show.json({"letters": [showing.in_full(letter) for letter in letters]})
    elif letters:
        for letter in letters:
            showing.print_letter(letter)
        showing.print_next(letters[-1])
    if not letters:
        click.echo(_missing(named), err=True)
    return Exit.DONE if letters else Exit.FAILED


def _missing(named: str) -> str:
    return f"{named}: no dead letter has this id, or is of this entry"


@dlq.command("requeue")
@ids
@filtered
@everything
@dry_run
@as_json
def requeue_letters(**options: Any) -> int:
    """Put dead letters on the stream again, once their cause is mended.

    What came goes back as it came, as a new entry, and the letter is removed when the server has
    taken it. What still fails comes back as a new dead letter. Stopped halfway, the same command
    goes on with the rest.
    """
    from processor.entrypoints.dlq.moving import Requeueing

    return _act(Requeueing, **options)


@dlq.command("drop")
@ids
@filtered
@everything
@dry_run
@as_json
def drop_letters(**options: Any) -> int:
    """Remove dead letters for ever. Nobody can bring them back."""
    from processor.entrypoints.dlq.moving import Dropping

    return _act(Dropping, **options)


def _act(
    kind: "Callable[[RedisLetters, Pace], Work]",
    *,
    ids: Sequence[str],
    everything: bool,
    dry_run: bool,
    as_json: bool,
    **filters: Any,
) -> int:
    from processor.entrypoints.dlq import choosing
    from processor.entrypoints.dlq.moving import Done, opened

    if bool(ids) + any(filters.values()) + everything != 1:
        raise click.UsageError("Say which dead letters: by IDs, or by filters, or --all.")
    chosen, done, missing = choosing.Chosen(), Done(), list[str]()

    async def act() -> "Work":
        nonlocal chosen, done
        async with opened(os.environ) as (letters, pace):
            work = kind(letters, pace)
            await work.ready()
            with show.working("reading dead letters"):
                if ids:
                    chosen, lost = await choosing.find(letters, ids)
                    missing.extend(lost)
                else:
                    chosen = await choosing.choose(letters, choosing.Wanted(**filters))
            if dry_run:
                done = work.foresee(chosen)
            elif chosen:
                with show.bar(work.place, len(chosen)) as tell:
                    await work.do(chosen, done, tell)
            return work

    try:
        work = asyncio.run(act())
    except BaseException:
        if done.count and not dry_run:
            rest = f"done with {done.count} of {len(chosen)} before that; repeat it for the rest"
            click.echo(rest, err=True)
        raise
    if as_json:
        told = {"dry_run": dry_run, work.past: done.count, "reasons": dict(done.reasons)}
        show.json({**told, "place": work.place, "left": done.left, "missing": missing})
    else:
        what = f"would {work.verb}" if dry_run else work.past
        by_reason = f": {_counted(done.reasons)}" if done.count else ""
        click.echo(f"{what} {done.count} ({work.place}){by_reason}")
    for each in missing:
        click.echo(_missing(each), err=True)
    if done.left:
        stay = "would stay" if dry_run else "stayed"
        why = f"nothing in them could go back; see processor dlq list --reason {FOREIGN}"
        click.echo(f"{done.left} {stay}: {why}", err=True)
    return Exit.FAILED if missing or done.left else Exit.DONE
