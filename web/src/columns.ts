// The tables of a service: which facts, in which words.
import { Column, Table } from "./tables";
import { bytes, clock, cores, count, duration, NONE, percent, span } from "./format";
import type { Dependency, Departure, Endpoint, ErrorSample, ErrorType, LongRequest, Pod } from "./types";
import type { Dot } from "./scatter";
import { errorTone, STATE_SIGNS, STATES } from "./view";

const TONES = new Map<string, string>(STATES);
const low = (value: number | null | undefined): number => value ?? -1;

export const podTable = (service: string, now: () => number, draw: (path: Element, pod: Pod) => void): Table<Pod> => {
  const columns: Column<Pod>[] = [
    { head: "Slot", hide: true, value: (pod) => pod.slot ?? NONE, sort: (pod) => pod.slot ?? "~" },
    { head: "Pod", value: (pod) => pod.name, sort: (pod) => pod.name, link: (pod) => `#/s/${service}/pod/${encodeURIComponent(pod.name)}` },
    { head: "State", sort: (pod) => pod.state, tone: (pod) => ({ good: "good", warn: "warn", bad: "bad", band2: "warn" })[TONES.get(pod.state) ?? ""] ?? "dim",
      value: (pod) => `${STATE_SIGNS[pod.state] ?? "?"} ${pod.state}${pod.reason ? ` · ${pod.reason}` : ""}${pod.reportAge !== null && pod.reportAge > 2 ? ` · report ${span(pod.reportAge)} old` : ""}` },
    { head: "Req/s", number: true, value: (pod) => count(pod.requestsPerSecond), sort: (pod) => low(pod.requestsPerSecond) },
    { head: "Last minute", hide: true, value: () => "", draw },
    { head: "p95", number: true, value: (pod) => duration(pod.p95), sort: (pod) => low(pod.p95) },
    { head: "Errors", number: true, value: (pod) => percent(pod.errorRatio), sort: (pod) => low(pod.errorRatio), tone: (pod) => errorTone(pod.errorRatio) },
    { head: "In flight", number: true, value: (pod) => count(pod.inFlight?.total ?? null), sort: (pod) => low(pod.inFlight?.total) },
    { head: "CPU", number: true, value: (pod) => cores(pod.resources?.cpuMillicores ?? null), sort: (pod) => low(pod.resources?.cpuMillicores) },
    { head: "Memory", number: true, value: (pod) => bytes(pod.resources?.memoryBytes ?? null), sort: (pod) => low(pod.resources?.memoryBytes) },
    { head: "Age", number: true, value: (pod) => span(Math.max(0, now() - pod.createdAt)), sort: (pod) => now() - pod.createdAt },
    { head: "Restarts", number: true, hide: true, value: (pod) => String(pod.restarts), sort: (pod) => pod.restarts },
    { head: "Revision", hide: true, value: (pod) => pod.revision ?? NONE, sort: (pod) => pod.revision ?? "" },
  ];
  return new Table(columns, "Pods", (pod) => pod.uid, "No pod.");
};

export const endpointTable = (): Table<Endpoint> => new Table<Endpoint>([
  { head: "Endpoint", wide: true, value: (row) => row.endpoint, sort: (row) => row.endpoint },
  { head: "Share of time", number: true, value: (row) => percent(row.share), sort: (row) => low(row.share) },
  { head: "Req/s", number: true, value: (row) => count(row.requestsPerSecond), sort: (row) => low(row.requestsPerSecond) },
  { head: "p50", number: true, value: (row) => duration(row.p50), sort: (row) => low(row.p50) },
  { head: "p95", number: true, value: (row) => duration(row.p95), sort: (row) => low(row.p95) },
  { head: "p99", number: true, hide: true, value: (row) => duration(row.p99), sort: (row) => low(row.p99) },
  { head: "Errors", number: true, value: (row) => percent(row.errorRatio), sort: (row) => low(row.errorRatio), tone: (row) => errorTone(row.errorRatio) },
], "Endpoints", (row) => row.endpoint, "No pod tells of endpoints.", 20);

