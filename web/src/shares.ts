// Where the time goes, as one stacked bar and in words.
import { attribute, h, text } from "./dom";
import { duration, percent } from "./format";
import type { Picture } from "./types";

export const CLASSES: [string, string, string][] = [
  ["dependency", "waiting for dependencies", "band0"], ["cpu", "computing", "good"], ["queue", "waiting for a worker", "band1"],
  ["throttling", "held back by the CPU limit", "band2"], ["other", "other", "none"], ["unknown", "not known", "grid"],
];

export class Shares {
  private bar = h("div", { class: "bar", role: "img" });
  private said = h("p");
  private legend = h("div", { class: "legend" });
  readonly element = h("div", {}, this.said, this.bar, this.legend);
  private parts = CLASSES.map(([name, words, tone]) => {
    const block = h("div"), sign = h("i"), word = h("span"), entry = h("span", {}, sign, word);
    block.style.background = sign.style.background = `var(--${tone})`;
    this.bar.append(block);
    this.legend.append(entry);
    return { name, words, block, word, entry };
  });

  update(picture: Picture): void {
    const found = picture.bottleneck;
    this.bar.hidden = this.legend.hidden = found === null;
    if (!found) return text(this.said, "No request took any time.");
    const [, words] = CLASSES.find(([name]) => name === found.class) ?? ["", "nothing that is known"];
    // What is named is that of the slow requests where that is clear; the bar is of all.
    const slow = found.slow?.class === found.class && found.slow.dependency === found.dependency ? found.slow : null;
    const what = found.class === "other" ? "sleep, locks, or calls that are not watched" : words;
    text(this.said, `Of the time of ${slow ? `requests over ${duration(slow.over)}` : "all requests"}, ${found.share === null ? "most" : percent(found.share)} goes to ${what}${found.dependency ? `: ${found.dependency}` : ""}.${slow ? " That of all requests:" : ""}`);
    for (const { name, words: called, block, word, entry } of this.parts) {
      const share = found.shares[name] ?? 0;
      block.style.flexGrow = String(share);
      entry.hidden = share < 0.001;
      text(word, `${called} ${percent(share)}`);
    }
    attribute(this.bar, "aria-label", this.parts.map(({ name, words: called }) => `${called} ${percent(found.shares[name] ?? 0)}`).join(", "));
  }
}
