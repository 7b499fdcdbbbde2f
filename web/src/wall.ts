// All services as tiles: one glance from five metres tells which one is ill.
import { get } from "./api";
import { spark } from "./charts";
import { attribute, h, Keyed, replace, sheet, sparkline, colour, text } from "./dom";
import { filterOf } from "./filter";
import { bandName, count, duration, percent } from "./format";
import { noService } from "./states";
import { csv, save, share } from "./share";
import type { History, Num, Picture } from "./types";
import { coverageChip, errorTone, figure, health, podsText, states, View } from "./view";

/** So many seconds of requests/s on a tile; from the operator where there are few tiles, else from when the page was opened. */
const TREND_S = 120, SEEDED = 24;
/** Of many tiles a part is drawn each time. */
const TURNS = 4;

const FIELDS = ["namespace", "name", "health"] as const;

export class Wall implements View {
  private services: Picture[] = [];
  private wanted = filterOf("", FIELDS);
  private list = h("ul", { class: "tiles", "aria-label": "Services" });
  private at: number | null = null;
  private tools = h("div", { class: "tools below", hidden: true },
    h("button", { onclick: () => this.command() }, "Copy command"), h("button", { onclick: () => save("services.csv", this.file()) }, "CSV"));
  private empty = h("div", { hidden: true });
  private trends = new Map<string, { at: number[]; rate: Num[] }>();
  private turn = 0;
  private tiles = new Keyed<Picture>(this.list, (first) => tile(first, (path, picture) => this.trend(path, picture)));
  private shownEmpty = "";

  constructor(main: HTMLElement, private namespace: string | null) {
    replace(main, this.list, this.empty, this.tools);
  }

  event(name: string, data: unknown): void {
    if (name !== "message") return;
    this.services = (data as { services: Picture[] }).services;
    if (this.at === null) for (const each of this.services) this.remember(each);
  }

  private remember(picture: Picture): void {
    const key = `${picture.namespace}/${picture.name}`, second = Math.floor(picture.at);
    let trend = this.trends.get(key);
    if (!trend) {
      this.trends.set(key, (trend = { at: [], rate: [] }));
      if (this.trends.size <= SEEDED) this.seed(key, trend);
    }
    if (second <= (trend.at[trend.at.length - 1] ?? 0)) return;
    trend.at.push(second);
    trend.rate.push(picture.traffic.requestsPerSecond);
    if (trend.at.length > TREND_S) for (const column of [trend.at, trend.rate]) column.shift();
  }

  private seed(key: string, trend: { at: number[]; rate: Num[] }): void {
    get<History>(`/v1/services/${key.split("/").map(encodeURIComponent).join("/")}/history?seconds=${TREND_S}`).then((told) => {
      const many = told.at.filter((second) => second < (trend.at[0] ?? Infinity)).length, from = Math.max(0, many - TREND_S + trend.at.length);
      trend.at.unshift(...told.at.slice(from, many));
      trend.rate.unshift(...told.requestsPerSecond.slice(from, many));
    }, () => undefined);
  }

  private trend(path: Element, picture: Picture): void {
    const rate = this.trends.get(`${picture.namespace}/${picture.name}`)?.rate ?? [];
    this.turn += 1;
    if (this.services.length <= SEEDED || this.turn % TURNS === 0) spark(path, [...new Array<Num>(TREND_S - rate.length).fill(null), ...rate]);
  }

  moment(at: number): void {
    this.at = at;
  }

  private command(): void {
    const { namespace } = this, scope = namespace ? ["-n", namespace] : ["-A"];
    const selected = this.wanted.labels ? [...scope, "-l", this.wanted.labels] : scope;
    share([["kubectl", "rollcall", "get", ...selected], ["kubectl", "get", "msvc", ...selected]], scope, `/v1/services${namespace ? `?namespace=${encodeURIComponent(namespace)}` : ""}`, this.at);
  }

