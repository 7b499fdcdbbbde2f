// What is taken away from the page: files, and commands for the terminal.
export function save(name: string, content: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** A command that reads the same; without the reader's token. */
export function share(path: string): void {
  const [, , , namespace, name] = path.split("/");
  const command = `rollcall top ${name} -n ${namespace}  # or: curl -s -H "Authorization: Bearer $TOKEN" ${location.origin}${path}`;
  void navigator.clipboard?.writeText(command).then(() => notice("Copied."), () => notice(command));
}

export function notice(words: string): void {
  const place = document.getElementById("notice");
  if (!place) return;
  place.textContent = words;
  setTimeout(() => { if (place.textContent === words) place.textContent = ""; }, 4000);
}
