"""Agents in: connections, identity, reports into rows.

`server`    the TLS listener and its counters
`agent`     one connection: frames, limits, acknowledgements
"""
