"""Machinery without effects: values, decisions and the loop; not a word of Redis or PostgreSQL."""
