"""Of all tests: property tests try the same examples in each run, so that a commit that passed passes again. `make fuzz` looks
for new ones."""

import os

import pytest
from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("fuzz", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile("fuzz" if os.environ.get("ROLLCALL_FUZZ") == "1" else "same")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of our own."""
    parser.addoption("--images", action="store_true", help="write the pictures of the page into docs/images")
