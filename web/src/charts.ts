// Charts over the last minutes: uPlot for lines with an axis, canvas for what it has no form for.
import uPlot from "uplot";
import { attribute, colour, h, sheet, SPARK, text } from "./dom";
import { bytes, cores, count, duration, percent } from "./format";
import type { Mark, Num } from "./types";

export interface Line { label: string; tone: string; dash?: number[]; fill?: boolean }
export type Unit = "count" | "seconds" | "share" | "bytes" | "cores";
const HEIGHT = 150;
/** Nothing shorter is drawn: the axis of response times is logarithmic. */
const LEAST_S = 1e-4;
const DECADES = [0.0001, 0.001, 0.01, 0.1, 1, 10, 100, 1000];
/** A bar of the equalizer that is as wide has its name below it. */
const NAMED = 24;
const WRITTEN: Record<Unit, (value: Num) => string> = { count, seconds: duration, share: percent, bytes, cores };
const SIGNS: [string, string][] = [["6,3", "╌"], ["2,3", "┄"]];
const POWERS = Array.from({ length: 44 }, (_, power) => 2 ** power);
const time = (unix: number): string => new Date(unix * 1000).toLocaleTimeString([], { hour12: false, hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** `stacked`: each line is a part, drawn on top of those before it. `marked`: says what the marks are. */
export interface Shape { unit?: Unit; stacked?: boolean; marked?: boolean; pick: (unix: number) => void }

export class Chart {
  private plot: uPlot | null = null;
  private data: Num[][] = [];
  private marks: Mark[] = [];
  private at: number | null = null;
  private sized: ResizeObserver;
  private unit: Unit;
  private over = h("span", { class: "when" });
  private values: HTMLElement[];
  private names: HTMLElement[];
  /** What the lines are, and what they are at the cursor; without one, at the moment that is shown, or now. */
  readonly legend: HTMLElement;

  constructor(private parent: HTMLElement, private lines: Line[], private shape: Shape) {
    this.unit = shape.unit ?? "count";
    this.values = lines.map(() => h("b"));
    this.names = lines.map((line) => h("span", {}, line.label));
    this.legend = h("div", { class: "legend" }, ...lines.map((line, place) => {
      const sign = h("span", { class: `tone-${line.tone}`, "aria-hidden": "true" }, shape.stacked ? "■" : SIGNS.find(([dash]) => dash === String(line.dash))?.[1] ?? "─");
      return h("span", {}, sign, " ", this.names[place], " ", this.values[place]);
    }), shape.marked && h("span", {}, h("span", { class: "tone-accent" }, "│"), " deployment ┊ departure"), this.over);
    this.sized = new ResizeObserver(() => this.plot?.setSize({ width: this.width(), height: HEIGHT }));
    this.sized.observe(parent);
  }

  show(data: Num[][], marks: Mark[], at: number | null): void {
    this.data = data;
    this.marks = marks;
    this.at = at;
    const [seconds = [], ...values] = data;
    const drawn = [seconds, ...(this.shape.stacked ? stack(values) : this.unit === "seconds" ? values.map((line) => line.map((value) => value === null ? null : Math.max(value, LEAST_S))) : values)] as uPlot.AlignedData;
    if (!this.plot) this.plot = new uPlot(this.options(), drawn, this.parent);
    else this.plot.setData(drawn);
    this.say();
  }

  /** What the lines are is known only later. */
  call(names: string[]): void {
    names.forEach((name, place) => this.names[place] && text(this.names[place], name));
  }

  /** Colours are those of the theme. */
  renew(): void {
    this.plot?.destroy();
    this.plot = null;
    if (this.data.length) this.show(this.data, this.marks, this.at);
  }

  close(): void {
    this.sized.disconnect();
    this.plot?.destroy();
  }

  canvas(): HTMLCanvasElement | null {
    return this.plot?.ctx.canvas ?? null;
  }

  private say(): void {
    const seconds = this.data[0] ?? [], under = this.plot?.cursor.idx ?? null;
    const place = under ?? (this.at === null ? seconds.length - 1 : before(seconds, this.at));
    this.values.forEach((value, line) => text(value, WRITTEN[this.unit](this.data[line + 1]?.[place] ?? null)));
    const unix = under === null ? null : seconds[under] ?? null;
    const near = unix === null ? [] : this.marks.filter((mark) => Math.abs(mark.at - unix) <= 3).map(said);
    text(this.over, unix === null ? "" : [time(unix), ...near].join(" · "));
  }

  private width(): number {
    return Math.max(120, this.parent.clientWidth);
  }

  private options(): uPlot.Options {
    const grid = { stroke: colour("grid"), width: 1 }, stroke = colour("dim"), stacked = this.shape.stacked;
    const written = (values: number[]): string[] => values.map((value) => (value === null ? "" : value === 0 ? "0" : WRITTEN[this.unit](value)));
    const lines = stacked ? [...this.lines].reverse() : this.lines; // the sum of all is behind the sums of fewer
    return {
      width: this.width(),
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6, show: !stacked }, sync: { key: "time", setSeries: false } },
      scales: { x: { time: true }, y: this.unit === "seconds" ? { distr: 3, range: (_, least, most) => decades(least, most) } : { range: (_, __, most) => (this.unit === "share" && stacked ? [0, 1] : [0, most > 0 ? most * 1.1 : 1]) } },
      axes: [
        { stroke, grid, ticks: grid, size: 28, values: (_, ticks) => ticks.map(time), space: 90 },
        { stroke, grid, ticks: grid, size: this.unit === "bytes" ? 72 : 58, values: (_, ticks) => written(ticks), ...(this.unit === "bytes" ? { incrs: POWERS } : this.unit === "seconds" ? { splits: (_: uPlot, __: number, least: number, most: number) => DECADES.filter((each) => each >= least * 0.99 && each <= most * 1.01) } : {}) },
      ],
      series: [
        {},
        ...lines.map((line) => ({
          label: line.label, stroke: colour(line.tone), width: stacked ? 0.5 : 1.5, points: { show: false }, spanGaps: false,
          ...(line.dash ? { dash: line.dash } : {}), ...(stacked ? { fill: colour(line.tone) } : line.fill ? { fill: `${colour(line.tone)}22` } : {}),
        })),
      ],
      hooks: {
        draw: [(plot) => this.drawMarks(plot)],
        setCursor: [() => this.say()],
        ready: [(plot) => plot.over.addEventListener("click", (event) => this.shape.pick(plot.posToVal(event.offsetX, "x")))],
      },
    };
  }

  private drawMarks(plot: uPlot): void {
    const { ctx, bbox } = plot;
    ctx.save();
    const line = (unix: number, tone: string, dash: number[]): void => {
      const x = plot.valToPos(unix, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) return;
      ctx.strokeStyle = colour(tone);
      ctx.setLineDash(dash);
      ctx.lineWidth = 2;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    };
    for (const mark of this.marks) line(mark.at, mark.kind === "deployment" ? "accent" : "none", mark.kind === "deployment" ? [] : [3, 5]);
    if (this.at !== null) line(this.at, "text", []);
    ctx.restore();
  }
}

