// One service: what it does now, what it did in the last 15 minutes, and who is to blame.
import { Chart, Equalizer, Line, said, Shape, spark } from "./charts";
import * as columns from "./columns";
import { attribute, h, replace, text } from "./dom";
import { filterOf } from "./filter";
import { bandName, clock, count, duration, NONE, percent } from "./format";
import { address, go } from "./moment";
import { Past } from "./past";
import { Dot, Scatter } from "./scatter";
import { Gaps } from "./gaps";
import type { Dots, History, Mark, Num, Picture, Pod } from "./types";
import { coverageChip, errorTone, figure, health, podsText, states, View } from "./view";
import { png, save, share } from "./share";
import { CLASSES, Shares } from "./shares";

const FIELDS = ["name", "slot", "state", "reason", "node", "revision", "source"] as const;

export class Service implements View {
  private picture: Picture | null = null;
  private past = new Past();
  private wanted = filterOf("", FIELDS);
  private charts: { chart: Chart; of: (past: Past) => Num[][] }[] = [];
  private seconds = false;
  private looked = 0;
  private picked: (Dot & { key: number })[] | null = null;

  private health = health();
  private covered = coverageChip();
  private buckets = states();
  private message = h("p", { class: "dim" });
  private at: number | null = null;
  private then = h("p", { class: "callout", hidden: true });
  private gaps = new Gaps();
  private figures = {
    pods: figure("pods serving"), rate: figure("requests/s"), p50: figure("p50"), p95: figure("p95"), p99: figure("p99"),
    errors: figure("errors"), flight: figure("in flight"), users: figure("users at once"), visitors: figure("visitors, 5 min"),
  };
  private equalizer: Equalizer;
  private scatter: Scatter;
  private rate = h("small");
  private list = h("div", { hidden: true });
  private shut = h("button", { hidden: true, onclick: () => this.pick(null) }, "Close list");
  private shares = new Shares();
  private now = (): number => this.picture?.at ?? 0;
  private tables;
  private dots = columns.dotTable();

  constructor(main: HTMLElement, private namespace: string, private name: string) {
    const path = `${namespace}/${name}`;
    this.tables = {
      pods: columns.podTable(path, this.now, (path, pod) => { if (this.seconds) spark(path, this.past.ofPod(pod.uid)); }),
      longest: columns.longestTable(), departures: columns.departureTable(this.now), endpoints: columns.endpointTable(),
      dependencies: columns.dependencyTable(), errors: columns.errorTable(), samples: columns.sampleTable(),
    };
    const bars = h("canvas", { class: "equalizer", role: "img", "aria-label": "requests in flight, one bar per pod" });
    this.equalizer = new Equalizer(bars, (pod) => go(`#/s/${path}/pod/${encodeURIComponent(pod)}`));
    const dots = h("canvas", { class: "scatter", role: "img", "aria-label": "requests of the last two minutes by response time" });
    this.scatter = new Scatter(dots, (found) => this.pick(found));
    replace(main, this.head(), this.then, this.gaps.element, this.panels(bars, dots));
  }

  private head(): HTMLElement {
    return h("section", { "aria-label": "Now" },
      h("div", { class: "head title" }, h("h2", {}, this.name), h("span", { class: "dim" }, this.namespace), this.health.element, this.covered.element, this.tools()),
      this.message,
      h("div", { class: "head" }, ...Object.values(this.figures).map((each) => each.element)),
      h("div", {}, this.buckets.element));
  }

  private tools(): HTMLElement {
    return h("span", { class: "tools" },
      h("button", { onclick: () => this.command() }, "Copy command"),
      h("button", { onclick: () => save(`${this.name}.csv`, new Blob([this.past.csv()], { type: "text/csv" })) }, "CSV"),
      h("button", { onclick: () => this.png() }, "PNG"));
  }

  private command(): void {
    const { name, namespace, wanted } = this;
    share([wanted.labels ? ["kubectl", "rollcall", "pods", name, "-n", namespace, "-l", wanted.labels] : ["kubectl", "rollcall", "top", name, "-n", namespace], ["kubectl", "-n", namespace, "get", "msvc", name, "-o", "yaml"]], [name, "-n", namespace],
      `/v1/services/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`, this.at);
  }

