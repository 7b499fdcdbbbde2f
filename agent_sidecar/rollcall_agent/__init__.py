"""Rollcall's agent: the sidecar that reads what the probes write and reports it twice a second.

Only the standard library is imported here, because every import is paid for in every pod of the fleet.
"""

__version__ = "0.1.0"
