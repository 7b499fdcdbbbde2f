"""Labels in pictures: each set once, whatever the pods are, and what is told of one that has very many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rollcall.model.fleet import Fleet
from rollcall.model.labels import MOST, LabelSets, bounded
from rollcall.model.show import picture
from tests.unit.model.agents import facts

labels = st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3)


@given(st.lists(labels, max_size=12), st.data())
def test_each_set_is_told_once_and_each_pod_finds_its_own(given_labels: list[dict[str, str]], data: st.DataObject) -> None:
    fleet = Fleet("shop", "newsfeed")
    shared = [data.draw(st.sampled_from(given_labels)) for _ in range(3)] if given_labels else []
    pods = {f"uid-{number}": each for number, each in enumerate([*given_labels, *shared])}
    for uid, each in pods.items():
        fleet.upsert(facts(uid, labels=each))
    fleet.fold(1000.0, 1000.0)
    shown = picture(fleet, with_roll=True)
    assert shown.roll is not None
    assert shown.label_sets is not None
    assert {pod.uid: shown.label_sets[pod.label_set] for pod in shown.roll} == pods
    assert {pod.label_set for pod in shown.roll} == set(range(len(shown.label_sets)))
    distinct = {tuple(each.items()) for each in pods.values()}
    assert len(shown.label_sets) == len(distinct)


def test_labels_that_are_gone_give_their_place_to_nobody() -> None:
    """What is known by its address must not be freed meanwhile."""
    sets = LabelSets()
    places = [sets.place({"number": str(number)}) for number in range(50)]
    assert places == list(range(50))


def test_a_change_of_a_label_shows_in_the_next_picture() -> None:
    fleet = Fleet("shop", "newsfeed")
    fleet.labels = {"team": "feed"}
    stable = {"app": "newsfeed", "track": "stable"}
    for uid in ("uid-a", "uid-b"):
        fleet.upsert(facts(uid, labels=stable))
    fleet.fold(1000.0, 1000.0)
    before = picture(fleet, with_roll=True)
    assert (before.labels, before.label_sets) == ({"team": "feed"}, [stable])
    fleet.upsert(facts("uid-b", labels=stable | {"track": "canary"}))
    fleet.fold(1000.25, 1000.25)
    after = picture(fleet, with_roll=True)
    assert after.label_sets == [stable, stable | {"track": "canary"}]
    assert [pod.label_set for pod in after.roll or []] == [0, 1]
    summary = picture(fleet, with_roll=False)
    assert (summary.labels, summary.label_sets, summary.roll) == ({"team": "feed"}, None, None)


def test_of_very_many_labels_the_first_are_told() -> None:
    few = {f"label-{number:04}": "x" for number in range(MOST)}
    assert bounded(few) is few
    assert bounded({f"label-{number:04}": "x" for number in reversed(range(1000))}) == few
