// Every request a dot: x when it ended, y how long it took (logarithmic), failed ones as crosses. Drag a region to list it.
import { colour, sheet } from "./dom";
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
const SLOW = 1;

export class Scatter {
  private dots: Dot[] = [];
  private box: [number, number, number, number] | null = null;
  private told: { at: number; points: number; requests: number }[] = [];
  slowS = SLOW;
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
    for (let i = 0; i < told.at.length; i += 1)
      this.dots.push({
        at: told.at[i] ?? 0, elapsed: told.elapsed[i] ?? 0, waited: told.waited[i] ?? 0, cpu: told.cpu[i] ?? null,
        weight: told.weight[i] ?? 1, outcome: told.outcome[i] ?? 0, endpoint: told.endpoints[told.endpoint[i] ?? -1] ?? "",
        pod: told.pods[told.pod[i] ?? -1] ?? "", error: told.errors[told.error[i] ?? -1] ?? "",
        dependency: told.dependencies[told.dependency[i] ?? -1] ?? "",
      });
    this.told.push({ at: told.until * 1000, points: told.points, requests: told.requests });
    const oldest = told.until * 1000 - KEPT_MS;
    if (this.dots.length > MOST + 5000 || (this.dots[0]?.at ?? oldest) < oldest - 5000)
      this.dots = this.dots.slice(-MOST).filter((dot) => dot.at >= oldest);
    while ((this.told[0]?.at ?? Infinity) < told.until * 1000 - 10_000) this.told.shift();
  }

  /** What part of all requests is shown, of the last ten seconds; null before there are any. */
  rate(): number | null {
    const points = this.told.reduce((sum, each) => sum + each.points, 0);
    const requests = this.told.reduce((sum, each) => sum + each.requests, 0);
    return requests ? points / requests : null;
  }

  failed(): Dot[] {
    return this.seen().filter((dot) => dot.outcome >= 8);
  }

  private seen(): Dot[] {
    return this.only ? this.dots.filter((dot) => dot.pod === this.only) : this.dots;
  }

  private x(at: number, width: number): number {
    return LEFT + (1 - (this.now - at) / KEPT_MS) * (width - LEFT);
  }

  private y(elapsed: number, height: number): number {
    const part = Math.log(Math.min(TOP_S, Math.max(LEAST_S, elapsed)) / LEAST_S) / Math.log(TOP_S / LEAST_S);
    return (1 - part) * (height - FOOT - 8) + 4;
  }

  private inside(a: [number, number], b: [number, number]): Dot[] {
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    const [left, right] = [Math.min(a[0], b[0]), Math.max(a[0], b[0])], [top, foot] = [Math.min(a[1], b[1]), Math.max(a[1], b[1])];
    return this.seen().filter((dot) => {
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
      context.fillText(ago ? `−${ago / 1000} s` : "now", Math.max(LEFT, x - (ago ? 14 : 26)), height - 3);
    }
    const tones = { ok: colour("band0"), slow: colour("band2"), failed: colour("band3") };
    const seen = this.seen();
    const place = (dot: Dot): [number, number] | null => {
      const x = this.x(dot.at, width);
      return x < LEFT ? null : [x, this.y(dot.elapsed, height)];
    };
    for (const slow of [false, true]) {
      context.fillStyle = slow ? tones.slow : tones.ok;
      for (const dot of seen) {
        if (dot.outcome >= 8 || dot.elapsed >= this.slowS !== slow) continue;
        const at = place(dot);
        if (at) context.fillRect(at[0] - 1, at[1] - 1, slow ? 3 : 2, slow ? 3 : 2);
      }
    }
    context.strokeStyle = tones.failed;
    context.lineWidth = 1.5;
    context.beginPath();
    for (const dot of seen) {
      const at = dot.outcome >= 8 ? place(dot) : null;
      if (!at) continue;
      context.moveTo(at[0] - 3, at[1] - 3);
      context.lineTo(at[0] + 3, at[1] + 3);
      context.moveTo(at[0] + 3, at[1] - 3);
      context.lineTo(at[0] - 3, at[1] + 3);
    }
    context.stroke();
    if (this.box) {
      const [x0, y0, x1, y1] = this.box;
      context.strokeStyle = colour("accent");
      context.strokeRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
    }
  }
}
