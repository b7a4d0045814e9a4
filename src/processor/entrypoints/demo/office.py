"""The rally office: who organises what, who competes, and with which device, entered by SQL.

It writes the business tables as Directus's users would, in a database with Directus or in one that
only ran schema/tables.sql. Names, numbers and IMEIs that nobody gave are unique, so many rallies
find room in one database.
"""

import secrets
from datetime import UTC, datetime, timedelta

import attrs

from processor.entrypoints.demo import sql

AROUND_NOW = timedelta(hours=12)  # an event that nobody dated began as long ago, and ends then


@attrs.frozen
class Device:
    """`id` is that of devices; `imei` is the name that its positions bear."""

    id: str
    imei: str


class RallyOffice:
    """Each method inserts one row and returns its id, a uuid as text."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url

    def organization(self, name: str = "Rally club") -> str:
        return self._insert("organizations", name=name, slug=f"club-{secrets.token_hex(6)}")

    def admit(self, organization: str, person: str, role: str = "viewer") -> str:
        """Make a user, by the id of directus_users, a member."""
        return self._insert(
            "organization_users", organization_id=organization, user_id=person, role=role
        )

    def dismiss(self, organization: str, person: str) -> None:
        sql.fetch(
            self._url,
            "DELETE FROM organization_users WHERE organization_id = $1 AND user_id = $2",
            organization,
            person,
        )

    def event(
        self,
        organization: str,
        name: str = "Rally",
        *,
        discipline: str = "rally",
        starts_at: datetime | None = None,
        ends_at: datetime | None = None,
    ) -> str:
        now = datetime.now(UTC)
        return self._insert(
            "events",
            organization_id=organization,
            name=name,
            slug=f"rally-{secrets.token_hex(6)}",
            discipline=discipline,
            starts_at=starts_at or now - AROUND_NOW,
            ends_at=ends_at or now + AROUND_NOW,
        )

    def category(self, event: str, code: str | None = None) -> str:
        """A class of the event."""
        code = code or f"C-{secrets.token_hex(4)}"
        return self._insert("classes", event_id=event, code=code, name=f"Class {code}")

    def entry(
        self,
        event: str,
        category: str | None = None,
        *,
        race_number: int | None = None,
        status: str = "confirmed",
    ) -> str:
        """An entry, in a class of its own if none is given."""
        return self._insert(
            "entries",
            event_id=event,
            class_id=category or self.category(event),
            race_number=1 + secrets.randbelow(2**31 - 1) if race_number is None else race_number,
            status=status,
        )

    def device(self, imei: str | None = None, model: str = "FMB920") -> Device:
        imei = imei or f"35{secrets.randbelow(10**13):013}"
        return Device(id=self._insert("devices", imei=imei, model=model), imei=imei)

    def fit(
        self,
        entry: str,
        device: Device,
        *,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        priority: int | None = None,
        worn_by: str | None = None,
    ) -> str:
        """Assign the device to the entry, for ever where no interval is given."""
        return self._insert(
            "entry_devices",
            entry_id=entry,
            device_id=device.id,
            assigned_user_id=worn_by,
            valid_from=valid_from,
            valid_to=valid_to,
            priority=priority,
        )

    def take_out(self, entry: str, device: Device) -> None:
        """Forget that the device was ever assigned to the entry."""
        sql.fetch(
            self._url,
            "DELETE FROM entry_devices WHERE entry_id = $1 AND device_id = $2",
            entry,
            device.id,
        )

    def _insert(self, table: str, **columns: object) -> str:
        names = ", ".join(columns)
        places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
        rows = sql.fetch(
            self._url,
            f"INSERT INTO {table} ({names}) VALUES ({places}) RETURNING id",  # noqa: S608 - ours
            *columns.values(),
        )
        return str(rows[0]["id"])
