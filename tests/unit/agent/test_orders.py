"""What the operator orders is done in the pod, once, and undone."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rollcall_agent.install import install
from rollcall_agent.orders import Orders, visitors_text
from tests.unit.agent.pod import SIDECAR

KEY = "ab" * 32


@pytest.fixture
def pod(tmp_path: Path) -> tuple[Orders, Path, Path]:
    """(orders, the agent's folder, the probes' folder), with the real probes installed."""
    state, probes = tmp_path / "agent", tmp_path / "probes"
    state.mkdir()
    probes.mkdir()
    install(str(SIDECAR / "probes"), str(probes))
    return Orders(str(state), str(probes)), state, probes


def test_visitors_are_told_to_the_probes_and_taken_back(pod: tuple[Orders, Path, Path]) -> None:
    orders, state, _ = pod
    orders.obey({"visitors": {"from": "cookie:sid", "key": KEY}})
    assert (state / "visitors").read_text() == f"cookie:sid\n{KEY}\n"
    assert stat.S_IMODE((state / "visitors").stat().st_mode) == 0o644, "every container's user reads it"
    orders.obey({"visitors": None})
    assert not (state / "visitors").exists()
    orders.obey({})


@pytest.mark.parametrize(
    "order",
    [
        None,
        "cookie:sid",
        {"from": "cookie:sid"},
        {"from": "cookie:", "key": KEY},
        {"from": "elsewhere", "key": KEY},
        {"from": "cookie:sid\nclientIP", "key": KEY},
        {"from": "cookie:sid", "key": "xyz"},
        {"from": "cookie:sid", "key": "abc"},
        {"from": "cookie:sid", "key": ""},
        {"from": "cookie:sid", "key": "ab" * 100},
        {"from": "cookie:" + "s" * 300, "key": KEY},
        {"from": "header:ä", "key": KEY},
        {"from": 5, "key": KEY},
    ],
)
def test_what_is_no_order_counts_no_visitors(order: object) -> None:
    assert visitors_text(order) == ""


def starts_with_probe(probes: Path) -> bool:
    """Whether a Python that starts now has the probe."""
    code = "import sys; print('_rollcall_probe.hooks' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(probes / "python")}, capture_output=True, text=True, timeout=20
    )
    assert done.stderr == ""
    return done.stdout == "True\n"


def test_probes_are_taken_out_and_put_back(pod: tuple[Orders, Path, Path]) -> None:
    orders, state, probes = pod
    script = (probes / "php/rollcall.php").read_bytes()
    assert starts_with_probe(probes)
    for order in ("off", "off", "nonsense"):
        orders.obey({"probe": order})
        assert not starts_with_probe(probes)
        assert (probes / "php/rollcall.php").read_bytes() == (probes / "php/empty.php").read_bytes(), (
            "php-fpm still includes it"
        )
    again = Orders(str(state), str(probes))  # another process of the agent
    again.obey({"probe": "off"})
    again.obey({"probe": "on"})
    again.obey({"probe": "on"})
    assert starts_with_probe(probes)
    assert (probes / "php/rollcall.php").read_bytes() == script


def test_a_folder_that_is_missing_is_said_and_does_no_harm(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    orders = Orders(str(tmp_path / "nowhere"), str(tmp_path / "no-probes"))
    orders.obey({"visitors": {"from": "clientIP", "key": KEY}, "probe": "off"})
    assert "was not carried out" in capfd.readouterr().err


@pytest.mark.parametrize(("prepended", "output"), [("{file}", "before"), ("", ""), ("none", ""), ("/missing.php", "")])
def test_the_empty_script_of_php_runs_what_php_ini_itself_has(tmp_path: Path, prepended: str, output: str) -> None:
    own = tmp_path / "own.php"
    own.write_text("<?php echo 'before';")
    (tmp_path / "php.ini").write_text(f"rollcall.prepended={prepended.format(file=own)}\n")
    words = ["php", "-c", str(tmp_path / "php.ini"), str(SIDECAR / "probes/php/empty.php")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")
