// What the live API tells, as far as the page uses it; /v1/openapi.json has all of it. null is no data, which is not 0.
export type Num = number | null;
export type Labels = Record<string, string>;

export interface InFlight { total: number; bands: number[]; oldest: number }
export interface ResponseTime { mean: Num; p50: Num; p95: Num; p99: Num }
export interface Resources {
  cpuMillicores: Num; cpuRequestMillicores: Num; cpuLimitMillicores: Num; throttledRatio: Num;
  memoryBytes: number; memoryLimitBytes: Num; oomKills: number; source: string; age: number;
}
export interface Pod {
  name: string; slot: string | null; uid: string; node: string | null; state: string; reason: string | null; ready: boolean;
  restarts: number; createdAt: number; startedAt: Num; reportAge: Num; requestsPerSecond: Num; errorRatio: Num; p95: Num;
  inFlight: InFlight | null; requests: number; workers: number; busyWorkers: Num; listenQueue: Num; revision: string | null;
  resources: Resources | null; sources: string[]; labelSet: number;
}
export interface Endpoint {
  endpoint: string; requestsPerSecond: Num; errorRatio: Num; mean: Num; p50: Num; p95: Num; p99: Num; share: Num; requests: number;
}
export interface Dependency {
  dependency: string; callsPerSecond: Num; failureRatio: Num; mean: Num; p95: Num; concurrency: Num; share: Num; calls: number;
}
export interface ErrorType { kind: string; type: string; perSecond: Num; total: number }
export interface ErrorSample {
  at: number; kind: string; type: string; message: string; function: string; file: string; line: Num; endpoint: string; pod: string;
}
export interface LongRequest {
  pod: string; slot: string | null; id: string; endpoint: string; elapsed: number; step: string; stepElapsed: Num; worker: number;
}
export interface Departure {
  slot: string | null; name: string; cause: string; evidence: string; at: number; age: Num; requestsPerSecond: Num; errorRatio: Num;
  inFlight: Num; final: boolean | null; revision: string | null;
}
export interface Cause { class: string | null; dependency: string | null; share: Num }
export interface Why { sentence: string; remedy: string; state: string | null; reason: string | null }
export interface Picture {
  namespace: string; name: string; at: number;
  health: { state: string; reason: string; message: string };
  pods: { desired: Num; total: number; serving: number; unready: number; pending: number; silent: number; bare: number; leaving: number };
  coverage: Num;
  traffic: {
    requestsPerSecond: Num; windowSeconds: number; windowRequestsPerSecond: Num; errorRatio: Num; responseTime: ResponseTime;
    inFlight: InFlight | null; pods: number; inFlightPods: number;
  };
  totals: { requests: number; errors: number; lost: number };
  bandsMs: number[];
  bare: Record<string, number>;
  gaps: Record<string, number>;
  roll: Pod[] | null;
  endpoints: { rows: Endpoint[]; folded: { endpoints: number; requests: number } } | null;
  errors: { perSecond: Num; byType: ErrorType[] | null; samples: ErrorSample[] | null };
  longest: LongRequest[] | null;
  visitors: { concurrentUsers: Num; lastFiveMinutes: number; hour: number; day: number } | null;
  resources: { cpuMillicores: Num; memoryBytes: number; pods: number } | null;
  workers: { total: number; busy: Num; listenQueue: Num } | null;
  dependencies: { rows: Dependency[] } | null;
  throttled: { dependency: string; reason: string; perSecond: number; ratio: number }[];
  crashes: { total: number; recent: number } | null;
  bottleneck: (Cause & { shares: Record<string, number>; coverage: Num; slow: (Cause & { over: number }) | null }) | null;
  departures: { lastHour: Record<string, number>; recent: Departure[] | null } | null;
  labels: Labels;
  labelSets: Labels[] | null;
}
export interface Mark { at: number; kind: "departure" | "deployment"; what: string; count: number }
export interface History {
  at: number[]; requestsPerSecond: Num[]; errorsPerSecond: Num[]; p50: Num[]; p95: Num[]; p99: Num[]; users: Num[]; visitors: Num[];
  coverage: Num[]; bands: Num[][]; shares: Record<string, Num[]>; pods: Record<string, number[]>; health: string[]; marks: Mark[];
}
export interface PodHistory {
  at: number[]; state: string[]; requestsPerSecond: Num[]; errorRatio: Num[]; p95: Num[]; inFlight: Num[]; cpuMillicores: Num[]; memoryBytes: Num[];
}
export interface Dots {
  until: number; points: number; requests: number; at: number[]; elapsed: number[]; waited: number[]; cpu: Num[]; weight: number[];
  outcome: number[]; endpoint: number[]; pod: number[]; error: number[]; dependency: number[];
  endpoints: string[]; pods: string[]; errors: string[]; dependencies: string[];
}
