"""The probe's package is importable here as it is in an application; operator and pod are those of the agent's tests."""

from __future__ import annotations

import sys

from tests.unit.agent.conftest import certificate, operator, pod
from tests.unit.agent.pod import PROBE

sys.path.append(str(PROBE))

__all__ = ["certificate", "operator", "pod"]
