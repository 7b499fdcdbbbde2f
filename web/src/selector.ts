// Label selectors as kubectl's -l takes them; the same grammar and the same sentences as in the terminal (cli/selector.py).
import type { Labels } from "./types";

type Sign = "=" | "!=" | ">" | "<" | "in" | "notin" | "has" | "lacks";
export interface Term { key: string; sign: Sign; values: string[] }
const RULE = "letters, digits, - _ and . between letters or digits, 63 at most";
const BEGIN = /\s*(!?)\s*([^\s=!(),<>]*)\s*/y, SIGN = /(==|!=|=|>|<)\s*/y, SET = /(in|notin)(?=[\s=!(),<>]|$)\s*/y, WORD = /([^\s=!(),<>]*)\s*/y;
const APART = /[\s=!(),<>]/, NAME = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/, INTEGER = /^[0-9]{1,18}$/;
const PREFIX = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;

/** What is wrong with a selector; it names the part. */
class Wrong extends Error {
  constructor(part: string, says: string) {
    super(part.trim() ? `"${part.trim()}": ${says}` : says);
  }
}

/** The terms that can be read, and what is wrong with the next one. Those with a key in `free` are `named` apart, and their values
 * are any text up to a comma; the others go through `check`. */
export function read(text: string, free: readonly string[], check: (term: Term) => Term): { terms: { term: Term; named: boolean }[]; problem: string } {
  const terms: { term: Term; named: boolean }[] = [];
  try {
    for (let at = 0; text.slice(at).trim();) {
      const [found, after] = term(text, at, free);
      const named = free.includes(found.key);
      terms.push({ term: named ? found : check(found), named });
      if (after < text.length && !text.slice(after + 1).trim()) throw new Wrong(text.slice(at), "a key is missing after the comma");
      at = after + 1;
    }
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    return { terms, problem: error.message };
  }
  return { terms, problem: "" };
}

/** The term, if labels can have such a key and such values. */
export function checked(term: Term): Term {
  const place = term.key.lastIndexOf("/"), prefix = term.key.slice(0, Math.max(0, place));
  if (!NAME.test(term.key.slice(place + 1))) throw new Wrong(term.key, `no key of a label: its name is ${RULE}`);
  if (place >= 0 && !PREFIX.test(prefix)) throw new Wrong(term.key, `no key of a label: ${prefix || "nothing"} before / is no DNS name in lower case`);
  for (const value of term.values) {
    if ((term.sign === ">" || term.sign === "<") && !INTEGER.test(value)) throw new Wrong(written(term), `${value || "nothing"} after ${term.sign} is no whole number`);
    if (value && !NAME.test(value)) throw new Wrong(written(term), `${value} is no value of a label: ${RULE}`);
  }
  return term;
}

/** Whether a label of that value meets it; undefined is no such label. */
export function holds({ sign, values }: Term, value: string | undefined): boolean {
  if (sign === "has" || sign === "lacks") return (value !== undefined) === (sign === "has");
  const among = value !== undefined && values.includes(value);
  if (sign === "!=" || sign === "notin") return !among;
  if (sign === "=" || sign === "in") return among;
  const bound = values[0] ?? "";
  if (value === undefined || !INTEGER.test(value) || !INTEGER.test(bound)) return false;
  return sign === ">" ? BigInt(value) > BigInt(bound) : BigInt(value) < BigInt(bound);
}

/** A label of a name; names like `constructor` are names like others. */
export const labelOf = (labels: Labels, name: string): string | undefined => (Object.hasOwn(labels, name) ? labels[name] : undefined);

export function written({ key, sign, values }: Term): string {
  if (sign === "in" || sign === "notin") return `${key} ${sign} (${values.join(",")})`;
  return sign === "has" ? key : sign === "lacks" ? `!${key}` : `${key}${sign}${values.join("")}`;
}

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

const over = (text: string, at: number): boolean => at >= text.length || text[at] === ",";
const rest = (text: string, at: number): string => match(WORD, text, at)?.[1] || text[at] || "";

function term(text: string, at: number, free: readonly string[]): [Term, number] {
  const part = text.slice(at), begin = match(BEGIN, text, at), lacks = begin?.[1] === "!", key = begin?.[2] ?? "";
  const after = at + (begin?.[0].length ?? 0);
  if (!key) throw new Wrong(part, `a key is missing before ${text[after] ?? "the end"}`);
  const comma = (place: number, last: string): number => {
    if (!over(text, place)) throw new Wrong(part, `after ${last} comes ${rest(text, place)}, and not a comma`);
    return place;
  };
  if (lacks || over(text, after)) return [{ key, sign: lacks ? "lacks" : "has", values: [] }, comma(after, lacks ? `!${key}` : key)];
  const found = match(SIGN, text, after);
  if (found) {
    const sign = (found[1] === "==" ? "=" : found[1]) as Sign, from = after + found[0].length;
    if (free.includes(key)) {
      const end = text.indexOf(",", from) < 0 ? text.length : text.indexOf(",", from);
      return [{ key, sign, values: [text.slice(from, end).trim()] }, end];
    }
    const word = match(WORD, text, from);
    return [{ key, sign, values: [word?.[1] ?? ""] }, comma(from + (word?.[0].length ?? 0), word?.[1] || (found[1] ?? ""))];
  }
  const set = match(SET, text, after);
  if (!set) throw new Wrong(part, `after ${key} comes ${rest(text, after)}, and not =, !=, in, notin or a comma`);
  const from = after + set[0].length, end = text.indexOf(")", from);
  if (text[from] !== "(") throw new Wrong(part, `a list in parentheses is missing after ${set[1]}`);
  if (end < 0) throw new Wrong(part, "the list has no )");
  const values = text.slice(from + 1, end).split(",").map((each) => each.trim());
  const wrong = free.includes(key) ? undefined : values.find((each) => APART.test(each));
  if (wrong !== undefined) throw new Wrong(text.slice(at, end + 1), `${wrong} is no value; values are separated by commas`);
  const behind = text.slice(end + 1).search(/\S|$/) + end + 1;
  return [{ key, sign: set[1] as Sign, values: [...new Set(values)] }, comma(behind, ")")];
}
