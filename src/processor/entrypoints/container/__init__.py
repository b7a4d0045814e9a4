"""Which part gets which: what the process has, then one table per role, in the order of the data.

Only Singleton, Factory, Selector, Object and Dependency occur, and nothing here opens or waits.
mypy cannot see into the tables, so a test builds every provider of them.
"""

from processor.entrypoints.container.ingest import IngestRole
from processor.entrypoints.container.live import LiveRole
from processor.entrypoints.container.process import CHECKS, RETRY_REASONS, Audience, Process

__all__ = ["CHECKS", "RETRY_REASONS", "Audience", "IngestRole", "LiveRole", "Process"]
