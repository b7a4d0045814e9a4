"""Hours of ordinary life with everything that goes wrong in it, and nothing may grow.

One `processor run` with the roles ingest and live on real servers. Trackers send all the time: more
of them than the process remembers, some records twice, some late, some bad. Browsers come and go,
listen, stop reading, talk nonsense, or come from a site that is not allowed. Metrics are scraped.
Redis and PostgreSQL are stopped and started in turns. Meanwhile the process is weighed every few
seconds (`weighing.py`), and at the end it is judged (`judging.py`): memory by a line through the
second half, and what it holds at rest by what it held at rest before.
"""
