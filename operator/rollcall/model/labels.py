"""Labels of Kubernetes as pictures tell them: each set of a service's pods once, and of each pod which set it has.

Thousands of pods have a few sets, and a picture goes out four times a second; their labels written out would be a third of it.
"""

from __future__ import annotations

from itertools import islice

Labels = dict[str, str]
"""Never changed in place: pods share them."""
MOST = 64
"""So many labels of one object are told, the first by name: whoever makes pods could give each thousands."""


def bounded(labels: Labels) -> Labels:
    """The labels that are told; the very same object where all of them are."""
    return labels if len(labels) <= MOST else dict(islice(sorted(labels.items()), MOST))


class LabelSets:
    """The different sets of labels, in the order in which they were met.

    >>> sets = LabelSets()
    >>> [sets.place({"app": "feed"}), sets.place({"app": "mail"}), sets.place({"app": "feed"})]
    [0, 1, 0]
    """

    def __init__(self) -> None:
        self.sets: list[Labels] = []
        self._by_object: dict[int, tuple[int, Labels]] = {}
        """Equal labels are one object nearly always (kube.sharing). The object is held, so that its id stays its own."""
        self._by_content: dict[tuple[tuple[str, str], ...], int] = {}

    def place(self, labels: Labels) -> int:
        """The place of a set; a new one is added."""
        known = self._by_object.get(id(labels))
        if known is not None:
            return known[0]
        content = tuple(labels.items())  # by name, as the API server writes them
        place = self._by_content.get(content)
        if place is None:
            place = self._by_content[content] = len(self.sets)
            self.sets.append(labels)
        self._by_object[id(labels)] = place, labels
        return place