  private file(): Blob {
    return csv(["namespace", "name", "at", "health", "podsServing", "podsDesired", "coverage", "requestsPerSecond", "p95", "errorRatio", "inFlight"], this.services.map((each) => [
      each.namespace, each.name, each.at, each.health.state, each.pods.serving, each.pods.desired, each.coverage,
      each.traffic.requestsPerSecond, each.traffic.responseTime.p95, each.traffic.errorRatio, each.traffic.inFlight?.total ?? null,
    ]));
  }

  filter(words: string): string {
    this.wanted = filterOf(words, FIELDS);
    this.shownEmpty = "";
    return this.wanted.problem;
  }

  draw(): void {
    const shown = this.services.filter((each) => this.wanted.finds(
      () => `${each.namespace}/${each.name} ${each.health.state}`, () => ({ namespace: each.namespace, name: each.name, health: each.health.state }), () => each.labels));
    this.tiles.update(shown, (each) => `${each.namespace}/${each.name}`);
    this.tools.hidden = this.services.length === 0;
    this.list.classList.toggle("few", this.services.length <= 6);
    this.list.classList.toggle("two", this.services.length <= 2);
    const state = this.services.length === 0 ? "none" : shown.length === 0 ? "filtered" : "";
    if (state === this.shownEmpty) return;
    this.shownEmpty = state;
    this.empty.hidden = state === "";
    if (state === "none") replace(this.empty, noService(this.namespace));
    if (state === "filtered") replace(this.empty, h("p", { class: "quiet" }, `${this.wanted.none("service", () => this.services.map((each) => each.labels)) ?? "No service has this in its name."} Esc shows all.`));
  }

  renew(): void {
    this.draw();
  }
}

function tile(first: Picture, trend: (path: Element, picture: Picture) => void): { element: HTMLElement; update: (picture: Picture) => void } {
  const state = health(), covered = coverageChip(), buckets = states();
  const why = h("div", { class: "why dim" }), bands = h("canvas", { class: "mini", role: "img" }), line = sparkline("trend");
  const figures = { pods: figure("pods"), rate: figure("requests/s"), p95: figure("p95"), errors: figure("errors"), flight: figure("in flight") };
  const link = h("a", { class: "tile", "data-row": true, href: `#/s/${first.namespace}/${first.name}` },
    h("div", { class: "name" }, h("span", {}, first.name), state.element),
    h("div", { class: "where" }, first.namespace, " ", covered.element),
    why,
    h("div", { class: "figures" }, ...Object.values(figures).map((each) => each.element)),
    line.element, buckets.element, bands);
  return {
    element: h("li", {}, link),
    update: (picture) => {
      const { traffic } = picture;
      attribute(link, "data-health", picture.health.state);
      state.update(picture.health.state);
      covered.update(picture);
      text(why, picture.health.state === "Healthy" ? "" : picture.health.message || picture.health.reason);
      figures.pods.update(podsText(picture));
      figures.rate.update(count(traffic.requestsPerSecond));
      figures.p95.update(duration(traffic.responseTime.p95));
      figures.errors.update(percent(traffic.errorRatio), errorTone(traffic.errorRatio));
      figures.flight.update(count(traffic.inFlight?.total ?? null));
      buckets.update(picture.pods);
      trend(line.path, picture);
      drawBands(bands, picture);
    },
  };
}

/** In flight by band: a block each up to forty, then shares of the width. */
function drawBands(canvas: HTMLCanvasElement, picture: Picture): void {
  const flight = picture.traffic.inFlight;
  attribute(canvas, "aria-label", flight
    ? `in flight: ${flight.bands.map((many, band) => `${many} ${bandName(picture.bandsMs, band)}`).join(", ")}`
    : "requests in flight are not known");
  const made = sheet(canvas);
  if (!made || !flight) return;
  const { context, width, height } = made, unit = width / Math.max(40, flight.total), gap = unit > 4 ? 2 : 0;
  let x = 0;
  flight.bands.forEach((many, band) => {
    context.fillStyle = colour(`band${Math.min(band, 3)}`);
    if (gap) for (let each = 0; each < many; each += 1) context.fillRect(x + each * unit, 12, unit - gap, height - 16);
    else context.fillRect(x, 12, many * unit, height - 16);
    x += many * unit;
  });
}
