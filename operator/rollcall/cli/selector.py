"""Label selectors as kubectl's `-l` takes them: `app=feed,track!=canary,env in (prod,stage),tier notin (db),owner,!legacy`.

The grammar is that of Kubernetes ("Labels and Selectors" of its documentation; `>` and `<` are what its API server reads
besides). Own code, because the command line may not import the operator, and because whoever filters a screen is still writing:
terms come one by one, so that those which are whole count already.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

_APART = r"\s=!(),<>"
"""What cannot be in a key or in a value of a label."""
_BEGIN = re.compile(rf"\s*(!?)\s*([^{_APART}]*)\s*")
_SIGN = re.compile(r"(==|!=|=|>|<)\s*")
_SET = re.compile(rf"(in|notin)(?=[{_APART}]|$)\s*")
_WORD = re.compile(rf"([^{_APART}]*)\s*")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_INTEGER = re.compile(r"[0-9]{1,18}")
MOST_PREFIX = 253
RULE = "letters, digits, - _ and . between letters or digits, 63 at most"


class SelectorError(ValueError):
    """A selector that cannot be read; the text names the part that is wrong."""

    def __init__(self, part: str, says: str) -> None:
        super().__init__(f'"{part.strip()}": {says}' if part.strip() else says)


@dataclass(frozen=True)
class Term:
    """One condition. `sign` is `=`, `!=`, `in`, `notin`, `>`, `<`, `has` (the key alone) or `lacks` (`!key`)."""

    key: str
    sign: str
    values: tuple[str, ...] = ()

    def holds(self, value: str | None) -> bool:
        """Whether a label of that value meets it; None is no such label, which `!=` and `notin` are content with."""
        if self.sign in ("has", "lacks"):
            return (value is not None) is (self.sign == "has")
        if self.sign in ("!=", "notin"):
            return value not in self.values
        if value is None or self.sign in ("=", "in"):
            return value in self.values
        (bound,) = self.values
        if not (_INTEGER.fullmatch(value) and _INTEGER.fullmatch(bound)):
            return False
        return int(value) > int(bound) if self.sign == ">" else int(value) < int(bound)

    def __str__(self) -> str:
        if self.sign in ("in", "notin"):
            return f"{self.key} {self.sign} ({','.join(self.values)})"
        return {"has": self.key, "lacks": f"!{self.key}"}.get(self.sign, f"{self.key}{self.sign}{''.join(self.values)}")


@dataclass(frozen=True)
class Selector:
    """All conditions of a selector; without any it selects everything."""

    terms: tuple[Term, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet all of them.

        >>> parse("app=feed,track!=canary").matches({"app": "feed", "tier": "web"})
        True
        """
        return all(term.holds(labels.get(term.key)) for term in self.terms)

    def __str__(self) -> str:
        return ",".join(map(str, self.terms))


def parse(text: str) -> Selector:
    """A whole selector of labels; raises SelectorError."""
    return Selector(tuple(checked(term) for term in read(text)))


def checked(term: Term) -> Term:
    """The term, if labels can have such a key and such values; raises SelectorError."""
    prefix, slash, name = term.key.rpartition("/")
    if not _NAME.fullmatch(name):
        raise SelectorError(term.key, f"no key of a label: its name is {RULE}")
    if slash and not (len(prefix) <= MOST_PREFIX and _PREFIX.fullmatch(prefix)):
        raise SelectorError(term.key, f"no key of a label: {prefix or 'nothing'} before / is no DNS name in lower case")
    for value in term.values:
        if term.sign in ("<", ">") and not _INTEGER.fullmatch(value):
            raise SelectorError(str(term), f"{value or 'nothing'} after {term.sign} is no whole number")
        if value and not _NAME.fullmatch(value):
            raise SelectorError(str(term), f"{value} is no value of a label: {RULE}")
    return term


def read(text: str, free: Container[str] = ()) -> Iterator[Term]:
    """The terms one by one; raises SelectorError at the first that cannot be read. Values of the keys in `free` may be any
    text up to the next comma, such as the name of an endpoint; whether others can be labels is for `checked` to say."""
    at = 0
    while text[at:].strip():
        term, after = _term(text, at, free)
        yield term
        if after < len(text) and not text[after + 1 :].strip():
            raise SelectorError(text[at:], "a key is missing after the comma")
        at = after + 1


def _term(text: str, at: int, free: Container[str]) -> tuple[Term, int]:
    """The term that begins there, and the place of the comma after it, or the end."""
    begin = _BEGIN.match(text, at)
    assert begin is not None, "it matches nothing, too"
    lacks, key = begin.groups()
    after = begin.end()
    if not key:
        raise SelectorError(text[at:], f"a key is missing before {text[after : after + 1] or 'the end'}")
    if lacks or _over(text, after):
        return Term(key, "lacks" if lacks else "has"), _comma(text, at, after, f"!{key}" if lacks else key)
    if found := _SIGN.match(text, after):
        sign = "=" if found[1] == "==" else found[1]
        if key in free:
            end = text.find(",", found.end())
            end = len(text) if end < 0 else end
            return Term(key, sign, (text[found.end() : end].strip(),)), end
        value = _WORD.match(text, found.end())
        assert value is not None
        return Term(key, sign, (value[1],)), _comma(text, at, value.end(), value[1] or found[1])
    if found := _SET.match(text, after):
        values, end = _values(text, at, found, key in free)
        return Term(key, found[1], values), _comma(text, at, end, ")")
    raise SelectorError(text[at:], f"after {key} comes {_rest(text, after)}, and not =, !=, in, notin or a comma")


def _values(text: str, at: int, found: re.Match[str], free: bool) -> tuple[tuple[str, ...], int]:
    """The list in parentheses; `(a,)` has an empty value, too."""
    if text[found.end() : found.end() + 1] != "(":
        raise SelectorError(text[at:], f"a list in parentheses is missing after {found[1]}")
    end = text.find(")", found.end())
    if end < 0:
        raise SelectorError(text[at:], "the list has no )")
    values = [each.strip() for each in text[found.end() + 1 : end].split(",")]
    wrong = next((each for each in values if not free and re.search(f"[{_APART}]", each)), None)
    if wrong is not None:
        raise SelectorError(text[at : end + 1], f"{wrong} is no value; values are separated by commas")
    behind = _WORD.match(text, end + 1)
    return tuple(dict.fromkeys(values)), behind.end() if behind is not None and not behind[1] else end + 1


def _over(text: str, at: int) -> bool:
    return at >= len(text) or text[at] == ","


def _comma(text: str, begin: int, at: int, last: str) -> int:
    """The place of a comma or the end; nothing else may come here."""
    if not _over(text, at):
        raise SelectorError(text[begin:], f"after {last} comes {_rest(text, at)}, and not a comma")
    return at


def _rest(text: str, at: int) -> str:
    """What begins there, for a sentence."""
    word = _WORD.match(text, at)
    return (word[1] if word is not None else "") or text[at : at + 1]
