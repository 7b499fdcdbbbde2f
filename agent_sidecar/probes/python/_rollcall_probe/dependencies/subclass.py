"""Classes whose calls are counted, made of types of C that cannot be changed: subclasses with the same name.

What was an instance of the type stays one, and C code takes it. Between a class of the application and the type is put one of
ours, so that its `super()` comes by; and one on top of it, for those that call the type by its name. Of two that count the same
call the outer does.
"""

from __future__ import annotations


class Subclasses:
    """The counted subclasses of `root` and of the application's own subclasses; `members(base)` gives what they override."""

    def __init__(self, root, members) -> None:
        self.root = root
        self._members = members
        self._made = {root: _subclass((root,), members(root))}
        self._own = set(self._made.values())

    def of(self, base):
        """The counted subclass of `base`; what is no subclass of the root stays what it is (a function that makes them)."""
        if base in self._own or not isinstance(base, type) or not issubclass(base, self.root):
            return base
        found = self._made.get(base)
        if found is None:
            members = self._members(base)
            changed = {name: members[name] for name in members if getattr(base, name) is not getattr(self.root, name)}
            found = self._made[base] = _subclass((base, self._made[self.root]), changed)
            self._own.add(found)
        return found


def _subclass(bases, members):
    first = bases[0]
    shown = {"__module__": first.__module__, "__qualname__": first.__qualname__, "__doc__": first.__doc__}
    return type(first.__name__, bases, dict(members, **shown))
