// Charts over the last minutes: uPlot for lines with an axis, canvas for what it has no form for.
import uPlot from "uplot";
import { colour, sheet } from "./dom";
import { duration, count } from "./format";
import type { Mark, Num } from "./types";

export interface Line { label: string; tone: string; dash?: number[]; fill?: boolean }
const HEIGHT = 150;

export class Chart {
  private plot: uPlot | null = null;
  private data: Num[][] = [];
  private marks: Mark[] = [];
  private at: number | null = null;
  private sized: ResizeObserver;

  constructor(
    private parent: HTMLElement, private lines: Line[], private seconds: boolean, private pick: (unix: number) => void,
  ) {
    this.sized = new ResizeObserver(() => this.plot?.setSize({ width: this.width(), height: HEIGHT }));
    this.sized.observe(parent);
  }

  show(data: Num[][], marks: Mark[], at: number | null): void {
    this.data = data;
    this.marks = marks;
    this.at = at;
    if (!this.plot) this.plot = new uPlot(this.options(), data as uPlot.AlignedData, this.parent);
    else this.plot.setData(data as uPlot.AlignedData);
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

  private width(): number {
    return Math.max(120, this.parent.clientWidth);
  }

  private options(): uPlot.Options {
    const grid = { stroke: colour("grid"), width: 1 }, stroke = colour("dim");
    const written = (values: number[]): string[] =>
      values.map((value) => (value === null ? "" : value === 0 ? "0" : this.seconds ? duration(value) : count(value)));
    return {
      width: this.width(),
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { x: { time: true }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
      axes: [
        { stroke, grid, ticks: grid, size: 28, values: (_, ticks) => ticks.map((tick) => new Date(tick * 1000).toLocaleTimeString([], { hour12: false, hour: "2-digit", minute: "2-digit", second: "2-digit" })), space: 90 },
        { stroke, grid, ticks: grid, size: 58, values: (_, ticks) => written(ticks) },
      ],
      series: [
        {},
        ...this.lines.map((line) => ({
          label: line.label, stroke: colour(line.tone), width: 1.5, points: { show: false }, spanGaps: false,
          ...(line.dash ? { dash: line.dash } : {}), ...(line.fill ? { fill: `${colour(line.tone)}22` } : {}),
        })),
      ],
      hooks: {
        draw: [(plot) => this.drawMarks(plot)],
        ready: [(plot) => plot.over.addEventListener("click", (event) => this.pick(plot.posToVal(event.offsetX, "x")))],
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

/** A line without axes; gaps stay gaps. */
export function spark(canvas: HTMLCanvasElement, values: Num[], tone: string): void {
  const made = sheet(canvas);
  if (!made || values.length < 2) return;
  const { context, width, height } = made;
  const most = Math.max(1e-9, ...values.map((value) => value ?? 0));
  context.strokeStyle = colour(tone);
  context.lineWidth = 1.5;
  context.beginPath();
  let drawing = false;
  values.forEach((value, index) => {
    if (value === null) return void (drawing = false);
    const x = (index / (values.length - 1)) * (width - 2) + 1, y = height - 2 - (value / most) * (height - 4);
    if (drawing) context.lineTo(x, y);
    else context.moveTo(x, y);
    drawing = true;
  });
  context.stroke();
}

export interface Bar { name: string; bands: number[] | null; bad: boolean }

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
      canvas.title = bar ? `${bar.name}: ${bar.bands ? `${bar.bands.reduce((sum, each) => sum + each, 0)} in flight` : "not known"}` : "";
    });
  }

  show(bars: Bar[]): void {
    this.bars = bars;
    const made = sheet(this.canvas);
    if (!made) return;
    const { context, width, height } = made;
    this.step = Math.min(72, width / Math.max(1, bars.length));
    const thick = Math.max(1, this.step - (this.step > 6 ? 3 : this.step > 2.5 ? 1 : 0)), floor = height - 8;
    const most = Math.max(10, ...bars.map((bar) => bar.bands?.reduce((sum, each) => sum + each, 0) ?? 0));
    const unit = (floor - 4) / most, gap = unit > 4 ? 1.5 : 0;
    const tones = [0, 1, 2, 3].map((band) => colour(`band${band}`));
    const grid = colour("grid"), none = colour("none"), bad = colour("bad");
    bars.forEach((bar, index) => {
      const x = index * this.step;
      context.fillStyle = bar.bad ? bad : bar.bands ? grid : none;
      context.fillRect(x, floor + 3, thick, bar.bad ? 5 : 3);
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
