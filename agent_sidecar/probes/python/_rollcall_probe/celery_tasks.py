"""Counts the tasks of Celery's workers like requests: endpoint `TASK <name of the task>`.

By Celery's own signals. A task that is run in place (`apply`, `task_always_eager`) belongs to the request that runs it.
"""

from __future__ import annotations

from . import failures, recorder

_OK = 200
"""What a task that ended well is counted as; one that failed counts like a request that crashed."""
_running = {}


def signals(module) -> None:
    """Connect to the signals of `celery.signals`."""
    module.task_prerun.connect(_begun, weak=False, dispatch_uid="rollcall")
    module.task_failure.connect(_failed, weak=False, dispatch_uid="rollcall")
    module.task_postrun.connect(_ended, weak=False, dispatch_uid="rollcall")


def _begun(task_id=None, task=None, **_) -> None:
    try:
        if task.request.is_eager:
            return
        record = recorder.begin("TASK")
        if record is not None:
            record.name(task.name)
            _running[task_id] = record
    except Exception as error:
        recorder.disable(error)


def _failed(task_id=None, exception=None, **_) -> None:
    record = _running.get(task_id)
    if record is not None:
        failures.note(record, exception)
        record.crash()


def _ended(task_id=None, **_) -> None:
    """However it ended: a task that is to be tried again has done its part as well."""
    record = _running.pop(task_id, None)
    if record is not None:
        if not record.status:
            record.status = _OK
        record.finish()