/** Powers of ten around them: response times are read as such, and one request that hung must not flatten all others. */
function decades(least: number | null, most: number | null): [number, number] {
  const low = 10 ** Math.floor(Math.log10(Math.max(least ?? LEAST_S, LEAST_S))), high = 10 ** Math.ceil(Math.log10(Math.max(most ?? 1, low * 1.01)));
  return [low, high];
}

/** Sums of the parts up to each, the whole first; a second of which nothing is known stays a gap. */
function stack(parts: Num[][]): Num[][] {
  const sums: Num[][] = [];
  for (const part of parts) {
    const below = sums[0];
    sums.unshift(part.map((value, place) => {
      const under = below?.[place] ?? null;
      return value === null ? under : value + (under ?? 0);
    }));
  }
  return sums;
}

/** The place of the last one that is not later. */
function before(seconds: Num[], unix: number): number {
  let low = 0, high = seconds.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((seconds[middle] ?? 0) <= unix) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export function said(mark: Mark): string {
  return `${mark.kind}: ${mark.what}${mark.count > 1 ? ` × ${mark.count}` : ""}`;
}

/** A line without axes; gaps stay gaps. No canvas: each would be a layer of its own for the browser, four times a second. */
export function spark(path: Element, values: Num[]): void {
  const most = Math.max(1e-9, ...values.map((value) => value ?? 0));
  let drawing = false, line = "";
  values.forEach((value, index) => {
    if (value === null) return void (drawing = false);
    const x = (index / Math.max(1, values.length - 1)) * (SPARK[0] - 2) + 1, y = SPARK[1] - 2 - (value / most) * (SPARK[1] - 4);
    line += `${drawing ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    drawing = true;
  });
  attribute(path, "d", line);
}

/** `called` is what stands below it, where there is room. */
export interface Bar { name: string; called: string; bands: number[] | null; bad: boolean }

/** The equalizer: one bar per pod, one block per request as long as there is room, the oldest on top. */
export class Equalizer {
  private bars: Bar[] = [];
  private step = 1;

  constructor(readonly canvas: HTMLCanvasElement, pick?: (name: string) => void) {
    if (!pick) return;
    const found = (event: MouseEvent): Bar | undefined => this.bars[Math.floor(event.offsetX / this.step)];
    canvas.addEventListener("click", (event) => {
      const bar = found(event);
      if (bar) pick(bar.name);
    });
    canvas.addEventListener("mousemove", (event) => {
      const bar = found(event);
      canvas.title = bar ? `${bar.called} ${bar.name === bar.called ? "" : bar.name}: ${bar.bands ? `${bar.bands.reduce((sum, each) => sum + each, 0)} in flight` : "not known"}` : "";
    });
  }

  show(bars: Bar[]): void {
    this.bars = bars;
    const made = sheet(this.canvas);
    if (!made) return;
    const { context, width, height } = made;
    this.step = Math.min(72, width / Math.max(1, bars.length));
    const thick = Math.max(1, this.step - (this.step > 6 ? 3 : this.step > 2.5 ? 1 : 0)), named = this.step >= NAMED, floor = height - (named ? 22 : 8);
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "center";
    const most = Math.max(10, ...bars.map((bar) => bar.bands?.reduce((sum, each) => sum + each, 0) ?? 0));
    const unit = (floor - 4) / most, gap = unit > 4 ? 1.5 : 0;
    const tones = [0, 1, 2, 3].map((band) => colour(`band${band}`));
    const grid = colour("grid"), none = colour("none"), bad = colour("bad"), dim = colour("dim");
    bars.forEach((bar, index) => {
      const x = index * this.step;
      context.fillStyle = bar.bad ? bad : bar.bands ? grid : none;
      context.fillRect(x, floor + 3, thick, bar.bad ? 5 : 3);
      if (named) {
        context.fillStyle = dim;
        context.fillText(/\w+$/.exec(bar.called)?.[0].slice(-6) ?? "", x + thick / 2, height - 2);
      }
      let y = floor;
      bar.bands?.forEach((many, band) => {
        context.fillStyle = tones[Math.min(band, 3)] ?? none;
        if (gap === 0) {
          context.fillRect(x, y - many * unit, thick, many * unit);
        } else for (let each = 0; each < many; each += 1) context.fillRect(x, y - (each + 1) * unit + gap, thick, unit - gap);
        y -= many * unit;
      });
    });
  }
}
