// Who the reader is: a key that `rollcall dashboard` gave, exchanged once, or a token that somebody pasted. It is kept by the tabs
// of this page and sent as a header, so no other site can use it, and it is in no address that anybody logs.
const PLACE = "rollcall", ANSWER_MS = 200;
let held: string | null = null;
/** Other tabs of this page in this browser. */
const tabs = new BroadcastChannel(PLACE);
tabs.addEventListener("message", (event) => {
  if (event.data === "who" && token()) tabs.postMessage({ token: token() });
});

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

/** A link that was opened in another tab: whoever is signed in in the first is it there, too. */
export async function askTabs(): Promise<void> {
  if (token()) return;
  const told = new Promise<string | null>((resolve) => {
    tabs.addEventListener("message", ({ data }) => data?.token && resolve(String(data.token)));
    setTimeout(() => resolve(null), ANSWER_MS);
  });
  tabs.postMessage("who");
  const found = await told;
  if (found && !token()) signIn(found);
}
