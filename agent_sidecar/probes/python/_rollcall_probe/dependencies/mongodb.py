"""MongoDB by PyMongo, called and awaited: each command, by PyMongo's own listener; and waiting for a server that takes them."""

from __future__ import annotations

from .. import native, recorder
from .hook import Hook, remembered, waited
from .reasons import ERROR, REFUSED, THROTTLED, TIMEOUT

_hook = Hook("pymongo")
_CODES = {50: TIMEOUT, 89: TIMEOUT, 262: TIMEOUT, 16500: THROTTLED}
"""MaxTimeMSExpired, NetworkTimeout, ExceededTimeLimit; TooManyRequests (of services that speak MongoDB's protocol)."""
_MOST_OPEN = 1000
_LEFT_OUT = "endSessions"
"""Of a client that is closed."""


def pymongo(module) -> None:
    """`pymongo.monitoring`."""

    class Listener(module.CommandListener):
        """Begins and ends a call where PyMongo tells of a command."""

        def __init__(self) -> None:
            self._open = {}

        def started(self, event) -> None:
            current = recorder.current
            if current is None or not _hook.on or event.command_name == _LEFT_OUT:
                return
            try:
                record = current.begin_event("mongodb " + event.database_name)
                if record is not None:
                    if len(self._open) >= _MOST_OPEN:  # of some no end was told
                        self._open.clear()
                    self._open[event.request_id] = record
            except Exception as error:
                _hook.fail(error)

        def succeeded(self, event) -> None:
            record = self._open.pop(event.request_id, None)
            if record is not None:
                record.end(None)

        def failed(self, event) -> None:
            record = self.taken(event)
            if record is not None:
                try:
                    record.end(_reason(event.failure))
                except Exception as error:
                    record.end(ERROR)
                    _hook.fail(error)

        def taken(self, event):
            """The record of the call that this event ends, or None."""
            return self._open.pop(event.request_id, None)

    module.register(_quick(Listener(), module.CommandStartedEvent))


_FIELDS = (
    ("_CommandEvent__rqst_id", "request_id"),
    ("_CommandEvent__cmd_name", "command_name"),
    ("_CommandEvent__db", "_CommandStartedEvent__db", "database_name"),
)
"""Where an event has what we ask for: the fields themselves where they are known, for properties are functions of Python."""


def _quick(listener, kind):
    """The listener, whose work is done by native code where there is some."""
    found = native.module()
    if found is not None:
        fields = tuple(next(name for name in names if hasattr(kind, name)) for names in _FIELDS)
        events = found.events(vars(recorder), _hook, type(listener)(), "mongodb ", _LEFT_OUT, fields)
        listener.started, listener.succeeded, listener.taken = events.started, events.succeeded, events.taken
    return listener


def _reason(failure) -> int:
    reason = _CODES.get(failure.get("code"))
    if reason is not None:
        return reason
    text = "%s %s" % (failure.get("errtype", ""), failure.get("errmsg", ""))
    if "Timeout" in text or "timed out" in text:
        return TIMEOUT
    return REFUSED if "onnection refused" in text else ERROR


def _read_name(topology) -> str:
    hosts = sorted(topology._settings.seeds)
    host, port = hosts[0]
    return "mongodb " + (host if port in (27017, None) else "%s:%s" % (host, port))


def pymongo_topology(module) -> None:
    """`pymongo.topology`, or the one of the called API: no command is begun while there is no server, which may last."""
    _hook.patch(module.Topology, remembered(_read_name), "select_server", settle=waited)


def pymongo_topology_async(module) -> None:
    """The one of the awaited API."""
    _hook.patch_async(module.Topology, remembered(_read_name), "select_server", settle=waited)
