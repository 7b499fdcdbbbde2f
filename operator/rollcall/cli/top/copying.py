"""`c`: what is on the screen as a command for a shell, to send to somebody. Only commands that read."""

from __future__ import annotations

import shlex

from .picture import Pod, Service
from .session import Session

_WORDS = {"dependencies": "deps"}


def command_of(session: Session) -> str:
    """The command that shows what the cursor is on."""
    place, here = session.place, session.listing.here
    kubectl = f"kubectl {session.options}".strip()
    found = session.listing.filter
    if found is not None and found.labels.terms and session.listing.table.labels is not None:
        return _selected(session, kubectl, shlex.quote(str(found.labels)))
    if isinstance(here, Service):
        return f"{kubectl} -n {here.namespace} get monitoredservice {here.name} -o yaml"
    if not place.service:
        return f"{kubectl} get monitoredservices " + (f"-n {place.namespace}" if place.namespace else "-A")
    if isinstance(here, Pod):
        return f"{kubectl} -n {place.namespace} describe pod {shlex.quote(here.name)}"
    if place.pod and session.pod is not None:
        return f"kubectl rollcall why {shlex.quote(session.pod.name)} -n {place.namespace} {session.options}".strip()
    part = _WORDS.get(session.part, session.part)
    return f"kubectl rollcall {part} {place.service} -n {place.namespace} {session.options}".strip()


def _selected(session: Session, kubectl: str, labels: str) -> str:
    """What the filter's labels select; a row of it is copied without the filter."""
    place = session.place
    if not place.service:
        return f"{kubectl} get monitoredservices {f'-n {place.namespace}' if place.namespace else '-A'} -l {labels}"
    return f"kubectl rollcall {session.part} {place.service} -n {place.namespace} -l {labels} {session.options}".strip()
