"""A TLS operator on loopback and a pod that reports to it, each made anew for a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.agent.fake_operator import FakeOperator, make_certificate
from tests.unit.agent.pod import Pod


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """CA and key of the operator; the host name is `localhost`."""
    return make_certificate(tmp_path_factory.mktemp("operator"))


@pytest.fixture
def operator(certificate: tuple[Path, Path]) -> Iterator[FakeOperator]:
    """An operator that welcomes and acknowledges."""
    with FakeOperator(certificate) as fake:
        yield fake


@pytest.fixture
def pod(tmp_path: Path, operator: FakeOperator, certificate: tuple[Path, Path]) -> Iterator[Pod]:
    """A pod whose agent is not started yet."""
    with Pod(tmp_path, f"localhost:{operator.port}", certificate[0]) as made:
        yield made
