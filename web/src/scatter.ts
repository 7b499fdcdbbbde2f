// Every request a dot: x when it ended, y how long it took (logarithmic), failed ones as crosses. Drag a region to list it.
import { colour, Sheet, sheet } from "./dom";
import { duration } from "./format";
import type { Dots } from "./types";

export interface Dot {
  at: number; elapsed: number; waited: number; cpu: number | null; weight: number; outcome: number;
  endpoint: string; pod: string; error: string; dependency: string;
}
const KEPT_MS = 120_000;
const MOST = 60_000;
const LEAST_S = 0.001, TOP_S = 60;
const LEFT = 52, FOOT = 18;
const SLACK = 8000;
const SLOW_S = 1;
const OK = 0, SLOW = 1, FAILED = 2;

export class Scatter {
  private dots: Dot[] = [];
  private times = new Float64Array(MOST + 2 * SLACK);
  private heights = new Float32Array(MOST + 2 * SLACK);
  private kinds = new Uint8Array(MOST + 2 * SLACK);
  private placed = 0;
  private layer = document.createElement("canvas");
  private image: ImageData | null = null;
  private box: [number, number, number, number] | null = null;
  private told: { at: number; points: number; requests: number }[] = [];
  private slowS = SLOW_S;
  /** What the right end of the axis is. */
  end = "now";
  only = "";
  private now = 0;

  constructor(readonly canvas: HTMLCanvasElement, private picked: (dots: Dot[] | null) => void) {
    let from: [number, number] | null = null;
    canvas.addEventListener("pointerdown", (event) => {
      from = [event.offsetX, event.offsetY];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (from) this.box = [from[0], from[1], event.offsetX, event.offsetY];
    });
    canvas.addEventListener("pointerup", (event) => {
      if (!from) return;
      const small = Math.abs(event.offsetX - from[0]) < 4 && Math.abs(event.offsetY - from[1]) < 4;
      this.picked(small ? null : this.inside(from, [event.offsetX, event.offsetY]));
      from = this.box = null;
    });
  }

  add(told: Dots): void {
    for (let i = 0; i < told.at.length; i += 1) {
      const pod = told.pods[told.pod[i] ?? -1] ?? "";
      if (this.only && pod !== this.only) continue;
      this.dots.push({
        at: told.at[i] ?? 0, elapsed: told.elapsed[i] ?? 0, waited: told.waited[i] ?? 0, cpu: told.cpu[i] ?? null,
        weight: told.weight[i] ?? 1, outcome: told.outcome[i] ?? 0, endpoint: told.endpoints[told.endpoint[i] ?? -1] ?? "",
        pod, error: told.errors[told.error[i] ?? -1] ?? "", dependency: told.dependencies[told.dependency[i] ?? -1] ?? "",
      });
    }
    this.told.push({ at: told.until * 1000, points: told.points, requests: told.requests });
    const oldest = told.until * 1000 - KEPT_MS;
    if (this.dots.length > MOST + SLACK || (this.dots[0]?.at ?? oldest) < oldest - 5000) {
      this.dots = this.dots.slice(-MOST).filter((dot) => dot.at >= oldest);
      this.placed = 0;
    }
    this.place();
    while ((this.told[0]?.at ?? Infinity) < told.until * 1000 - 10_000) this.told.shift();
  }

  /** From when on a request is slow. */
  slow(seconds: number): void {
    if (seconds === this.slowS) return;
    this.slowS = seconds;
    this.placed = 0;
    this.place();
  }

  /** Where dots are, in numbers that are quickly gone through. */
  private place(): void {
    for (; this.placed < this.dots.length && this.placed < this.times.length; this.placed += 1) {
      const dot = this.dots[this.placed] as Dot;
      this.times[this.placed] = dot.at;
      this.heights[this.placed] = partOf(dot.elapsed);
      this.kinds[this.placed] = dot.outcome >= 8 ? FAILED : dot.elapsed >= this.slowS ? SLOW : OK;
    }
  }

  /** What part of all requests is shown, of the last ten seconds; null before there are any. */
  rate(): number | null {
    const points = this.told.reduce((sum, each) => sum + each.points, 0);
    const requests = this.told.reduce((sum, each) => sum + each.requests, 0);
    return requests ? points / requests : null;
  }

  failed(): Dot[] {
    return this.dots.filter((dot) => dot.outcome >= 8 && dot.at <= this.now);
  }

  /** Whether dots of before that time are here. */
  covers(unix: number): boolean {
    return (this.dots[0]?.at ?? Infinity) < unix * 1000;
  }

