// Who the reader is: a key that `rollcall dashboard` gave, exchanged once, or a token that somebody pasted. It is kept for this tab
// and sent as a header, so no other site can use it, and it is in no address that anybody logs.
const PLACE = "rollcall";
let held: string | null = null;

export function token(): string | null {
  return (held ??= sessionStorage.getItem(PLACE));
}

export function signIn(value: string): void {
  held = value;
  sessionStorage.setItem(PLACE, value);
}

export function signOut(): void {
  held = null;
  sessionStorage.removeItem(PLACE);
}

export function headers(): Record<string, string> {
  const value = token();
  return value ? { Authorization: `Bearer ${value}` } : {};
}

/** `#key=…` works once: it is exchanged and taken out of the address before anything else is shown. */
export async function exchange(): Promise<void> {
  const match = /^#key=([\w-]+)(.*)$/.exec(location.hash);
  if (!match) return;
  history.replaceState(null, "", `${location.pathname}${match[2] ? `#${match[2].replace(/^&/, "")}` : ""}`);
  const answer = await fetch("/session", { method: "POST", headers: { Authorization: `Bearer ${match[1]}` } });
  if (answer.ok) signIn(((await answer.json()) as { token: string }).token);
}
