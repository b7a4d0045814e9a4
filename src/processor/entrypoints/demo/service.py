"""The service in the demo: `processor run` in a process of its own, as anybody would start it."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from processor.entrypoints.demo.process import NotStarted, free_port, leash
from processor.entrypoints.demo.scratch import Scratch

INHERITED = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "SYSTEMROOT")
"""All that the service gets of our environment: whoever has settings of a real one in the shell
must not find the demo writing into its database."""

STOPPED_WITHIN_S = 25.0  # its own budget is 20 s


class Running:
    """A context manager; `kill` and `start` may be called in between."""

    def __init__(self, *, redis_url: str, postgres_url: str, stream: str, page_port: int) -> None:
        self.port = free_port()
        self.page_port = page_port
        self.settings = {
            "REDIS_URL": redis_url,
            "POSTGRES_URL": postgres_url,
            "REDIS_TELEMETRY_STREAM": stream,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: Scratch | None = None

    def __enter__(self) -> Self:
        self._scratch = Scratch("service")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert self._scratch is not None
        self._scratch.close()

    @property
    def log(self) -> Path:
        """Where its log lines go."""
        assert self._scratch is not None
        return self._scratch.path / "log"

    def start(self) -> None:
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        ours = {
            "INSTANCE_ID": f"demo-{self.port}",
            "METRICS_HOST": "127.0.0.1",
            "METRICS_PORT": str(self.port),
            "LIVE_WS_HOST": "127.0.0.1",
            "LIVE_WS_PORT": str(self.page_port),
            "LIVE_WS_DRAIN_TIMEOUT_MS": "200",
            "LIVE_PAGE": "true",
            "LIVE_WS_ALLOW_NO_ORIGIN": "true",  # so that a terminal can listen, too
            "LIVE_AUTH": "open",  # who can reach a port of this machine's loopback sits at it
            # The killed instance's name is taken over at once, and so is what it held; a rehearsal
            # has no time for the minute that a real claim waits.
            "CLAIM_THRESHOLD_MS": "5000",
            "POSTGRES_STATEMENT_TIMEOUT_MS": "1500",
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [*leash(), sys.executable, "-m", "processor", "run"],
                env=inherited | ours | self.settings,
                stdin=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL: it has no time to say goodbye, nor to finish a sentence."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def ready(self) -> bool:
        """Is it ready? Raises NotStarted if it has ended by itself."""
        assert self._process is not None
        if self._process.poll() is not None:
            words = " / ".join(self.log.read_text(errors="replace").splitlines()[-3:])
            raise NotStarted(f"the service ended with {self._process.returncode}: {words}")
        try:
            address = f"http://127.0.0.1:{self.port}/readyz"
            with urllib.request.urlopen(address, timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
