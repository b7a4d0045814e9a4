"""What is logged: how a line looks, and which lines the happenings of core become."""

from processor.adapters.logs.lines import configure, say
from processor.adapters.logs.observer import Logs

__all__ = ["Logs", "configure", "say"]
