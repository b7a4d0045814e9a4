"""What happened, as numbers for Prometheus. The table in docs/OPERATIONS.md is made from these.

Every series exists from the start, at 0: a rate over a counter that is born with its first error
does not see that error. Label values come from closed sets; none holds a device, a user or an
event.
"""
