"""The heart of a rally-tracking platform: from a stream of fixes to rows that nobody loses."""

__version__ = "0.1.0"
