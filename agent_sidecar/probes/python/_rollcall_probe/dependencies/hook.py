"""One library's hook, and what it puts around the library's functions.

A call that is made within another one is that one's business (`begin_call` gives None): the outermost counts.

Where the recorder is native, so is what is put around a function (native/around.c): it asks this module only for what is rare,
and begins and ends all other calls without a frame of Python.
"""

from __future__ import annotations

import functools

from .. import native, recorder
from .reasons import reason_of, reason_of_status


class Hook:
    """Counts the calls of one library until something of it fails."""

    def __init__(self, library: str) -> None:
        self.library = library
        self.on = True
        self.is_in = False
        """Whether the library's functions that send statements are replaced; said by hooks of drivers."""

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
        """The call returned; `function(record, result)` ends it, well where there is none."""
        if function is None:
            record.end(None)
            return
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
            settled(record, settle, result)
            return result

        begin, failed, settled = self.begin, self.failed, self.settle
        return self._native(original, call, name_of, settle) or call

    def around_async(self, original, name_of, settle=None):
        """The same for a function that is awaited."""

        @functools.wraps(original)
        async def call(self, *args, **kwargs):
            record = begin(steps, self, args, kwargs)
            if record is None:
                return await original(self, *args, **kwargs)
            try:
                result = await original(self, *args, **kwargs)
            except BaseException as error:
                failed(record, error)
                raise
            settled(steps, record, result)
            return result

        steps, failed = self._native(original, call, name_of, settle), self.failed
        if steps is None:
            begin, steps = self.begin, name_of

            def settled(_, record, result):
                self.settle(record, settle, result)

        else:
            begin, settled = native.module().begin, native.module().settled
        return call

    def _native(self, original, fallback, name_of, settle):
        """What native code puts around `original`, None where there is none."""
        module = native.module()
        if module is None:
            return None
        path, status = getattr(name_of, "path", None), getattr(settle, "attribute", None)
        names = name_of, path, getattr(name_of, "asked", None)
        return module.around(original, fallback, vars(recorder), self, *names, settle, status, settle is waited)

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


class Answered:
    """For `settle`: the HTTP status in this attribute of what was returned, and its `headers`, say how the call ended."""

    def __init__(self, attribute: str) -> None:
        self.attribute = attribute

    def __call__(self, record, response) -> None:
        record.end(reason_of_status(getattr(response, self.attribute), response.headers))


def remembered(read, *places):
    """A function that gives the name that is kept on an object: the owner, or what these attributes lead to from there.

    Where none is kept yet, it is what `read(object)` says.
    """

    def name_of(owner, args=(), kwargs=None):
        for place in places:
            owner = getattr(owner, place)
        try:
            return owner._rollcall_name
        except AttributeError:
            name = owner._rollcall_name = read(owner)
            return name

    name_of.path = (*places, "_rollcall_name")
    return name_of
