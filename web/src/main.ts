// The page: which view, how old what it shows is, and the keys.
import { get, Stream, Trouble } from "./api";
import { attribute, forgetColours, h, replace, text } from "./dom";
import { clock, span } from "./format";
import { address, go, keepFilter, keptFilter, LEAP_S, Moment, shownMoment, STEP_S } from "./moment";
import { PodView } from "./pod";
import { renewed } from "./renewal";
import { Service } from "./service";
import { askTabs, exchange, signOut, token } from "./session";
import { refused, signInCard } from "./states";
import type { Picture } from "./types";
import type { View } from "./view";
import { Wall } from "./wall";

const OLD_S = 2, VERY_OLD_S = 60, DOTS_KEPT_S = 55, BUSY_MS = 5000;
const root = document.documentElement;
const main = document.getElementById("main") as HTMLElement;
const notice = document.getElementById("notice") as HTMLElement;
const crumb = h("span", { class: "crumb" });
const live = h("span", { class: "chip none" }, "…");
const filter = h("input", { type: "search", placeholder: "Filter  /", "aria-label": "Filter", autocomplete: "off", spellcheck: "false" });
const help = h("dialog", { "aria-label": "Keys" },
  h("h2", {}, "Keys"),
  ...[["/", "filter tiles or pods: words, or -l track=canary,state!=serving by labels and fields"], ["j k", "next and previous"], ["Enter", "open it"], ["Esc", "back; clears the filter first"], ["← →", "five seconds back or on, with shift thirty: the last 15 minutes"], ["l", "back to live"], ["t", "light or dark"], ["?", "this list"]]
    .map(([keys, words]) => h("p", {}, h("kbd", {}, keys ?? ""), ` ${words}`)),
  h("p", {}, "Drag over the dots to list these requests. A click on a chart shows the whole service at that moment; its address can be shared for 15 minutes."),
  h("form", { method: "dialog" }, h("button", {}, "Close")));
const moment = new Moment();
let view: View | null = null;
let stream: Stream | null = null;
let heard: number | null = null;
let trouble: Trouble | null = null;
let waiting = false;
let carded = "";

function theme(change = false): void {
  const kept = localStorage.getItem("theme");
  let wanted = kept ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");
  if (change) localStorage.setItem("theme", (wanted = wanted === "light" ? "dark" : "light"));
  attribute(root, "data-theme", wanted);
  forgetColours();
  view?.renew?.();
}

function draw(): void {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    view?.draw();
  });
}

/** How old it is, said of every number from two seconds on; a moment of the past says it once, in its own bar. */
function age(): void {
  moment.tick();
  if (shownMoment() !== null) {
    root.classList.remove("stale");
    attribute(live, "class", "chip warn");
    return text(live, "◷ not live");
  }
  const seconds = heard === null ? 0 : (performance.now() - heard) / 1000;
  const stale = heard !== null && seconds > OLD_S;
  root.classList.toggle("stale", stale);
  root.style.setProperty("--age", `"${span(seconds)}"`);
  attribute(live, "class", `chip ${heard === null ? "none" : stale ? "warn" : "good"}`);
  text(live, heard === null ? "… connecting" : stale ? `! ${span(seconds)} old` : "● live");
  if (!stale && trouble === null) {
    if (notice.dataset["age"]) text(notice, "");
    delete notice.dataset["age"];
  } else if (heard !== null) {
    notice.dataset["age"] = "1";
    const what = seconds > VERY_OLD_S ? "This is no picture of now: it" : "What you see";
    text(notice, `${what} is ${span(seconds)} old: ${trouble?.sentence ?? "nothing comes from the operator"}. It is tried again by itself.`);
  }
}

function failed(found: Trouble | null): void {
  if (!found && trouble) renew();
  trouble = found;
  if (!found) return;
  if (found.status === 401) {
    const known = token() !== null;
    signOut(route);
    return card(signInCard(known ? found.sentence : "", route));
  }
  const words = `${found.status} ${found.sentence}`;
  if (words !== carded && ([403, 404].includes(found.status) || heard === null)) card(refused(found, route), found.status !== 0 && found.status !== 503);
  if (view === null) carded = words;
  age();
}

/** After a break the operator may be another version, with another page: it is loaded, once nobody is in the middle of something. */
function renew(): void {
  void renewed().then((other) => {
    if (!other) return;
    const middle = (): boolean => help.open || document.activeElement?.tagName === "INPUT" || !getSelection()?.isCollapsed;
    const load = (): unknown => (middle() ? setTimeout(load, BUSY_MS) : location.reload());
    load();
  });
}

/** Instead of a view; one that may still become live keeps its stream. */
function card(element: HTMLElement, end = true): void {
  if (end) close();
  live.hidden = end; // nothing is under way
  heard = null;
  shown = null;
  replace(main, element);
  age();
}

function close(): void {
  stream?.close();
  view?.close?.();
  stream = view = null;
}

interface Route { make: () => View; stream: string; picture: string; history: string | null; place: string; crumbs: [string, string][]; filter: boolean }
let shown: Route | null = null;

