// What is shown when there is nothing to show: each says what is wrong and what to do.
import { h } from "./dom";
import type { Trouble } from "./api";
import { signIn } from "./session";
import { copy } from "./share";

function manifest(namespace: string): string {
  return `apiVersion: rollcall.dev/v1alpha1
kind: MonitoredService
metadata:
  name: newsfeed
  namespace: ${namespace}
spec:
  selector:
    matchLabels:
      app: newsfeed
`;
}

export function noService(namespace: string | null): HTMLElement {
  const where = namespace ?? "shop";
  return h("section", { class: "card" },
    h("h2", {}, namespace ? `No MonitoredService in namespace ${namespace}` : "No MonitoredService yet"),
    h("p", {}, "A service is a set of pods with labels in common. Save this as service.yaml, with your own name and labels, and apply it; opt the namespace in, and restart the pods, for each gets its agent when it starts. The tile appears here by itself."),
    copied("service.yaml", manifest(where)),
    copied("Commands", `kubectl label namespace ${where} rollcall.dev/inject=enabled\nkubectl apply -f service.yaml\nkubectl -n ${where} rollout restart deployment/newsfeed\n`));
}

/** A text to take away, with a button that does it. */
function copied(title: string, words: string): HTMLElement {
  return h("figure", { "aria-label": title },
    h("figcaption", {}, title, h("span", { class: "tools" }, h("button", { onclick: () => copy(words, `Copied: ${title}.`), "aria-label": `Copy ${title}` }, "Copy"))), h("pre", { tabindex: 0 }, words));
}

export function signInCard(sentence: string, again: () => void): HTMLElement {
  const field = h("input", { type: "password", id: "token", autocomplete: "off", spellcheck: "false", required: true });
  return h("section", { class: "card" },
    h("h2", {}, "Who are you?"),
    h("p", {}, sentence ? `The operator says: ${sentence}.` : "The live API answers to users of this cluster."),
    h("p", {}, "This command signs you in with your kubeconfig, and opens this page:"),
    h("pre", { tabindex: 0 }, "rollcall dashboard"),
    h("form", { onsubmit: (event: SubmitEvent) => { event.preventDefault(); signIn(field.value.trim()); again(); } },
      h("p", {}, h("label", { for: "token" }, "Or paste a bearer token of the cluster (", h("code", {}, "kubectl create token NAME"), "); it is kept by the tabs of this page, until they are closed.")),
      h("p", {}, field, " ", h("button", {}, "Sign in"))));
}

/** Without what the title says, and as a sentence begins. */
function sentenceOf(trouble: Trouble): string {
  const words = trouble.sentence.replace(/^the operator cannot be reached: /, "");
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}

export function refused(trouble: Trouble, again: () => void): HTMLElement {
  const title = trouble.status === 403 ? "You may not read this" : trouble.status === 404 ? "It is not there" : "The operator cannot be reached";
  const away = trouble.status === 0 || trouble.status === 503;
  const field = h("input", { id: "namespace", autocomplete: "off", spellcheck: "false" });
  return h("section", { class: "card" },
    h("h2", {}, title),
    h("p", {}, sentenceOf(trouble)),
    trouble.status === 403 && h("form", { onsubmit: (event: SubmitEvent) => { event.preventDefault(); location.hash = `#/?namespace=${encodeURIComponent(field.value.trim())}`; } },
      h("p", {}, h("label", { for: "namespace" }, "You may be allowed to read one namespace:")),
      h("p", {}, field, " ", h("button", {}, "Show it"))),
    away && h("p", {}, "It is tried again every two seconds. Is the command that opened this page still running? Is the operator?"),
    away && h("pre", { tabindex: 0 }, "rollcall dashboard\nkubectl -n rollcall-system get pods"),
    h("p", {}, h("button", { onclick: again }, "Try again"), " ", h("a", { href: "#/" }, "All services")));
}
