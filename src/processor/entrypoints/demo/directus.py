"""A real Directus on this machine, with the business schema, people, and what they may see.

    with Postgres(timescale=True) as database, Directus(database.url) as directus:
        anna = directus.person()
        cookie = directus.log_in(anna)  # what her browser would send
        directus.suspend(anna)

It lives in a database that is given: an empty one gets Directus's own tables, then schema/'s
snapshot and SQL, then a role whose members read what the organisations have that they belong to
(office.py makes such organisations). A second Directus on the same database with the same `secret`
is another process of the same installation: a session of one is a session of the other.

What is not needed is switched off: telemetry, the app, mail, and every limiter, for those would
turn a busy machine into answers of 429 and 503.
"""

import http.client
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import attrs

from processor.entrypoints.demo import programs, sql
from processor.entrypoints.demo.process import READY_WITHIN_S, NotInstalled, NotStarted, Server
from processor.entrypoints.demo.programs import Programs

SCHEMA = Path(__file__).parents[4] / "schema"

COOKIE = "directus_session_token"

ANSWER_WITHIN_S = 20.0  # a login hashes for 50 ms, on a machine that may be busy with much else

ADMIN = "admin@example.com"
ROLE = "member"

# Members read events through organization -> organization_users -> user, and of users their own id.
PERMISSIONS = [
    {
        "collection": "events",
        "action": "read",
        "fields": ["*"],
        "permissions": {"organization_id": {"users": {"user_id": {"_eq": "$CURRENT_USER"}}}},
    },
    {
        "collection": "directus_users",
        "action": "read",
        "fields": ["id"],
        "permissions": {"id": {"_eq": "$CURRENT_USER"}},
    },
]


@attrs.frozen
class Person:
    """A user of Directus. `id` is that of directus_users."""

    id: str
    email: str
    password: str = attrs.field(repr=False)


@attrs.frozen
class Answer:
    """`data` is what Directus wrapped in `data`, `code` that of its first error."""

    status: int
    data: Any
    code: str | None
    cookie: str | None
    """What a `Cookie` header would say after this answer, where the session began or changed."""


