// The live API as a stream that heals itself. EventSource cannot send a header, so events are read from fetch.
import { headers } from "./session";

export interface Trouble { status: number; sentence: string }
export interface Listener {
  event(name: string, data: unknown): void;
  trouble(trouble: Trouble | null): void;
}
const SILENT_MS = 5000;
const PAUSES_MS = [300, 500, 1000, 2000];
const FINAL = new Set([401, 403, 404]);

export async function get<T>(path: string): Promise<T> {
  const answer = await fetch(path, { headers: headers() });
  if (!answer.ok) throw await refusal(answer);
  return (await answer.json()) as T;
}

async function refusal(answer: Response): Promise<Trouble> {
  let sentence = `the operator answered ${answer.status}`;
  try {
    sentence = ((await answer.json()) as { error: string }).error;
  } catch { /* not one of its own sentences */ }
  return { status: answer.status, sentence };
}

export class Stream {
  private last = "";
  private failures = 0;
  private open = true;
  private abort = new AbortController();
  private timer = 0;

  constructor(private path: string, private listener: Listener) {
    void this.run();
  }

  close(): void {
    this.open = false;
    this.abort.abort();
    clearTimeout(this.timer);
  }

  private async run(): Promise<void> {
    while (this.open) {
      this.abort = new AbortController();
      try {
        await this.read();
        if (this.open) this.listener.trouble({ status: 0, sentence: "the operator ended the stream" });
      } catch (error) {
        if (!this.open) return;
        const known = (error as Trouble).status !== undefined && (error as Trouble).sentence !== undefined;
        this.listener.trouble(known ? (error as Trouble) : { status: 0, sentence: "the operator cannot be reached" });
      }
      const pause = PAUSES_MS[Math.min(this.failures, PAUSES_MS.length - 1)] ?? 2000;
      this.failures += 1;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  private async read(): Promise<void> {
    const resume: Record<string, string> = this.last ? { "Last-Event-ID": this.last } : {};
    this.watch();
    const answer = await fetch(this.path, { headers: { ...headers(), ...resume }, signal: this.abort.signal });
    if (!answer.ok || !answer.body) {
      const trouble = await refusal(answer);
      if (FINAL.has(trouble.status)) {
        this.open = false;
        this.listener.trouble(trouble);
        return;
      }
      throw trouble;
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done || !this.open) return;
      this.watch();
      let from = Math.max(0, rest.length - 1); // a gap may come in two pieces
      rest += value;
      for (let at = rest.indexOf("\n\n", from); at >= 0; at = rest.indexOf("\n\n", from)) {
        if (this.take(rest.slice(0, at))) return;
        rest = rest.slice(at + 2);
        from = 0;
      }
    }
  }

  private take(block: string): boolean {
    let name = "message", data = "";
    for (const line of block.split("\n")) {
      if (line.startsWith("data: ")) data += line.slice(6);
      else if (line.startsWith("event: ")) name = line.slice(7);
      else if (line.startsWith("id: ")) this.last = line.slice(4);
    }
    if (name === "end") return true;
    if (data) {
      if (name === "message") {
        this.failures = 0;
        this.listener.trouble(null);
      }
      this.listener.event(name, JSON.parse(data));
    }
    return false;
  }

  private watch(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.abort.abort(), SILENT_MS);
  }
}
