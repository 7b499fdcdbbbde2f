// Who the reader is: a key that `rollcall dashboard` gave, exchanged once, or a token that somebody pasted. It is kept by the tabs
// of this page and sent as a header, so no other site can use it, and it is in no address that anybody logs.
const PLACE = "rollcall", ANSWER_MS = 200;
let held: string | null = null;
let refused: string | null = null;
let told = (): void => undefined;
/** Other tabs of this page in this browser. */
const tabs = new BroadcastChannel(PLACE);
tabs.addEventListener("message", ({ data }) => {
  if (data === "who" && token()) tabs.postMessage({ token: token() });
  else if (data?.token && data.token !== refused && !token()) {
    keep(String(data.token));
    told();
  }
});

export function token(): string | null {
  return (held ??= sessionStorage.getItem(PLACE));
}

function keep(value: string): void {
  held = value;
  sessionStorage.setItem(PLACE, value);
}

/** Here, and in other tabs that wait for it. */
export function signIn(value: string): void {
  keep(value);
  tabs.postMessage({ token: value });
}

/** What was known is not accepted any more: another tab may know better now, or later. */
export function signOut(then: () => void): void {
  refused = token() ?? refused;
  held = null;
  sessionStorage.removeItem(PLACE);
  told = then;
  tabs.postMessage("who");
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
  await new Promise<void>((resolve) => {
    told = resolve;
    setTimeout(resolve, ANSWER_MS);
    tabs.postMessage("who");
  });
}
