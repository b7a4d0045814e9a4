"""`make accuracy`: how right the instants of crossings are; see __main__.py."""
