"""Rollcall's control plane: the operator, its live API and the command line that reads it."""

from rollcall_agent import __version__

__all__ = ["__version__"]
