"""The one error that the harness raises on purpose.

Its text is a single sentence for the person at the terminal: what cannot be done, and why.
"""


class HarnessError(Exception):
    """The harness cannot do what was asked; `str(error)` says what and why in one sentence."""
