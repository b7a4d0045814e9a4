"""The demo's rally in the business tables: one organisation, one event, a car for each device."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from processor.entrypoints.demo import sql
from processor.entrypoints.demo.office import RallyOffice

FIRST_RACE_NUMBER = 301


def entered(database_url: str, devices: Sequence[str]) -> str:
    """Make the tables and enter the field; the event's id."""
    sql.execute(database_url, business_tables())
    office = RallyOffice(database_url)
    event = office.event(office.organization(), "Around Višnjan")
    category = office.category(event, "C-1")
    for number, imei in enumerate(devices, FIRST_RACE_NUMBER):
        entry = office.entry(event, category, race_number=number, status="started")
        office.fit(entry, office.device(imei))
    return event


def business_tables() -> str:
    """Directus's tables as SQL: from the wheel, or from the source checkout."""
    file = files("processor") / "schema" / "tables.sql"
    if not file.is_file():
        file = Path(__file__).parents[4] / "schema" / "tables.sql"
    return file.read_text(encoding="utf-8")
