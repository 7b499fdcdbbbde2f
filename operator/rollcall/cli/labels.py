"""`-l`, `-L` and `--show-labels`: pods, their requests in flight, or services by the labels of Kubernetes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import NamedTuple

from rich.console import RenderableType

from rollcall.cli.connection import CliError
from rollcall.cli.screen import NO_LABELS, Labels, Picture, nothing
from rollcall.cli.selector import Selector, SelectorError, Term, checked, parse
from rollcall.cli.stream import Frame


class By(NamedTuple):
    """What was asked about labels: `selector` is None for all."""

    selector: Selector | None = None
    shown: Labels = NO_LABELS


def by(selector: str | None, columns: list[str] | None, *, every: bool) -> By:
    """What was given to `-l`, `-L` and `--show-labels`; raises CliError for what is no selector, or no name of a label."""
    keys = [key.strip() for each in columns or () for key in each.split(",")]
    try:
        for key in keys:
            checked(Term(key, "has"))
    except SelectorError as error:
        raise CliError(f"--label-columns {error}", code=2) from None
    try:
        return By(None if selector is None else parse(selector), Labels(tuple(dict.fromkeys(keys)), every))
    except SelectorError as error:
        raise CliError(f"--selector {error}", code=2) from None


def labels_of(picture: Picture, pod: Picture) -> dict[str, str]:
    """Those of a pod of the picture."""
    labels: dict[str, str] = _told(picture, "labelSets")[pod["labelSet"]]
    return labels


def labels_by_pod(picture: Picture) -> dict[str, dict[str, str]]:
    """Those of each pod, by its name."""
    return {pod["name"]: labels_of(picture, pod) for pod in picture["roll"] or []}


def with_pods(picture: Picture, selector: Selector | None) -> Picture:
    """A service with those pods alone, and requests in flight of theirs; of several, those that have such pods."""
    if selector is None:
        return picture
    if "services" in picture:
        services = [with_pods(each, selector) for each in picture["services"]]
        return picture | {"services": [each for each in services if each["roll"]]}
    roll = [pod for pod in picture["roll"] or [] if selector.matches(labels_of(picture, pod))]
    names = {pod["name"] for pod in roll}
    return picture | {"roll": roll, "longest": [each for each in picture["longest"] or [] if each["pod"] in names]}


def services_with(pictures: list[Picture], selector: Selector | None) -> list[Picture]:
    """Those whose own labels are such."""
    return [each for each in pictures if selector is None or selector.matches(_told(each, "labels"))]


def none_with(what: str, selector: Selector) -> RenderableType:
    """What is said where nothing is selected."""
    return nothing(f"no {what} has these labels: {selector}")


async def narrowed(newest: AsyncIterator[Frame], narrow: Callable[[Picture], Picture]) -> AsyncIterator[Frame]:
    """Frames of which a part is shown."""
    try:
        async for frame in newest:
            yield replace(frame, picture=narrow(frame.picture)) if frame.picture else frame
    finally:
        await newest.aclose()  # type: ignore[attr-defined]


def _told(picture: Picture, field: str) -> Picture:
    if picture.get(field) is None:
        raise CliError("the operator is older than this command line, and tells no labels; rollcall version says which")
    found: Picture = picture[field]
    return found
