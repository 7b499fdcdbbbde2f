// One pod: the same facts, its own requests, and why it is in its state.
import { get, Trouble } from "./api";
import { Chart, Equalizer, Line, Shape } from "./charts";
import * as columns from "./columns";
import { h, replace, text } from "./dom";
import { saidLabels } from "./filter";
import { bytes, clock, cores, count, duration, NONE, percent, span } from "./format";
import { address } from "./moment";
import { Scatter } from "./scatter";
import { csv, png, save, share } from "./share";
import type { Dots, Num, Pod, PodHistory, Picture, Why } from "./types";
import { chip, errorTone, figure, STATE_SIGNS, STATES, View } from "./view";

/** How old its report was when that was asked; the page says by itself how old it is. */
const AGE = /; its last report is [\d.]+ s old$/;

export class PodView implements View {
  private picture: Picture | null = null;
  private at: number | null = null;
  private past: PodHistory = { at: [], state: [], requestsPerSecond: [], errorRatio: [], p95: [], inFlight: [], cpuMillicores: [], memoryBytes: [] };
  private charts: { chart: Chart; of: (past: PodHistory) => Num[] }[] = [];
  private looked = -1;
  private asked = "";
  private state = chip();
  private why = h("p", { class: "dim" });
  private facts = h("div", { class: "states" });
  private told = "";
  private figures = {
    rate: figure("requests/s"), p95: figure("p95"), errors: figure("errors"), flight: figure("in flight"), cpu: figure("CPU cores"),
    memory: figure("memory"), workers: figure("workers busy"), queue: figure("listen queue"), age: figure("last report"),
  };
  private bars = new Equalizer(h("canvas", { class: "equalizer", role: "img", "aria-label": "requests in flight of this pod" }));
  private rate = h("small");
  private scatter = new Scatter(h("canvas", { class: "scatter", role: "img", "aria-label": "requests of this pod in the last two minutes" }), () => undefined);
  private longest = columns.longestTable();
  private samples = columns.sampleTable();
  private departures = columns.departureTable(() => this.picture?.at ?? 0);

  constructor(main: HTMLElement, private namespace: string, private service: string, private name: string) {
    this.scatter.only = name;
    this.remember();
    const panel = (title: string, width: string, content: Node): HTMLElement =>
      h("section", { class: `panel ${width}`, "aria-label": title }, h("h3", {}, title), content);
    replace(main,
      h("p", {}, h("a", { href: `#/s/${namespace}/${service}` }, `← ${service}`)),
      h("section", { "aria-label": "Now" },
        h("div", { class: "head title" }, h("h2", {}, name), this.state.element, this.tools()), this.why, this.facts,
        h("div", { class: "head" }, ...Object.values(this.figures).map((each) => each.element))),
      h("div", { class: "grid" },
        this.chart("Requests per second", { label: "requests/s", tone: "band0", fill: true }, (past) => past.requestsPerSecond),
        this.chart("p95 of the last seconds", { label: "p95", tone: "warn" }, (past) => past.p95, { unit: "seconds" }),
        this.chart("Errors", { label: "of the requests", tone: "bad", fill: true }, (past) => past.errorRatio, { unit: "share" }),
        this.chart("In flight", { label: "requests", tone: "accent", fill: true }, (past) => past.inFlight),
        this.chart("CPU", { label: "cores", tone: "good", fill: true }, (past) => past.cpuMillicores, { unit: "cores" }),
        this.chart("Memory", { label: "working set", tone: "band2", fill: true }, (past) => past.memoryBytes, { unit: "bytes" }),
        h("section", { class: "panel w3", "aria-label": "In flight now" }, h("h3", {}, "In flight by age"), this.bars.canvas),
        h("section", { class: "panel w9", "aria-label": "Requests" }, h("h3", {}, "Requests", this.rate), this.scatter.canvas),
        panel("Longest in flight", "w6", this.longest.element), panel("Pods of this slot that left", "w6", this.departures.element),
        panel("Samples of errors", "", this.samples.element)));
  }

