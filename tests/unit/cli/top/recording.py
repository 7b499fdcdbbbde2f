"""A session as one SVG that moves by itself: screens one after the other, each for so long."""

from __future__ import annotations

import re


def film(screens: list[tuple[str, float]]) -> str:
    """Screens as rich draws them, of one size, each with its seconds. Styles of each have names of their own already."""
    whole_s = sum(seconds for _, seconds in screens)
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', screens[0][0])
    assert size is not None
    rules, frames, began_s = [], [], 0.0
    for place, (drawn, seconds) in enumerate(screens):
        start, end = 100 * began_s / whole_s, 100 * (began_s + seconds) / whole_s
        # visible from start to end and not a moment longer, whatever comes between two frames
        hidden = "visibility:hidden"
        rules.append(
            f"@keyframes f{place}{{0%{{{'visibility:visible' if place == 0 else hidden}}}"
            f"{start:.3f}%{{visibility:visible}}{end:.3f}%{{{hidden}}}100%{{{hidden}}}}}"
            f".f{place}{{{'' if place == 0 else hidden + ';'}animation:f{place} {whole_s:g}s step-end infinite}}"
        )
        frames.append(f'<g class="f{place}">{_body(drawn)}</g>')
        began_s += seconds
    rules.append("@media (prefers-reduced-motion: reduce){g{animation:none!important}}")
    width, height = size[1], size[2]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><style>{"".join(rules)}</style>'
        f"{''.join(frames)}</svg>\n"
    )


def _body(drawn: str) -> str:
    return drawn[drawn.index("<svg") :].strip()
