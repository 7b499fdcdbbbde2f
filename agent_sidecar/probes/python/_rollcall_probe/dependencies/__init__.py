"""Counts the calls that an application makes of databases, caches and remote services, one module for each kind of them.

Each is put in when the library is imported (see `hooks.PATCHES`), counts a call from its begin to its end, and gives up alone,
with one line on stderr, when something of it fails. What the application gets is what the library returned or raised.
"""
