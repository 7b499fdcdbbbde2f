"""Whether a raw JSON value has the shape of a pod, as far as injection reads it.

The API server has checked a pod before it asks the webhook; a file given to `rollcall inject` and a broken client have not.
"""

from __future__ import annotations

from typing import Any, TypeGuard


def is_readable(pod: object) -> TypeGuard[dict[str, Any]]:
    """Whether everything that decide and patch touch is there and of the right type; missing optional parts are fine."""
    if not (isinstance(pod, dict) and isinstance(pod.get("metadata"), dict) and isinstance(pod.get("spec"), dict)):
        return False
    metadata, spec = pod["metadata"], pod["spec"]
    return (
        _is_texts(metadata.get("labels"))
        and _is_texts(metadata.get("annotations"))
        and bool(spec.get("containers"))
        and all(_are_containers(spec.get(key)) for key in ("containers", "initContainers"))
        and _is_list_of_dicts(spec.get("volumes"))
        and all(_is_dict(spec.get(key)) for key in ("os", "nodeSelector", "securityContext"))
        and _are_resources(spec.get("resources"))
    )


def _is_dict(value: object) -> bool:
    return value is None or isinstance(value, dict)


def _is_texts(value: object) -> bool:
    return value is None or (isinstance(value, dict) and all(isinstance(text, str) for text in value.values()))


def _is_list_of_dicts(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(item, dict) for item in value))


def _are_containers(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(_is_container(item) for item in value))


def _is_container(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("name"), str)
        and all(_is_list_of_dicts(value.get(key)) for key in ("env", "envFrom", "volumeMounts"))
        and _are_resources(value.get("resources"))
    )


def _are_resources(value: object) -> bool:
    return value is None or (isinstance(value, dict) and _is_dict(value.get("requests")) and _is_dict(value.get("limits")))