  private tools(): HTMLElement {
    const columns = ["at", "state", "requestsPerSecond", "errorRatio", "p95", "inFlight", "cpuMillicores", "memoryBytes"] as const;
    const file = (): Blob => csv([...columns], this.past.at.map((_, place) => columns.map((name) => this.past[name][place] ?? null)));
    const path = `/v1/services/${encodeURIComponent(this.namespace)}/${encodeURIComponent(this.service)}`;
    return h("span", { class: "tools" },
      h("button", { onclick: () => share([["kubectl", "rollcall", "why", this.name, "-n", this.namespace], ["kubectl", "-n", this.namespace, "describe", "pod", this.name]], [this.service, "-n", this.namespace], path, this.at) }, "Copy command"),
      h("button", { onclick: () => save(`${this.name}.csv`, file()) }, "CSV"),
      h("button", { onclick: () => png(this.name, [...this.charts.map(({ chart }) => chart.canvas()), this.scatter.canvas]) }, "PNG"));
  }

  private chart(title: string, line: Line, of: (past: PodHistory) => Num[], shape: Partial<Shape> = {}): HTMLElement {
    const box = h("div", { class: "chart" });
    const chart = new Chart(box, [line], { ...shape, pick: (unix) => { location.hash = address(location.hash, unix); } });
    this.charts.push({ chart, of });
    return h("section", { class: "panel w4", "aria-label": title }, h("h3", {}, title), box, chart.legend);
  }

  /** What the operator keeps of it; from then on what the pictures say. */
  private remember(): void {
    get<PodHistory>(`/v1/services/${this.namespace}/${this.service}/pods/${encodeURIComponent(this.name)}/history`).then((told) => {
      const since = this.past, newest = told.at[told.at.length - 1] ?? 0;
      this.past = told;
      since.at.forEach((at, place) => at > newest && this.add(at, since.state[place] ?? "", [since.requestsPerSecond, since.errorRatio, since.p95, since.inFlight, since.cpuMillicores, since.memoryBytes].map((column) => column[place] ?? null)));
      this.looked = -1;
      this.draw();
    }, () => undefined);
  }

  private add(at: number, state: string, values: Num[]): void {
    const { past } = this;
    const columns = [past.requestsPerSecond, past.errorRatio, past.p95, past.inFlight, past.cpuMillicores, past.memoryBytes];
    past.at.push(at);
    past.state.push(state);
    columns.forEach((column, place) => column.push(values[place] ?? null));
    if (past.at.length > 2000) for (const column of [past.at, past.state, ...columns]) column.splice(0, 500);
  }

  moment(at: number): void {
    this.at = at;
    this.looked = -1;
  }

  close(): void {
    for (const { chart } of this.charts) chart.close();
  }

  event(name: string, data: unknown): void {
    if (name === "message") this.picture = data as Picture;
    if (name === "points") this.scatter.add(data as Dots);
  }

  filter(): string { return ""; } // there is one pod

  renew(): void {
    for (const { chart } of this.charts) chart.renew();
    this.draw();
  }

  draw(): void {
    const picture = this.picture;
    if (!picture) return;
    const pod = (picture.roll ?? []).find((each) => each.name === this.name);
    if (Math.floor(picture.at) !== this.looked) {
      if (pod && this.at === null && this.looked >= 0 && picture.at > (this.past.at[this.past.at.length - 1] ?? 0))
        this.add(picture.at, pod.state, [pod.requestsPerSecond, pod.errorRatio, pod.p95, pod.inFlight?.total ?? null, pod.resources?.cpuMillicores ?? null, pod.resources?.memoryBytes ?? null]);
      this.looked = Math.floor(picture.at);
      if (this.past.at.length) for (const { chart, of } of this.charts) chart.show([this.past.at, of(this.past)], [], this.at);
    }
    text(this.rate, this.at === null ? "of the last two minutes, as far as they are told: slow ■, failed ✕" : this.scatter.covers(this.at) ? "until this moment, as far as they are kept: a minute" : "one by one they are kept for a minute, not for this moment");
    if (!pod) return this.gone(picture);
    this.drawHead(picture, pod);
    this.bars.show([{ name: pod.name, called: pod.slot ?? pod.name, bands: pod.inFlight?.bands ?? null, bad: pod.state === "silent" }]);
    this.scatter.slow((picture.bandsMs[0] ?? 1000) / 1000);
    this.scatter.end = this.at === null ? "now" : clock(this.at);
    this.scatter.canvas.hidden = this.at !== null && !this.scatter.covers(this.at);
    this.scatter.draw(this.at ?? picture.at);
    this.longest.update((picture.longest ?? []).filter((each) => each.pod === pod.name));
    this.samples.update((picture.errors.samples ?? []).filter((each) => each.pod === pod.name));
    this.departures.update((picture.departures?.recent ?? []).filter((each) => each.slot !== null && each.slot === pod.slot));
  }

