// What all views have in common.
import { attribute, h, text } from "./dom";
import { coverage as coverageText } from "./format";
import type { Picture } from "./types";

export interface View {
  /** What the stream told. */
  event(name: string, data: unknown): void;
  /** Draw what is newest; at most once per frame of the screen. */
  draw(): void;
  /** Says what is wrong with it, if anything is. */
  filter(words: string): string;
  /** What comes next is of that moment, not of now. */
  moment?(at: number): void;
  renew?(): void;
  close?(): void;
}

export const SIGNS: Record<string, [string, string]> = {
  Healthy: ["✓", "good"], Degraded: ["!", "warn"], Down: ["✕", "bad"], Unknown: ["?", "none"],
};
export const STATES: [keyof Picture["pods"] & string, string][] = [
  ["serving", "good"], ["unready", "warn"], ["pending", "accent"], ["leaving", "none"], ["silent", "bad"], ["bare", "band2"],
];
export const STATE_SIGNS: Record<string, string> = {
  serving: "●", unready: "◐", pending: "○", leaving: "→", silent: "✕", bare: "◇",
};

export function chip(): { element: HTMLElement; update: (sign: string, words: string, tone: string) => void } {
  const element = h("span", { class: "chip" });
  return {
    element,
    update: (sign, words, tone) => {
      attribute(element, "class", `chip ${tone}`);
      text(element, `${sign} ${words}`);
    },
  };
}

export function health(): { element: HTMLElement; update: (state: string) => void } {
  const made = chip();
  return { element: made.element, update: (state) => made.update(SIGNS[state]?.[0] ?? "?", state, SIGNS[state]?.[1] ?? "none") };
}

/** Coverage below 100 % is always said. */
export function coverageChip(): { element: HTMLElement; update: (picture: Picture) => void } {
  const element = h("span", { class: "chip warn", hidden: true });
  return {
    element,
    update: (picture) => {
      element.hidden = picture.coverage === null || picture.coverage >= 1;
      text(element, `◔ ${coverageText(picture.coverage)} of the pods report`);
    },
  };
}

export function figure(label: string): { element: HTMLElement; update: (value: string, tone?: string) => void } {
  const value = h("b", { class: "num" });
  return {
    element: h("div", { class: "figure" }, value, h("span", {}, label)),
    update: (words, tone = "") => {
      text(value, words);
      attribute(value, "class", `num ${tone}`.trim());
    },
  };
}

export function podsText(picture: Picture): string {
  return `${picture.pods.serving}/${picture.pods.desired ?? picture.pods.total}`;
}

export function errorTone(ratio: number | null): string {
  return ratio === null || ratio < 0.01 ? "" : ratio < 0.05 ? "warn" : "bad";
}

/** The buckets as one bar, and in words. */
export function states(): { element: HTMLElement; update: (pods: Picture["pods"]) => void } {
  const parts = STATES.map(([state, tone]) => ({ state, block: h("div", { class: `t-${tone}` }), word: h("span") }));
  const bar = h("div", { class: "bar", role: "img" }, ...parts.map((part) => part.block));
  parts.forEach((part, index) => (part.block.style.background = `var(--${STATES[index]?.[1] ?? "none"})`));
  return {
    element: h("div", {}, bar, h("div", { class: "states" }, ...parts.map((part) => part.word))),
    update: (pods) => {
      for (const { state, block, word } of parts) {
        const many = pods[state] ?? 0;
        block.style.flexGrow = String(many);
        word.hidden = many === 0;
        text(word, `${STATE_SIGNS[state]} ${many} ${state}`);
      }
      attribute(bar, "aria-label", `pods: ${STATES.map(([state]) => `${pods[state] ?? 0} ${state}`).join(", ")}`);
    },
  };
}
