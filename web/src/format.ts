// Numbers as people read them; no data is a dash, never 0.
import type { Num } from "./types";

export const NONE = "–";

export function count(value: Num): string {
  if (value === null) return NONE;
  if (value >= 1e6) return `${(value / 1e6).toFixed(value < 1e7 ? 1 : 0)} M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(value < 1e5 ? 1 : 0)} k`;
  return value >= 100 || Number.isInteger(value) ? Math.round(value).toString() : value.toFixed(value < 10 ? 1 : 0);
}

export function duration(seconds: Num): string {
  if (seconds === null) return NONE;
  if (seconds < 0.01) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  return span(seconds);
}

export function span(seconds: number): string {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

export function percent(ratio: Num): string {
  if (ratio === null) return NONE;
  const value = ratio * 100;
  if (value === 0) return "0 %";
  if (value < 0.1) return "< 0.1 %";
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

/** Never rounded up to 100 %. */
export function coverage(ratio: Num): string {
  return ratio === null ? NONE : `${Math.floor(ratio * 100)} %`;
}

export function bytes(value: Num): string {
  if (value === null) return NONE;
  for (const [size, unit] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]] as const)
    if (value >= size) return `${(value / size).toFixed(value < 10 * size ? 1 : 0)} ${unit}`;
  return `${value} B`;
}

export function cores(millicores: Num): string {
  return millicores === null ? NONE : millicores < 1000 ? `${Math.round(millicores)} m` : (millicores / 1000).toFixed(2);
}

export function clock(unix: number): string {
  return new Date(unix * 1000).toLocaleTimeString([], { hour12: false });
}

export function bandName(bandsMs: number[], band: number): string {
  const bound = (ms: number | undefined): string => `${(ms ?? 0) / 1000} s`;
  if (band === 0) return `< ${bound(bandsMs[0])}`;
  return band === bandsMs.length ? `≥ ${bound(bandsMs[band - 1])}` : `${(bandsMs[band - 1] ?? 0) / 1000}–${bound(bandsMs[band])}`;
}