  private gone(picture: Picture): void {
    const left = picture.departures?.recent?.find((each) => each.name === this.name);
    this.state.update("→", "left", "none");
    text(this.why, left ? `It left at ${clock(left.at)}: ${left.cause}. ${left.evidence}.` : "This pod is not on the roll.");
    for (const each of Object.values(this.figures)) each.update(NONE);
    this.departures.update(left ? [left] : []);
  }

  private drawHead(picture: Picture, pod: Pod): void {
    const { figures } = this, { resources } = pod;
    const tone = STATES.find(([state]) => state === pod.state)?.[1] ?? "none";
    this.state.update(STATE_SIGNS[pod.state] ?? "?", pod.reason ? `${pod.state} · ${pod.reason}` : pod.state, tone === "band2" ? "warn" : tone === "accent" ? "none" : tone);
    figures.rate.update(count(pod.requestsPerSecond));
    figures.p95.update(duration(pod.p95));
    figures.errors.update(percent(pod.errorRatio), errorTone(pod.errorRatio));
    figures.flight.update(count(pod.inFlight?.total ?? null));
    figures.cpu.update(`${cores(resources?.cpuMillicores ?? null)}${resources?.cpuLimitMillicores ? ` of ${cores(resources.cpuLimitMillicores)}` : ""}${old(resources?.age)}`);
    figures.memory.update(`${bytes(resources?.memoryBytes ?? null)}${resources?.memoryLimitBytes ? ` of ${bytes(resources.memoryLimitBytes)}` : ""}${old(resources?.age)}`);
    figures.workers.update(`${count(pod.busyWorkers)}/${count(pod.workers)}`);
    figures.queue.update(count(pod.listenQueue));
    figures.age.update(pod.reportAge === null ? NONE : pod.reportAge < 2 ? "now" : `${span(pod.reportAge)} ago`, pod.reportAge !== null && pod.reportAge > 2 ? "warn" : "");
    const told = [["slot", pod.slot], ["node", pod.node], ["revision", pod.revision], ["age", span(Math.max(0, picture.at - pod.createdAt))], ["restarts", String(pod.restarts)], ["told by", pod.sources.join(", ")]]
      .filter(([, value]) => value).map(([name, value]) => `${name} ${value}`).join("  ·  ");
    const labels = saidLabels(picture.labelSets?.[pod.labelSet] ?? {});
    if (this.told !== `${told}\n${labels}`) replace(this.facts, h("div", {}, told), labels && h("div", { class: "labels" }, `labels ${labels}`));
    this.told = `${told}\n${labels}`;
    const key = `${pod.state} ${pod.reason}`;
    if (this.at !== null) return text(this.why, `It was ${pod.state}${pod.reason ? `: ${pod.reason}` : ""}.`);
    if (key !== this.asked) {
      this.asked = key;
      get<Why>(`/v1/why/${this.namespace}/${pod.name}`).then(
        (why) => text(this.why, `${why.sentence.replace(AGE, "")}.${why.remedy ? ` What to do: ${why.remedy}.` : ""}`),
        (trouble: Trouble) => text(this.why, trouble.sentence ?? ""));
    }
  }
}

function old(age: number | undefined): string {
  return age !== undefined && age > 2 ? ` · ${span(age)} old` : "";
}
