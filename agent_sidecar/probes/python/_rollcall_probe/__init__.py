"""Rollcall's probe: counts the requests of a Python web process into a memory-mapped file, for less than 5 µs each.

`hooks` arms it, `servers` and `frameworks` say where it is put in, `wsgi` and `asgi` follow a request, `recorder` counts.
Python 3.8, standard library only; nothing in here may raise into the application. `wire` and `ledger` are the agent's files.
"""
