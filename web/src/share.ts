// What is taken away from the page: files, and commands for the terminal.
export function save(name: string, content: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const quoted = (word: string): string => (/^[\w.-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

/** Where `rollcall dashboard` serves the page: a token of the cluster is of no use there, and the command line is at hand. */
export const isLocal = (): boolean => ["127.0.0.1", "localhost"].includes(location.hostname);

/** Commands that read the same, without the reader's token; of a moment of the past only the live API tells, which is what `top`
 * asks with the reader's own identity. */
export function share(commands: string[][], top: string[], path: string, at: number | null): void {
  const live = ["kubectl", "rollcall", "top", ...top, ...(at === null ? [] : ["--at", String(at)]), "-o", "json"].map(quoted).join(" ");
  const curl = `curl -s -H "Authorization: Bearer $TOKEN" ${quoted(`${location.origin}${path}${at === null ? "" : `${path.includes("?") ? "&" : "?"}at=${at}`}`)}`;
  const all = [...(at === null ? commands.map((words) => words.map(quoted).join(" ")) : []), isLocal() ? live : curl].join("\n");
  copy(all, `Copied: ${all.replaceAll("\n", "  or  ")}`);
}

/** To the clipboard; where the browser does not let the page, which is so without TLS, the text is shown instead. */
export function copy(words: string, said: string): void {
  void (navigator.clipboard?.writeText(words) ?? Promise.reject(new Error("no clipboard"))).then(() => notice(said), () => notice(words, 20_000));
}

/** What a list shows as a file for other programs. */
export function csv(head: string[], rows: (string | number | null)[][]): Blob {
  // A word that begins like a formula is none for the program that opens it.
  const cell = (value: string | number | null): string => {
    if (typeof value !== "string") return value === null ? "" : String(value);
    const safe = /^[=+@\t\r-]/.test(value) ? `'${value}` : value;
    return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return new Blob([[head, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n"], { type: "text/csv" });
}

/** What is drawn, one below the other. */
export function png(name: string, canvases: (HTMLCanvasElement | null)[]): void {
  const found = canvases.filter((each) => each !== null), whole = document.createElement("canvas");
  whole.width = Math.max(...found.map((each) => each.width));
  whole.height = found.reduce((sum, each) => sum + each.height + 8, 0);
  const context = whole.getContext("2d");
  if (!context) return;
  context.fillStyle = getComputedStyle(document.documentElement).backgroundColor;
  context.fillRect(0, 0, whole.width, whole.height);
  let y = 0;
  for (const each of found) {
    context.drawImage(each, 0, y);
    y += each.height + 8;
  }
  whole.toBlob((blob) => blob && save(`${name}.png`, blob));
}

export function notice(words: string, forMs = 4000): void {
  const place = document.getElementById("notice");
  if (!place) return;
  place.textContent = words;
  setTimeout(() => { if (place.textContent === words) place.textContent = ""; }, forMs);
}
