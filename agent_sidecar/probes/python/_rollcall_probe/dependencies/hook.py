"""One library's hook, and what it puts around the library's functions.

A call that is made within another one is that one's business (`begin_call` gives None): the outermost counts.
"""

from __future__ import annotations

import functools

from .. import recorder
from .reasons import reason_of


class Hook:
    """Counts the calls of one library until something of it fails."""

    def __init__(self, library: str) -> None:
        self.library = library
        self.on = True

    def fail(self, error) -> None:
        """Count no further call of this library, and say why in one line."""
        if self.on:
            self.on = False
            recorder.say("calls by %s are not counted any more" % self.library, error)

    def begin(self, name_of, *what):
        """The record of a call of dependency `name_of(*what)`; None when it is not counted."""
        current = recorder.current
        if current is None or not self.on:
            return None
        try:
            name = name_of(*what)
            return None if name is None else current.begin_call(name)
        except Exception as error:
            self.fail(error)
            return None

    def failed(self, record, error) -> None:
        """The call raised."""
        try:
            record.end(reason_of(error))
        except Exception as problem:
            record.end(0)
            self.fail(problem)

    def settle(self, record, function, result) -> None:
        """The call returned; `function(record, result)` ends it."""
        try:
            function(record, result)
        except Exception as problem:
            record.end(None)
            self.fail(problem)

    def around(self, original, name_of, settle=None):
        """`original`, each run of it a call of dependency `name_of(self, args, kwargs)`; None there: no call.

        What is returned ends it well, unless `settle(record, result)` says otherwise.
        """

        @functools.wraps(original)
        def call(self, *args, **kwargs):
            record = begin(name_of, self, args, kwargs)
            if record is None:
                return original(self, *args, **kwargs)
            try:
                result = original(self, *args, **kwargs)
            except BaseException as error:
                failed(record, error)
                raise
            if settle is None:
                record.end(None)
            else:
                settled(record, settle, result)
            return result

        begin, failed, settled = self.begin, self.failed, self.settle
        return call

    def around_async(self, original, name_of, settle=None):
        """The same for a function that is awaited."""

        @functools.wraps(original)
        async def call(self, *args, **kwargs):
            record = begin(name_of, self, args, kwargs)
            if record is None:
                return await original(self, *args, **kwargs)
            try:
                result = await original(self, *args, **kwargs)
            except BaseException as error:
                failed(record, error)
                raise
            if settle is None:
                record.end(None)
            else:
                settled(record, settle, result)
            return result

        begin, failed, settled = self.begin, self.failed, self.settle
        return call

    def patch(self, owner, name_of, *methods, settle=None) -> None:
        """Count each run of these methods of a class that are its own; at least one has to be there."""
        self._patch(self.around, owner, name_of, methods, settle)

    def patch_async(self, owner, name_of, *methods, settle=None) -> None:
        """The same for methods that are awaited."""
        self._patch(self.around_async, owner, name_of, methods, settle)

    def _patch(self, around, owner, name_of, methods, settle) -> None:
        own = [method for method in methods if method in vars(owner)]
        if not own:
            raise AttributeError("%s has none of %s" % (owner.__name__, ", ".join(methods)))
        for method in own:
            setattr(owner, method, around(vars(owner)[method], name_of, settle))


def waited(record, _) -> None:
    """For `settle`: it was waited for, but is no call to be counted (a connection that was made)."""
    record.drop()


def remembered(read):
    """A function that gives what `read(owner)` gave for the same object before, and keeps it on the object."""

    def name_of(owner, *_):
        try:
            return owner._rollcall_name
        except AttributeError:
            name = read(owner)
            owner._rollcall_name = name
            return name

    return name_of