export const dependencyTable = (): Table<Dependency> => new Table<Dependency>([
  { head: "Dependency", wide: true, value: (row) => row.dependency, sort: (row) => row.dependency },
  { head: "Share of time", number: true, value: (row) => percent(row.share), sort: (row) => low(row.share) },
  { head: "Calls/s", number: true, value: (row) => count(row.callsPerSecond), sort: (row) => low(row.callsPerSecond) },
  { head: "Mean", number: true, value: (row) => duration(row.mean), sort: (row) => low(row.mean) },
  { head: "p95", number: true, value: (row) => duration(row.p95), sort: (row) => low(row.p95) },
  { head: "Failures", number: true, value: (row) => percent(row.failureRatio), sort: (row) => low(row.failureRatio), tone: (row) => errorTone(row.failureRatio) },
], "Dependencies", (row) => row.dependency, "No pod tells of calls.", 20);

export const errorTable = (): Table<ErrorType> => new Table<ErrorType>([
  { head: "Error", wide: true, value: (row) => `${row.kind} ${row.type}` },
  { head: "Per second", number: true, value: (row) => count(row.perSecond), sort: (row) => low(row.perSecond) },
  { head: "Total", number: true, value: (row) => count(row.total), sort: (row) => row.total },
], "Errors by type", (row) => `${row.kind} ${row.type}`, "No error.", 20);

export const sampleTable = (): Table<ErrorSample> => new Table<ErrorSample>([
  { head: "At", value: (row) => clock(row.at) },
  { head: "Message", wide: true, value: (row) => `${row.type}${row.message ? `: ${row.message}` : ""}` },
  { head: "Where", wide: true, value: (row) => row.file ? `${row.file}${row.line === null ? "" : `:${row.line}`} ${row.function}` : NONE },
  { head: "Endpoint", wide: true, value: (row) => row.endpoint },
  { head: "Pod", value: (row) => row.pod },
], "Samples of errors", (row) => `${row.at}${row.pod}${row.type}${row.message}`, "No sample.", 20);

export const longestTable = (): Table<LongRequest> => new Table<LongRequest>([
  { head: "For", number: true, value: (row) => duration(row.elapsed), tone: (row) => (row.elapsed >= 8 ? "bad" : row.elapsed >= 3 ? "warn" : "") },
  { head: "Endpoint", wide: true, value: (row) => row.endpoint },
  { head: "At", wide: true, value: (row) => row.step ? `${row.step}${row.stepElapsed === null ? "" : ` for ${duration(row.stepElapsed)}`}` : "not known" },
  { head: "Pod", value: (row) => row.slot ?? row.pod },
], "Longest requests in flight", (row) => `${row.pod} ${row.worker} ${row.id}`, "No request has been in flight for half a second.", 20);

export const departureTable = (now: () => number): Table<Departure> => new Table<Departure>([
  { head: "Left", number: true, value: (row) => `${span(Math.max(0, now() - row.at))} ago` },
  { head: "Slot", hide: true, value: (row) => row.slot ?? NONE },
  { head: "Cause", value: (row) => row.cause, tone: (row) => (["NodeLost", "OOMKilled", "Crashed"].includes(row.cause) ? "bad" : "") },
  { head: "Evidence", wide: true, value: (row) => row.evidence },
  { head: "In flight", number: true, value: (row) => count(row.inFlight) },
  { head: "Lived", number: true, value: (row) => (row.age === null ? NONE : span(row.age)) },
  { head: "Pod", hide: true, value: (row) => row.name },
], "Departures", (row) => row.name + row.at, "No pod has left.", 15);

export const dotTable = (): Table<Dot & { key: number }> => new Table<Dot & { key: number }>([
  { head: "Ended", value: (dot) => clock(dot.at / 1000) },
  { head: "Took", number: true, value: (dot) => duration(dot.elapsed), sort: (dot) => dot.elapsed },
  { head: "Outcome", value: (dot) => `${dot.outcome >= 8 ? "✕ " : ""}${dot.outcome % 8 ? `${dot.outcome % 8}xx` : NONE}`, sort: (dot) => dot.outcome, tone: (dot) => (dot.outcome >= 8 ? "bad" : "") },
  { head: "Endpoint", wide: true, value: (dot) => dot.endpoint || NONE, sort: (dot) => dot.endpoint },
  { head: "Waited", number: true, value: (dot) => `${duration(dot.waited)}${dot.dependency ? ` ${dot.dependency}` : ""}`, sort: (dot) => dot.waited },
  { head: "CPU", number: true, value: (dot) => duration(dot.cpu), sort: (dot) => low(dot.cpu) },
  { head: "Error", wide: true, value: (dot) => dot.error || NONE },
  { head: "Pod", value: (dot) => dot.pod, sort: (dot) => dot.pod },
], "Requests of the region", (dot) => String(dot.key), "No request there.", 100);
