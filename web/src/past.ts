// What the page remembers: the service's last 15 minutes by the second, as the operator tells them, and a minute of each pod.
import type { History, Mark, Num, Picture } from "./types";

export const KEPT_S = 900;
const POD_S = 60;
const NAMES = ["requestsPerSecond", "errorsPerSecond", "p50", "p95", "p99", "users", "visitors", "coverage"] as const;
type Name = (typeof NAMES)[number];

export class Past {
  at: number[] = [];
  series: Record<Name, Num[]> = { requestsPerSecond: [], errorsPerSecond: [], p50: [], p95: [], p99: [], users: [], visitors: [], coverage: [] };
  bands: Num[][] = [];
  shares: Record<string, Num[]> = {};
  pods: Record<string, number[]> = {};
  health: string[] = [];
  marks: Mark[] = [];
  private byPod = new Map<string, Num[]>();

  add(told: History): void {
    const newest = this.at[this.at.length - 1] ?? -Infinity;
    const from = told.at.findIndex((second) => second > newest);
    if (from < 0) return;
    if (this.bands.length === 0) {
      this.bands = told.bands.map(() => []);
      for (const state of Object.keys(told.pods)) this.pods[state] = [];
      for (const share of Object.keys(told.shares)) this.shares[share] = [];
    }
    const columns = this.columns();
    const sorted = <T,>(of: Record<string, T[]>, from: Record<string, T[]>): T[][] => Object.keys(of).sort().map((name) => from[name] ?? []);
    const next: (Num | string)[][] = [...NAMES.map((name) => told[name]), ...told.bands, ...sorted(this.pods, told.pods), ...sorted(this.shares, told.shares), told.health];
    for (let i = from; i < told.at.length; i += 1) {
      const second = told.at[i] ?? 0, before = this.at[this.at.length - 1];
      if (before !== undefined && second > before + 1) { // a gap is drawn as a gap
        this.at.push(before + 1);
        columns.forEach((column) => column.push(null as never));
      }
      this.at.push(second);
      columns.forEach((column, place) => column.push((next[place]?.[i] ?? null) as never));
    }
    const oldest = (this.at[this.at.length - 1] ?? 0) - KEPT_S;
    const cut = this.at.findIndex((second) => second > oldest);
    if (cut > 0) for (const column of [this.at, ...columns]) column.splice(0, cut);
    this.marks = [...this.marks, ...told.marks].filter((mark) => mark.at > oldest).slice(-200);
  }

  private columns(): (Num | string)[][] {
    return [...NAMES.map((name) => this.series[name]), ...this.bands, ...Object.keys(this.pods).sort().map((state) => this.pods[state] ?? []), ...Object.keys(this.shares).sort().map((share) => this.shares[share] ?? []), this.health];
  }

  /** How many pods were in one of these states. */
  sum(...states: string[]): Num[] {
    return this.at.map((_, place) => states.reduce<Num>((sum, state) => {
      const many = this.pods[state]?.[place];
      return many === undefined || many === null ? sum : (sum ?? 0) + many;
    }, null));
  }

  /** Once a second. */
  look(picture: Picture): void {
    const here = new Set<string>();
    for (const pod of picture.roll ?? []) {
      here.add(pod.uid);
      const values = this.byPod.get(pod.uid) ?? [];
      values.push(pod.requestsPerSecond);
      if (values.length > POD_S) values.shift();
      this.byPod.set(pod.uid, values);
    }
    for (const uid of [...this.byPod.keys()]) if (!here.has(uid)) this.byPod.delete(uid);
  }

  ofPod(uid: string): Num[] {
    return this.byPod.get(uid) ?? [];
  }

  /** The place of a second; -1 when it is not kept. */
  place(unix: number): number {
    return this.at.indexOf(Math.floor(unix));
  }

  csv(): string {
    const states = Object.keys(this.pods).sort(), shares = Object.keys(this.shares).sort().map((share) => `share ${share}`);
    const head = ["at", ...NAMES, ...this.bands.map((_, band) => `inFlightBand${band}`), ...states, ...shares, "health"];
    const rows = this.at.map((second, place) => [second, ...this.columns().map((column) => column[place] ?? "")].join(","));
    return [head.join(","), ...rows].join("\n") + "\n";
  }
}
