// A moment of the past that is shown instead of now: `?at=` in the address, a bar that says so, and keys to go to and fro.
import { get, Trouble } from "./api";
import { attribute, h, text } from "./dom";
import { clock, span } from "./format";
import { copy, isLocal } from "./share";

export const STEP_S = 5, LEAP_S = 30;
const KEPT_S = 900;
/** Arrow keys come faster than pictures. */
const CALM_MS = 60;

const parts = (): [string, URLSearchParams] => {
  const [path = "", query = ""] = location.hash.replace(/^#/, "").split("?");
  return [path || "/", new URLSearchParams(query)];
};

/** The address of a view at a moment; null is now. */
export function address(path: string, at: number | null): string {
  const [place = "/", query = ""] = path.replace(/^#/, "").split("?"), asked = new URLSearchParams(query);
  if (at === null) asked.delete("at");
  else asked.set("at", String(Math.floor(at)));
  return `#${place}${asked.size ? `?${asked}` : ""}`;
}

export function shownMoment(): number | null {
  const at = Number(parts()[1].get("at"));
  return at > 0 ? at : null;
}

/** The filter is kept in the address, so that a link leads to what was seen. */
export const keptFilter = (): string => parts()[1].get("filter") ?? "";

export function keepFilter(words: string): void {
  const [place, asked] = parts();
  if (words) asked.set("filter", words);
  else asked.delete("filter");
  history.replaceState(null, "", `#${place}${asked.size ? `?${asked}` : ""}`);
}

/** Another view, at the moment that is shown. */
export function go(path: string): void {
  location.hash = address(path, shownMoment());
}

export class Moment {
  private when = h("strong");
  private what = h("span", { class: "dim" });
  readonly bar = h("div", { id: "moment", role: "status", hidden: true },
    this.when, this.what, h("span", { class: "space" }),
    ...([[-LEAP_S, "−30 s"], [-STEP_S, "−5 s"], [STEP_S, "+5 s"], [LEAP_S, "+30 s"]] as const)
      .map(([seconds, words]) => h("button", { onclick: () => this.step(seconds), "aria-label": `${Math.abs(seconds)} seconds ${seconds < 0 ? "back" : "on"}` }, words)),
    h("button", { onclick: () => this.share() }, "Share"),
    h("button", { class: "primary", onclick: () => this.live() }, "Back to live"));
  private asked = 0;
  private timer = 0;
  private of: number | null = null;

  /** Another moment in the same view; beyond now is now. */
  step(seconds: number): void {
    const now = Date.now() / 1000, past = shownMoment(), to = Math.max(now - KEPT_S, (past ?? now) + seconds);
    const next = address(location.hash, to > now - 2 ? null : to);
    if (past === null) location.hash = next;
    else location.replace(next); // or the way back would lead through every key
  }

  live(): void {
    location.hash = address(location.hash, null);
  }

  private share(): void {
    copy(location.href, `The address is copied; it shows this moment as long as it is kept.${isLocal() ? ` For others, too, once they run rollcall dashboard --port ${location.port}.` : ""}`);
  }

  /** Fetch what was then, the newest wish alone. */
  load<T>(path: string, at: number, found: (data: T) => void, failed: (trouble: Trouble) => void): void {
    const mine = (this.asked += 1);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      get<T>(`${path}${path.includes("?") ? "&" : "?"}at=${at}`).then(
        (data) => mine === this.asked && found(data),
        (trouble: Trouble) => mine === this.asked && failed(trouble.status === undefined ? { status: 0, sentence: "the operator cannot be reached" } : trouble));
    }, CALM_MS);
  }

  end(): void {
    this.asked += 1;
    clearTimeout(this.timer);
    this.of = null;
  }

  /** Of when the picture is that is shown. */
  have(unix: number | null): void {
    this.of = unix;
    this.tick();
  }

  tick(): void {
    const at = shownMoment();
    this.bar.hidden = at === null;
    attribute(document.documentElement, "data-past", at === null ? null : "");
    if (at === null) return;
    text(this.when, `◷ ${clock(at)}, ${span(Math.max(0, Date.now() / 1000 - at))} ago`);
    text(this.what, this.of === null ? "" : Math.floor(this.of) === at ? "as it was" : `the last whole picture kept until then, of ${clock(this.of)}`);
  }
}