class Directus(Server):
    """A Directus server, by default the one of `make directus`, at home in a given database.

    Users and rows are in that database and outlive the server; a port and a scratch folder are its
    own. `settings` are Directus's environment variables, over ours.
    """

    name = "directus"

    def __init__(
        self,
        database_url: str,
        found: Programs | None = None,
        *,
        secret: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        found = found or programs.directus()
        if found is None:
            raise NotInstalled("no Directus on this machine: make directus")
        super().__init__(found, settings=settings)
        self.database_url = database_url
        self.secret = secret or secrets.token_hex(32)
        self._mark = secrets.token_hex(8)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            if not sql.fetch(self.database_url, "SELECT FROM directus_roles WHERE name = $1", ROLE):
                self._make_role()
        except BaseException:
            self.close()
            raise
        return self

    # --------------------------------------------------------------------------------- people

    @property
    def administrator(self) -> Person:
        """The installation's own."""
        rows = sql.fetch(self.database_url, "SELECT id FROM directus_users WHERE email = $1", ADMIN)
        return Person(str(rows[0]["id"]), ADMIN, self.secret)

    def person(self) -> Person:
        """A new active user with the role of a member."""
        rows = sql.fetch(self.database_url, "SELECT id FROM directus_roles WHERE name = $1", ROLE)
        name = secrets.token_hex(6)
        person = {"email": f"{name}@example.com", "password": secrets.token_hex(8)}
        made = self.as_admin("POST", "/users", person | {"role": str(rows[0]["id"])})
        return Person(id=made["id"], **person)

    def log_in(self, person: Person) -> str:
        """The `Cookie` header of a new session of theirs."""
        body = {"email": person.email, "password": person.password, "mode": "session"}
        return self._session("/auth/login", body)

    def refresh(self, cookie: str) -> str:
        """The `Cookie` header with which the session goes on. The old one still holds 10 s."""
        return self._session("/auth/refresh", {"mode": "session"}, cookie)

    def log_out(self, cookie: str) -> None:
        answer = self.ask("POST", "/auth/logout", {"mode": "session"}, cookie=cookie)
        assert answer.status == 204, answer

    def expire(self, person: Person) -> None:
        """Let the time of all their sessions be over."""
        sql.fetch(
            self.database_url,
            "UPDATE directus_sessions SET expires = now() - interval '1 s' WHERE \"user\" = $1",
            person.id,
        )

    def suspend(self, person: Person) -> None:
        """Their sessions end with it."""
        self.as_admin("PATCH", f"/users/{person.id}", {"status": "suspended"})

    def reinstate(self, person: Person) -> None:
        self.as_admin("PATCH", f"/users/{person.id}", {"status": "active"})

    # --------------------------------------------------------------------------------- asking

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        cookie: str | None = None,
        token: str | None = None,
        within_s: float = ANSWER_WITHIN_S,
    ) -> Answer:
        """One request, as a browser with that `Cookie` header would send it. Raises OSError."""
        headers = {"Content-Type": "application/json"}
        if cookie is not None:
            headers["Cookie"] = cookie
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=within_s)
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        said = json.loads(content) if content else {}
        errors = said.get("errors") or [{}]
        return Answer(
            status=response.status,
            data=said.get("data"),
            code=errors[0].get("extensions", {}).get("code"),
            cookie=_cookie(response.headers.get_all("Set-Cookie", [])),
        )

    def as_admin(self, method: str, path: str, body: Any = None) -> Any:
        """The data of a request that the installation's own administrator makes."""
        answer = self.ask(method, path, body, token=self._admin_token)
        assert answer.status in {200, 204}, f"{method} {path}: {answer}"
        return answer.data

    def _session(self, path: str, body: Any, cookie: str | None = None) -> str:
        answer = self.ask("POST", path, body, cookie=cookie)
        assert answer.cookie, f"no session: {answer}"
        return answer.cookie

    def snapshot(self) -> str:
        """The schema as Directus itself writes it down."""
        file = self._data / "read-back.yaml"
        self._run("schema", "snapshot", "--yes", str(file))
        return file.read_text(encoding="utf-8")

    # ---------------------------------------------------------------------------- the process

    def _prepare(self) -> None:
        # Where extensions of its own would be named; it complains of a folder without one.
        (self._data / "package.json").write_text('{"private": true}\n')
        made = sql.fetch(self.database_url, "SELECT to_regclass('directus_users') AS users")
        if made[0]["users"] is None:
            self._run("bootstrap")
            self._run("schema", "apply", "--yes", str(self._given_snapshot()))
            sql.execute(self.database_url, (SCHEMA / "extra.sql").read_text(encoding="utf-8"))

    def _given_snapshot(self) -> Path:
        # In the data folder: a clone may lie where the user nobody may not read.
        copy = self._data / "snapshot.yaml"
        copy.write_bytes((SCHEMA / "snapshot.yaml").read_bytes())
        copy.chmod(0o644)
        return copy

    def _run(self, *arguments: str) -> None:
        process = self._spawn([*self._program(), *arguments])
        if process.wait(READY_WITHIN_S):
            raise NotStarted(f"{self._called}, {arguments[0]}: {self._last_words()}")

    def _make_role(self) -> None:
        role = self.as_admin("POST", "/roles", {"name": ROLE})
        policy = {
            "name": ROLE,
            "admin_access": False,
            "app_access": False,
            "roles": [{"role": role["id"]}],
            "permissions": PERMISSIONS,
        }
        self.as_admin("POST", "/policies", policy)

    def _command(self) -> list[str]:
        return [*self._program(), "start"]

    def _program(self) -> list[str]:
        # Not `directus`, which first asks a registry for newer versions. The folder for Node's
        # diagnostics puts the data folder on the command line.
        program = self.programs["node_modules/@directus/api/dist/cli/run.js"]
        return [str(self.programs["node"]), f"--diagnostic-dir={self._data}", str(program)]

    def _environment(self) -> Mapping[str, str]:
        # Of ours only what every program needs: HOST, PORT, SECRET or REDIS would be settings.
        inherited = {
            name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ
        }
        return {
            **inherited,
            "HOME": str(self._data),
            "NODE_ENV": "production",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "PUBLIC_URL": self.url,
            "DB_CLIENT": "pg",
            "DB_CONNECTION_STRING": self.database_url,
            "SECRET": self.secret,
            "ADMIN_EMAIL": ADMIN,
            "ADMIN_PASSWORD": self.secret,
            "ADMIN_TOKEN": self._admin_token,
            "ROBOTS_TXT": self._mark,
            "LOG_LEVEL": "warn",
            "TELEMETRY": "false",
            "SERVE_APP": "false",
            "EMAIL_VERIFY_SETUP": "false",
            "PRESSURE_LIMITER_ENABLED": "false",
            "LOGIN_STALL_TIME": "0",  # else every login takes half a second
            **self._settings,
        }

    @property
    def _admin_token(self) -> str:
        return f"admin-{self.secret}"

    def _ready(self, pid: int) -> bool:
        # By a mark that only this one has: another server may have taken the port before us.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/robots.txt")
            return self._mark.encode() in connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _cookie(set_cookies: list[str]) -> str | None:
    for each in set_cookies:
        pair = each.partition(";")[0]
        if pair.startswith(f"{COOKIE}=") and pair != f"{COOKIE}=":
            return pair
    return None
