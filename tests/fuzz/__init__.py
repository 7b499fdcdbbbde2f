"""Guided fuzzing of what strangers may send: see `python -m tests.fuzz --help`."""
