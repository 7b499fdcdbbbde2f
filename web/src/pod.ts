// One pod: the same facts, its own requests, and why it is in its state.
import { get, Trouble } from "./api";
import { Equalizer, spark } from "./charts";
import * as columns from "./columns";
import { h, replace, text } from "./dom";
import { bytes, clock, cores, count, duration, NONE, percent, span } from "./format";
import { Past } from "./past";
import { Scatter } from "./scatter";
import type { Dots, Pod, Picture } from "./types";
import { chip, errorTone, figure, STATE_SIGNS, STATES, View } from "./view";

interface Why { sentence: string; remedy: string; state: string | null; reason: string | null }

export class PodView implements View {
  private picture: Picture | null = null;
  private past = new Past();
  private looked = -1;
  private asked = "";
  private state = chip();
  private why = h("p", { class: "dim" });
  private facts = h("div", { class: "states" });
  private figures = {
    rate: figure("requests/s"), p95: figure("p95"), errors: figure("errors"), flight: figure("in flight"), cpu: figure("CPU cores"),
    memory: figure("memory"), workers: figure("workers busy"), queue: figure("listen queue"), age: figure("last report"),
  };
  private bars = new Equalizer(h("canvas", { class: "equalizer", role: "img", "aria-label": "requests in flight of this pod" }));
  private line = h("canvas", { class: "equalizer", role: "img", "aria-label": "requests per second of the last minute" });
  private scatter = new Scatter(h("canvas", { class: "scatter", role: "img", "aria-label": "requests of this pod in the last two minutes" }), () => undefined);
  private longest = columns.longestTable();
  private samples = columns.sampleTable();
  private departures = columns.departureTable(() => this.picture?.at ?? 0);

  constructor(main: HTMLElement, private namespace: string, service: string, private name: string) {
    this.scatter.only = name;
    const panel = (title: string, width: string, content: Node): HTMLElement =>
      h("section", { class: `panel ${width}`, "aria-label": title }, h("h3", {}, title), content);
    replace(main,
      h("p", {}, h("a", { href: `#/s/${namespace}/${service}` }, `← ${service}`)),
      h("section", { "aria-label": "Now" },
        h("div", { class: "head title" }, h("h2", {}, name), this.state.element), this.why, this.facts,
        h("div", { class: "head" }, ...Object.values(this.figures).map((each) => each.element))),
      h("div", { class: "grid" },
        panel("In flight", "w4", this.bars.canvas), panel("Requests per second, since this page is open", "w8", this.line),
        panel("Requests", "", this.scatter.canvas),
        panel("Longest in flight", "w6", this.longest.element), panel("Pods of this slot that left", "w6", this.departures.element),
        panel("Samples of errors", "", this.samples.element)));
  }

  event(name: string, data: unknown): void {
    if (name === "message") this.picture = data as Picture;
    if (name === "points") this.scatter.add(data as Dots);
  }

  filter(): void { /* there is one pod */ }

  renew(): void {
    this.draw();
  }

  draw(): void {
    const picture = this.picture;
    if (!picture) return;
    const pod = (picture.roll ?? []).find((each) => each.name === this.name);
    if (!pod) return this.gone(picture);
    if (Math.floor(picture.at) !== this.looked) {
      this.looked = Math.floor(picture.at);
      this.past.look(picture);
      spark(this.line, this.past.ofPod(pod.uid), "band0");
    }
    this.drawHead(picture, pod);
    this.bars.show([{ name: pod.slot ?? pod.name, bands: pod.inFlight?.bands ?? null, bad: pod.state === "silent" }]);
    this.scatter.slowS = (picture.bandsMs[0] ?? 1000) / 1000;
    this.scatter.draw(picture.at);
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
    if (this.facts.textContent !== told) replace(this.facts, h("div", {}, told));
    const key = `${pod.state} ${pod.reason}`;
    if (key !== this.asked) {
      this.asked = key;
      get<Why>(`/v1/why/${this.namespace}/${pod.name}`).then(
        (why) => text(this.why, `${why.sentence}.${why.remedy ? ` ${why.remedy}.` : ""}`),
        (trouble: Trouble) => text(this.why, trouble.sentence ?? ""));
    }
  }
}

function old(age: number | undefined): string {
  return age !== undefined && age > 2 ? ` · ${span(age)} old` : "";
}