  private x(at: number, width: number): number {
    return LEFT + (1 - (this.now - at) / KEPT_MS) * (width - LEFT);
  }

  private y(elapsed: number, height: number): number {
    return (1 - partOf(elapsed)) * (height - FOOT - 8) + 4;
  }

  private inside(a: [number, number], b: [number, number]): Dot[] {
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    const [left, right] = [Math.min(a[0], b[0]), Math.max(a[0], b[0])], [top, foot] = [Math.min(a[1], b[1]), Math.max(a[1], b[1])];
    return this.dots.filter((dot) => {
      const x = this.x(dot.at, width), y = this.y(dot.elapsed, height);
      return x >= left && x <= right && y >= top && y <= foot;
    });
  }

  draw(unix: number): void {
    const made = sheet(this.canvas);
    if (!made) return;
    this.now = unix * 1000;
    const { context, width, height } = made;
    context.font = "11px system-ui, sans-serif";
    for (const seconds of [0.001, 0.01, 0.1, 1, 10, 60]) {
      const y = this.y(seconds, height);
      context.fillStyle = colour("grid");
      context.fillRect(LEFT, y, width - LEFT, 1);
      context.fillStyle = colour("dim");
      context.fillText(duration(seconds).replace(".0", ""), 2, y + 4);
    }
    for (let ago = 0; ago <= KEPT_MS; ago += 30_000) {
      const x = this.x(this.now - ago, width);
      context.textAlign = ago ? "center" : "right";
      context.fillText(ago ? `−${ago / 1000} s` : this.end, Math.max(LEFT + 18, x), height - 3);
    }
    context.textAlign = "left";
    this.drawDots(made);
    if (this.box) {
      const [x0, y0, x1, y1] = this.box;
      context.strokeStyle = colour("accent");
      context.strokeRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
    }
  }

  /** Tens of thousands, four times a second: written as pixels, which takes a tenth of the time of drawing each. */
  private drawDots({ canvas, context, width, height }: Sheet): void {
    const { width: wide, height: high } = canvas, scale = wide / width;
    if (this.layer.width !== wide || this.layer.height !== high) {
      this.layer.width = wide;
      this.layer.height = high;
      this.image = null;
    }
    const layer = this.layer.getContext("2d");
    if (!layer) return;
    const image = (this.image ??= layer.createImageData(wide, high)), pixels = new Uint32Array(image.data.buffer);
    pixels.fill(0);
    const perMs = ((width - LEFT) / KEPT_MS) * scale, end = wide, tall = (height - FOOT - 8) * scale, top = 4 * scale;
    for (const kind of [OK, SLOW, FAILED]) {
      const ink = inkOf(colour(["band0", "band2", "band3"][kind] ?? "text")), size = Math.max(1, Math.round((kind === OK ? 2 : 3) * scale)), arm = Math.round(3 * scale);
      for (let dot = 0; dot < this.placed; dot += 1) {
        if (this.kinds[dot] !== kind) continue;
        const x = (end - (this.now - (this.times[dot] ?? 0)) * perMs) | 0, y = ((1 - (this.heights[dot] ?? 0)) * tall + top) | 0;
        if (x < LEFT * scale + arm || x > wide - arm - 2 || y < arm || y >= high - arm - 1) continue;
        if (kind === FAILED) {
          for (let step = -arm; step <= arm; step += 1) {
            pixels[(y + step) * wide + x + step] = pixels[(y + step) * wide + x + step + 1] = ink;
            pixels[(y - step) * wide + x + step] = pixels[(y - step) * wide + x + step + 1] = ink;
          }
        } else for (let row = 0; row < size; row += 1) pixels.fill(ink, (y + row) * wide + x, (y + row) * wide + x + size);
      }
    }
    layer.putImageData(image, 0, 0);
    context.drawImage(this.layer, 0, 0, width, height);
  }
}

/** How high: logarithmic, 0 to 1. */
function partOf(elapsed: number): number {
  return Math.log(Math.min(TOP_S, Math.max(LEAST_S, elapsed)) / LEAST_S) / Math.log(TOP_S / LEAST_S);
}

/** #rgb or #rrggbb as a pixel. */
function inkOf(text: string): number {
  const digits = text.length === 4 ? [...text.slice(1)].map((digit) => digit + digit).join("") : text.slice(1);
  const value = parseInt(digits, 16);
  return (0xff000000 | ((value & 0xff) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}