  private panels(bars: HTMLCanvasElement, dots: HTMLCanvasElement): HTMLElement {
    const panel = (title: string, width: string, ...content: (Node | string)[]): HTMLElement =>
      h("section", { class: `panel ${width}`, "aria-label": title }, h("h3", {}, title, ...content.slice(1)), content[0]);
    const failed = h("span", { class: "tools" },
      h("button", { onclick: () => this.pick(this.scatter.failed().reverse()) }, "List failed"),
      this.shut);
    return h("div", { class: "grid" },
      this.chart("Requests per second", [{ label: "requests/s", tone: "band0", fill: true }], (past) => [past.series.requestsPerSecond], { marked: true }),
      this.chart("Response time", [{ label: "p50", tone: "good" }, { label: "p95", tone: "warn", dash: [6, 3] }, { label: "p99", tone: "bad", dash: [2, 3] }], (past) => [past.series.p50, past.series.p95, past.series.p99], { unit: "seconds" }),
      this.chart("Errors per second", [{ label: "errors/s", tone: "bad", fill: true }], (past) => [past.series.errorsPerSecond]),
      this.chart("Pods by state", [{ label: "serving", tone: "good", fill: true }, { label: "not ready", tone: "warn", dash: [6, 3] }, { label: "not reporting", tone: "bad", dash: [2, 3] }], (past) => [past.sum("serving"), past.sum("unready", "pending"), past.sum("silent", "bare")]),
      panel("In flight", "w6", h("div", {}, bars, this.legend()), h("small", {}, "one bar per pod, one block per request; click for the pod")),
      panel("Requests", "w6", h("div", {}, dots, this.list), this.rate, failed),
      this.chart("Users", [{ label: "at once", tone: "accent", fill: true }, { label: "in 5 min", tone: "good", dash: [6, 3] }], (past) => [past.series.users, past.series.visitors]),
      this.chart("In flight by age", [0, 1, 2, 3].map((band) => ({ label: "", tone: `band${band}` })), (past) => past.bands, { stacked: true }),
      this.chart("Where the time went", CLASSES.map(([, words, tone]) => ({ label: words, tone })), (past) => CLASSES.map(([name]) => past.shares[name] ?? []), { unit: "share", stacked: true }, "w6"),
      panel("Pods", "", this.tables.pods.element),
      panel("Longest in flight", "w6", this.tables.longest.element),
      panel("Where the time goes", "w6", this.shares.element),
      panel("Dependencies", "w6", this.tables.dependencies.element),
      panel("Endpoints", "w6", this.tables.endpoints.element),
      panel("Departures", "", this.tables.departures.element),
      panel("Errors", "w4", this.tables.errors.element),
      panel("Samples of errors", "w8", this.tables.samples.element));
  }

  private legendBox = h("div", { class: "legend" });
  private legend(): HTMLElement {
    return this.legendBox;
  }

  private chart(title: string, lines: Line[], of: (past: Past) => Num[][], shape: Partial<Shape> = {}, width = "w3"): HTMLElement {
    const box = h("div", { class: "chart" });
    const chart = new Chart(box, lines, { ...shape, pick: (unix) => { location.hash = address(location.hash, unix); } });
    this.charts.push({ chart, of });
    return h("section", { class: `panel ${width}`, "aria-label": title }, h("h3", {}, title), box, chart.legend);
  }

  event(name: string, data: unknown): void {
    if (name === "message") this.picture = data as Picture;
    if (name === "points") this.scatter.add(data as Dots);
    if (name === "seconds") {
      this.past.add(data as History);
      this.looked = -1;
    }
  }

  moment(at: number): void {
    this.at = at;
    this.looked = -1;
  }

  filter(words: string): string {
    this.wanted = filterOf(words, FIELDS);
    return this.wanted.problem;
  }

  private finds(pod: Pod, picture: Picture): boolean {
    const { slot, name, state, reason, node, revision } = pod;
    return this.wanted.finds(() => `${slot ?? ""} ${name} ${state} ${reason ?? ""} ${node ?? ""} ${revision ?? ""}`,
      () => ({ name, slot: slot ?? "", state, reason: reason ?? "", node: node ?? "", revision: revision ?? "", source: pod.sources.join(",") }),
      () => picture.labelSets?.[pod.labelSet] ?? {});
  }

  renew(): void {
    for (const { chart } of this.charts) chart.renew();
    this.looked = -1;
    this.draw();
  }

  close(): void {
    for (const { chart } of this.charts) chart.close();
  }

