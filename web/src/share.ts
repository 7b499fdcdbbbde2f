// What is taken away from the page: files, and commands for the terminal.
export function save(name: string, content: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** A command that reads the same; without the reader's token. */
export function share(path: string, at: number | null = null): void {
  const [, , , namespace, name] = path.split("/");
  const curl = `curl -s -H "Authorization: Bearer $TOKEN" '${location.origin}${path}${at === null ? "" : `?at=${at}`}'`;
  const command = at === null ? `rollcall top ${name} -n ${namespace}  # or: ${curl}` : curl;
  void navigator.clipboard?.writeText(command).then(() => notice("Copied."), () => notice(command));
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

export function notice(words: string): void {
  const place = document.getElementById("notice");
  if (!place) return;
  place.textContent = words;
  setTimeout(() => { if (place.textContent === words) place.textContent = ""; }, 4000);
}
