"""The sport: values and pure functions, with no server anywhere.

    course, rules and tracks  ->  crossings  ->  timing  ->  penalties  ->  results

Each room knows only those before it. Everything is a function of what was stored: no clock, no
chance, no order of arrival. Instants are whole microseconds since 1970 UTC (`instants.py`),
distances metres, speeds km/h where a device or an official says them and m/s inside the geometry,
coordinates degrees WGS 84, money of the sport (seconds of penalty) `Decimal`.
"""