  draw(): void {
    const picture = this.picture;
    if (!picture) return;
    this.seconds = this.looked < 0 || Math.floor(picture.at) !== this.looked;
    if (this.seconds) {
      if (this.at === null) this.past.look(picture);
      this.looked = Math.floor(picture.at);
      for (const { chart, of } of this.charts) chart.show([this.past.at, ...of(this.past)], this.past.marks, this.at);
      this.drawMoment();
    }
    this.drawHead(picture);
    const shown = (picture.roll ?? []).filter((pod) => this.finds(pod, picture));
    this.equalizer.show(shown.map((pod) => ({ name: pod.name, called: pod.slot ?? pod.name, bands: pod.inFlight?.bands ?? null, bad: pod.state === "silent" || pod.state === "bare" })));
    attribute(this.equalizer.canvas, "aria-label", `requests in flight: ${picture.traffic.inFlight?.total ?? "not known"}, by pod`);
    this.scatter.slow((picture.bandsMs[0] ?? 1000) / 1000);
    this.scatter.end = this.at === null ? "now" : clock(this.at);
    this.scatter.canvas.hidden = this.at !== null && !this.scatter.covers(this.at);
    this.scatter.draw(this.at ?? picture.at);
    const rate = this.scatter.rate();
    text(this.rate, this.at !== null ? (this.scatter.covers(this.at) ? "until this moment, as far as they are kept: a minute" : "one by one they are kept for a minute, not for this moment") : rate === null ? "no request told yet; drag a region to list it" : rate >= 1 ? "100 % of all are shown: slow ■, failed ✕; drag to list" : `${percent(rate)} of all are shown: slow ■, failed ✕ and a fair sample; drag to list`);
    this.tables.pods.update(shown, picture.roll?.length && !shown.length ? this.wanted.none("pod", () => picture.labelSets ?? []) ?? "No pod has this in its name, state or node." : undefined);
    this.drawLists(picture);
  }

  private drawHead(picture: Picture): void {
    const { traffic, visitors } = picture, { responseTime: time } = traffic;
    this.health.update(picture.health.state);
    this.covered.update(picture);
    text(this.message, picture.health.message || picture.health.reason);
    this.figures.pods.update(podsText(picture));
    this.figures.rate.update(count(traffic.requestsPerSecond));
    this.figures.p50.update(duration(time.p50));
    this.figures.p95.update(duration(time.p95));
    this.figures.p99.update(duration(time.p99));
    this.figures.errors.update(percent(traffic.errorRatio), errorTone(traffic.errorRatio));
    this.figures.flight.update(count(traffic.inFlight?.total ?? null));
    this.figures.users.update(count(visitors?.concurrentUsers ?? null));
    this.figures.visitors.update(count(visitors?.lastFiveMinutes ?? null));
    this.buckets.update(picture.pods);
    this.gaps.update(picture);
    const legend = picture.bandsMs.concat(0).map((_, band) => `${bandName(picture.bandsMs, band)}`);
    if (this.legendBox.textContent === legend.join("")) return;
    this.charts.find(({ of }) => of(this.past) === this.past.bands)?.chart.call(legend);
    replace(this.legendBox, ...legend.map((name, band) => h("span", {}, h("i", { class: `c${Math.min(band, 3)}` }), name)));
  }

  private drawLists(picture: Picture): void {
    this.tables.longest.update(picture.longest ?? []);
    this.tables.departures.update(picture.departures?.recent ?? []);
    this.tables.endpoints.update(picture.endpoints?.rows ?? []);
    this.tables.dependencies.update(picture.dependencies?.rows ?? []);
    this.tables.errors.update(picture.errors.byType ?? []);
    this.tables.samples.update(picture.errors.samples ?? []);
    this.shares.update(picture);
    if (this.picked) this.dots.update(this.picked);
  }

  /** What the history has of just that second; the picture may be of a few before. */
  private drawMoment(): void {
    if (this.at === null) return;
    const place = this.past.place(this.at), { series } = this.past, near = this.past.marks.filter((mark: Mark) => Math.abs(mark.at - (this.at ?? 0)) <= 5);
    this.then.hidden = place < 0;
    const flight = this.past.bands.reduce<Num>((sum, band) => (band[place] == null ? sum : (sum ?? 0) + (band[place] ?? 0)), null);
    text(this.then, `In the second ${clock(this.at)}: ${this.past.health[place] ?? NONE}, ${this.past.pods["serving"]?.[place] ?? NONE} pods serving, ${count(series.requestsPerSecond[place] ?? null)} requests/s, p95 ${duration(series.p95[place] ?? null)}, ${count(series.errorsPerSecond[place] ?? null)} errors/s, ${count(flight)} in flight. ${near.map(said).join("; ")}`);
  }

  private pick(found: Dot[] | null): void {
    this.picked = found && found.sort((a, b) => b.elapsed - a.elapsed).slice(0, 500).map((dot, key) => ({ ...dot, key }));
    this.list.hidden = this.shut.hidden = !this.picked;
    replace(this.list, this.dots.element);
    if (this.picked) this.dots.update(this.picked);
  }

  private png(): void {
    png(this.name, [...this.charts.map(({ chart }) => chart.canvas()), this.equalizer.canvas, this.scatter.canvas]);
  }
}
