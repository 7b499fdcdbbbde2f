// Whether the page that is served now is another one than this: a wall stays open for months, and operators are upgraded.

let mine = served();

/** What stands for all files of the page; null while it cannot be known. */
async function served(): Promise<string | null> {
  try {
    const answer = await fetch("/", { cache: "no-store" });
    return answer.ok ? answer.headers.get("ETag") : null;
  } catch {
    return null;
  }
}

export async function renewed(): Promise<boolean> {
  const before = await mine, now = await served();
  if (before === null) mine = Promise.resolve(now);
  return before !== null && now !== null && now !== before;
}