function routeOf(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?"), parameters = new URLSearchParams(query);
  const [, kind, namespace, name, pod, podName] = path.split("/").map((part) => { try { return decodeURIComponent(part); } catch { return part; } });
  if (kind === "s" && namespace && name) {
    const picture = `/v1/services/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`, history = `${picture}/history`;
    const stream = `${picture}/stream?rate=4&with=seconds,points&since=0`;
    const service: [string, string] = [`${namespace}/${name}`, `#/s/${namespace}/${name}`];
    if (pod === "pod" && podName)
      return { make: () => new PodView(main, namespace, name, podName), stream: stream.replace("seconds,", ""), picture, history: null, place: path, crumbs: [service, [podName, ""]], filter: false };
    return { make: () => new Service(main, namespace, name), stream, picture, history, place: path, crumbs: [service], filter: true };
  }
  const wanted = parameters.get("namespace"), limit = wanted ? `namespace=${encodeURIComponent(wanted)}` : "";
  return {
    make: () => new Wall(main, wanted), stream: `/v1/services/stream?rate=4${limit && `&${limit}`}`, picture: `/v1/services${limit && `?${limit}`}`,
    history: null, place: "/", crumbs: wanted ? [[wanted, ""]] : [], filter: true,
  };
}

function route(): void {
  const at = shownMoment(), next = routeOf(location.hash);
  if (at !== null && view?.moment && shown?.picture === next.picture && shown.place === next.place && !stream) return then(next, at);
  close();
  moment.end();
  live.hidden = false;
  heard = trouble = null;
  carded = "";
  text(notice, "");
  shown = next;
  document.title = [...next.crumbs.map(([words]) => words), "Rollcall"].join(" · ");
  replace(crumb, ...next.crumbs.flatMap(([words, href]) => [" / ", href ? h("a", { href }, words) : words]));
  filter.hidden = !next.filter;
  filter.value = next.filter ? keptFilter() : "";
  filter.title = "";
  filter.removeAttribute("aria-invalid");
  replace(main, h("p", { class: "quiet" }, "Waiting for the first picture…"));
  if (at === null) follow(next);
  else then(next, at);
  age();
}

function make(next: Route): View {
  const made = next.make();
  if (filter.value) sought(made);
  return made;
}

function follow(next: Route): void {
  let begun = false;
  stream = new Stream(next.stream, {
    event: (name, data) => {
      if (!begun || shown !== next) {
        begun = true;
        shown = next;
        carded = "";
        view?.close?.();
        view = make(next);
      }
      if (name === "message") heard = performance.now();
      view?.event(name, data);
      draw();
    },
    trouble: failed,
  });
}

/** The same view of a moment that is over. */
function then(next: Route, at: number): void {
  moment.tick();
  moment.load<Picture | { services: Picture[] }>(next.picture, at, (data) => {
    if (!view) {
      view = make(next);
      const mine = view, tell = (event: string, path: string): void => void get(path).then((told) => { mine.event(event, told); draw(); }, () => undefined);
      if (next.history) tell("seconds", next.history);
      if (next.place !== "/" && Date.now() / 1000 - at < DOTS_KEPT_S) tell("points", `${next.picture}/points`);
    }
    view.moment?.(at);
    view.event("message", data);
    moment.have("services" in data ? Math.max(...data.services.map((each) => each.at)) : data.at);
    draw();
  }, (found) => {
    moment.have(null);
    if (found.status === 401) return failed(found);
    close();
    shown = next;
    replace(main, found.status === 404
      ? h("section", { class: "card" }, h("h2", {}, `Nothing is kept of ${clock(at)}`), h("p", {}, "The operator keeps the last 15 minutes, and begins anew when another replica takes over."), h("p", {}, h("a", { href: address(location.hash, null), "data-now": true }, "What is now")))
      : refused(found, route));
  });
}

function step(by: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")];
  if (!rows.length) return;
  const now = rows.indexOf(document.activeElement as HTMLElement);
  rows[Math.min(rows.length - 1, Math.max(0, now < 0 ? 0 : now + by))]?.focus();
}

/** The filter is another one; one that is not finished says so. */
function look(): void {
  keepFilter(filter.value);
  if (view) sought(view);
  draw();
}

function sought(of: View): void {
  const problem = of.filter(filter.value);
  attribute(filter, "aria-invalid", problem ? "true" : null);
  filter.title = problem;
}

function back(): void {
  if (filter.value) {
    filter.value = "";
    return look();
  }
  if (document.activeElement === filter) return filter.blur();
  const parts = location.hash.split("?")[0]?.split("/") ?? [];
  if (parts.length < 4) return moment.live();
  go(parts[4] === "pod" ? parts.slice(0, 4).join("/") : "#/");
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  if (event.key === "Escape") return back();
  if ((event.target as HTMLElement).tagName === "INPUT") {
    if (event.key === "Enter" && event.target === filter) step(0);
    return;
  }
  const far = event.shiftKey ? LEAP_S : STEP_S;
  const keys: Record<string, () => void> = { ArrowLeft: () => moment.step(-far), ArrowRight: () => moment.step(far), l: () => moment.live(), "/": () => filter.focus(), j: () => step(1), k: () => step(-1), t: () => theme(true), "?": () => help.showModal() };
  const found = keys[event.key];
  if (!found) return;
  event.preventDefault();
  found();
});
filter.addEventListener("input", look);
// Links lead to the same moment.
document.addEventListener("click", (event) => {
  const link = (event.target as Element).closest?.("a");
  if (!link?.hash.startsWith("#/") || shownMoment() === null || "now" in link.dataset || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  go(link.hash);
});
window.addEventListener("hashchange", route);
window.addEventListener("resize", () => view?.renew?.());
matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => theme());

replace(document.getElementById("top") as HTMLElement,
  h("h1", {}, h("a", { href: "#/" }, "Rollcall"), crumb), live, h("span", { class: "space" }), filter,
  h("button", { onclick: () => theme(true), "aria-label": "Light or dark" }, "◐"),
  h("button", { onclick: () => help.showModal(), "aria-label": "Keys" }, "?"));
document.getElementById("top")?.after(moment.bar);
document.body.append(help);
theme();
setInterval(age, 250);
void exchange().catch(() => undefined).then(askTabs).then(route);
