"""The admission webhook: `POST /inject` answers with the patch that puts the agent into a new pod, and so does `/inject/again`,
which the API server asks when the first answer was lost, and once more about pods that are not ours.

It never denies. `failurePolicy: Ignore` covers a webhook that cannot be reached, not one that says no, so every path, a crash
of our own included, answers 200 and `allowed: true`, with a warning and a reason for people and a count for the metrics. What
to do with a pod is decided in `rollcall.inject`.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from aiohttp import web

from rollcall.api import MonitoredService
from rollcall.inject import names
from rollcall.inject.decide import EXPLANATIONS, Decision, Reason
from rollcall.inject.patch import Injection, Operation, annotate, inject
from rollcall.inject.render import InjectSettings
from rollcall.inject.shape import is_readable

MAX_BODY_BYTES = 8 * 1024 * 1024
READ_S = 3.0
"""For the whole of a question; the API server waits no longer for the answer."""
_LONGEST_WARNING = 256
_NO_REVIEW = (
    web.HTTPRequestEntityTooLarge, msgspec.DecodeError, ValueError, RecursionError, LookupError, TypeError, TimeoutError,
)  # fmt: skip
"""What reading a body that is none raises."""

log = logging.getLogger(__name__)


class DecisionObserver(Protocol):
    """Told about every decision; dry runs are left out."""

    def on_decision(self, namespace: str, reason: str, seconds: float) -> None: ...


FindServices = Callable[[str], Sequence[MonitoredService]]
Look = Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Webhook:
    """The handlers and what they need."""

    find_services: FindServices
    look: Look
    settings: Callable[[], InjectSettings]
    observer: DecisionObserver
    is_ready: Callable[[], bool]

    async def inject(self, request: web.Request) -> web.Response:
        """Answers an AdmissionReview (admission.k8s.io/v1); always 200 and allowed."""
        return await self._answered(request, again=False)

    async def inject_again(self, request: web.Request) -> web.Response:
        """The same; what is not ours was counted at the first time."""
        return await self._answered(request, again=True)

    async def _answered(self, request: web.Request, again: bool) -> web.Response:
        started = time.perf_counter()
        review = await _asked(request)
        namespace = _text(review.get("namespace")) or _text(_metadata(review).get("namespace"))
        injection = self._injection(review, namespace)
        if injection.decision.reason is Reason.NO_MATCHING_SERVICE:
            await self._look(namespace)
            injection = self._injection(review, namespace)
        counted = again and injection.decision.reason is Reason.NO_MATCHING_SERVICE
        if review.get("dryRun") is not True and not counted:
            self._observe(namespace, injection.decision.reason, time.perf_counter() - started)
        return web.json_response(
            _answer(_text(review.get("uid")), injection), dumps=lambda value: msgspec.json.encode(value).decode()
        )

    async def readyz(self, request: web.Request) -> web.Response:
        """200 when the operator is ready to inject, 503 before."""
        return web.Response(text="ok") if self.is_ready() else web.Response(status=503, text="not ready")

    def _injection(self, review: dict[str, Any], namespace: str) -> Injection:
        if review.get("operation", "CREATE") != "CREATE":
            return Injection(Decision(Reason.NO_MATCHING_SERVICE))
        pod = review.get("object")
        try:
            return inject(pod, self.find_services(namespace), self.settings())
        except Exception:
            log.exception("injection failed in namespace %s", namespace)
            return _failed(pod)

    async def _look(self, namespace: str) -> None:
        """The service of this pod may be newer than what we heard of."""
        try:
            await self.look(namespace)
        except Exception:
            log.exception("looking for the services of namespace %s failed", namespace)

    def _observe(self, namespace: str, reason: Reason, seconds: float) -> None:
        try:
            self.observer.on_decision(namespace, reason.value, seconds)
        except Exception:
            log.exception("counting an injection decision failed")


def make_webhook_app(
    find_services: FindServices,
    look: Look,
    settings: Callable[[], InjectSettings],
    observer: DecisionObserver,
    is_ready: Callable[[], bool] = lambda: True,
) -> web.Application:
    """The application with `POST /inject`, `POST /inject/again` and `GET /readyz`.

    `find_services` gives the MonitoredServices of a namespace from memory; it is called for every pod and must not block.
    `look` brings them up to date, for a pod that none of them selects.
    `settings` is asked every time, so that what the operator learns about the cluster takes effect at once.
    """
    webhook = Webhook(find_services, look, settings, observer, is_ready)
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post("/inject", webhook.inject)
    app.router.add_post("/inject/again", webhook.inject_again)
    app.router.add_get("/readyz", webhook.readyz)
    return app


async def _asked(request: web.Request) -> dict[str, Any]:
    """The `request` part of the AdmissionReview, empty when the body is none."""
    try:
        async with asyncio.timeout(READ_S):
            body = await request.read()
        asked = msgspec.json.decode(body)["request"]
    except _NO_REVIEW as error:
        log.warning("a request to the webhook was no AdmissionReview: %s", type(error).__name__)
        return {}
    return asked if isinstance(asked, dict) else {}


def _failed(pod: object) -> Injection:
    patch = annotate(pod, {names.SKIPPED_ANNOTATION: Reason.FAILED.value}) if is_readable(pod) else []
    warning = f"rollcall: no agent in this pod ({Reason.FAILED}): {EXPLANATIONS[Reason.FAILED]}"
    return Injection(Decision(Reason.FAILED), tuple(patch), (warning,))


def _answer(uid: str, injection: Injection) -> dict[str, Any]:
    response: dict[str, Any] = {
        "uid": uid,
        "allowed": True,
        "auditAnnotations": {"decision": injection.decision.reason.value},
    }
    if injection.patch:
        response |= {"patchType": "JSONPatch", "patch": _encoded(injection.patch)}
    if injection.warnings:
        response["warnings"] = [warning[:_LONGEST_WARNING] for warning in injection.warnings]
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


def _encoded(patch: Sequence[Operation]) -> str:
    return base64.b64encode(msgspec.json.encode(patch)).decode()


def _metadata(review: dict[str, Any]) -> dict[str, Any]:
    pod = review.get("object")
    metadata = pod.get("metadata") if isinstance(pod, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
