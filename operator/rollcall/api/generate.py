"""`python -m rollcall.api.generate`: writes the CRD's two files from the types, byte for byte the same on every run.

One for `kubectl apply -f crds/`, one as a template of the Helm chart, because Helm never upgrades what lies in a crds/ folder.
"""

from __future__ import annotations

from pathlib import Path

from rollcall.api.crd import NAME, crd
from rollcall.api.manifests import to_yaml
from rollcall.api.monitoredservice import GROUP, PLURAL

PLAIN = Path("crds") / f"{GROUP}_{PLURAL}.yaml"
CHART = Path("charts/rollcall/templates") / f"crd-{PLURAL}.yaml"

_HEADER = "# Made from the types in operator/rollcall/api by `python -m rollcall.api.generate`; do not edit.\n"
_NAME_LINE = f"  name: {NAME}\n"
_CHART_METADATA = """\
  annotations:
    helm.sh/resource-policy: keep
  labels:
    {{- include "rollcall.labels" . | nindent 4 }}
"""


def plain_file() -> str:
    """The CRD as a manifest."""
    return _HEADER + to_yaml([crd()])


def chart_file() -> str:
    """The CRD as a template of the chart: kept at uninstall, left out with crds.install=false."""
    return (
        "{{- if .Values.crds.install }}\n" + plain_file().replace(_NAME_LINE, _NAME_LINE + _CHART_METADATA, 1) + "{{- end }}\n"
    )


def write(root: Path) -> list[Path]:
    """Writes both files below `root` and returns their paths."""
    written = []
    for path, text in ((root / PLAIN, plain_file()), (root / CHART, chart_file())):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    for path in write(Path(__file__).resolve().parents[3]):
        print(path)  # noqa: T201
