"""Rollcall's control plane: the operator, its live API and the command line that reads it."""
