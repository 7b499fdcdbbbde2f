// What the filter finds: words, or with -l fields and labels. A name that is a field is the field; label:NAME is the label.
import { checked, holds, labelOf, read, written } from "./selector";
import type { Labels } from "./types";

const LABEL = "label:", NAMED = 8;

export interface Filter {
  finds(words: () => string, fields: () => Labels, labels: () => Labels): boolean;
  /** What is wrong with it, as far as it is written. */
  problem: string;
  /** The part that kubectl understands; empty without any. */
  labels: string;
  /** Why nothing is found, or null for words; `there` are the labels that some row has. */
  none(what: string, there: () => Iterable<Labels>): string | null;
}

export function filterOf(text: string, fields: readonly string[]): Filter {
  const wanted = text.trim();
  if (!wanted.startsWith("-l")) {
    const words = text.toLowerCase();
    return { finds: (said) => !words || said().toLowerCase().includes(words), problem: "", labels: "", none: () => null };
  }
  const { terms, problem } = read(wanted.slice(2), fields, (term) => checked({ ...term, key: term.key.startsWith(LABEL) ? term.key.slice(LABEL.length) : term.key }));
  return {
    problem,
    labels: terms.filter(({ named }) => !named).map(({ term }) => written(term)).join(","),
    finds: (_, have, labels) => terms.every(({ term, named }) => {
      if (!named) return holds(term, labelOf(labels(), term.key));
      const value = (have()[term.key] ?? "").toLowerCase(), lower = { ...term, values: term.values.map((each) => each.toLowerCase()) };
      return holds(lower, value === "" && (term.sign === "has" || term.sign === "lacks") ? undefined : value);
    }),
    none: (what, there) => {
      if (problem) return problem;
      const names = new Set([...there()].flatMap(Object.keys)), unknown = terms.filter(({ term, named }) => !named && !names.has(term.key));
      if (!unknown.length) return `No ${what} has these labels.`;
      const known = names.size ? `labels are ${[...names].sort().slice(0, NAMED).join(", ")}${names.size > NAMED ? ", …" : ""}` : `no ${what} has labels`;
      return `No field or label ${unknown.map(({ term }) => term.key).join(", ")}; ${known}; fields are ${fields.join(", ")}.`;
    },
  };
}

/** Labels as kubectl writes them. */
export const saidLabels = (labels: Labels): string => Object.entries(labels).map(([name, value]) => `${name}=${value}`).join(", ");
