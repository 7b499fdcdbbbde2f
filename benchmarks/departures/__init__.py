"""Why pods left, against what was done to them; see `__main__`."""
