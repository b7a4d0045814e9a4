"""Programs that are measured beside the processor."""
