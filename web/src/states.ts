// What is shown when there is nothing to show: each says what is wrong and what to do.
import { h } from "./dom";
import type { Trouble } from "./api";
import { signIn } from "./session";
import type { Picture } from "./types";

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
    h("p", {}, "A service is a set of pods with labels in common. Opt the namespace in, save this as service.yaml with your own labels, and apply it; the tile appears here by itself."),
    h("pre", { tabindex: 0 }, `kubectl label namespace ${where} rollcall.dev/inject=enabled\nkubectl apply -f service.yaml\nkubectl -n ${where} rollout restart deployment/newsfeed`),
    h("pre", { tabindex: 0 }, manifest(where)));
}

export function signInCard(sentence: string, again: () => void): HTMLElement {
  const field = h("input", { type: "password", id: "token", autocomplete: "off", spellcheck: "false", required: true });
  return h("section", { class: "card" },
    h("h2", {}, "Who are you?"),
    h("p", {}, sentence ? `The operator says: ${sentence}.` : "The live API answers to users of this cluster."),
    h("p", {}, "This command signs you in with your kubeconfig, and opens this page:"),
    h("pre", { tabindex: 0 }, "rollcall dashboard"),
    h("form", { onsubmit: (event: SubmitEvent) => { event.preventDefault(); signIn(field.value.trim()); again(); } },
      h("p", {}, h("label", { for: "token" }, "Or paste a bearer token of the cluster (", h("code", {}, "kubectl create token NAME"), "); it is kept in this tab alone.")),
      h("p", {}, field, " ", h("button", {}, "Sign in"))));
}

export function refused(trouble: Trouble, again: () => void): HTMLElement {
  const title = trouble.status === 403 ? "You may not read this" : trouble.status === 404 ? "It is not there" : "The operator cannot be reached";
  const field = h("input", { id: "namespace", autocomplete: "off", spellcheck: "false" });
  return h("section", { class: "card" },
    h("h2", {}, title),
    h("p", {}, `${trouble.sentence}.`),
    trouble.status === 403 && h("form", { onsubmit: (event: SubmitEvent) => { event.preventDefault(); location.hash = `#/?namespace=${encodeURIComponent(field.value.trim())}`; } },
      h("p", {}, h("label", { for: "namespace" }, "You may be allowed to read one namespace:")),
      h("p", {}, field, " ", h("button", {}, "Show it"))),
    trouble.status === 0 && h("p", {}, "It is tried again every two seconds. Is the command that opened this page still running? Is the operator?"),
    trouble.status === 0 && h("pre", { tabindex: 0 }, "rollcall dashboard\nkubectl -n rollcall-system get pods"),
    h("p", {}, h("button", { onclick: again }, "Try again"), " ", h("a", { href: "#/" }, "All services")));
}

/** Nothing reports, or only some: said above everything else, with the reasons that are known. */
export function gapsOf(picture: Picture): string[] {
  const { pods } = picture, said: string[] = [];
  if (pods.total === 0)
    said.push(pods.desired === 0 ? "This service is scaled to zero." : "No pod has the labels of this service. Compare spec.selector with the pods' labels.");
  else if (pods.serving + pods.unready === 0 && pods.silent + pods.bare > 0)
    said.push("No pod reports: nothing is known of the traffic, which does not mean that there is none.");
  for (const [reason, many] of Object.entries({ ...picture.bare, ...picture.gaps }))
    if (many > 0) said.push(`${many} ${many === 1 ? "pod does" : "pods do"} not tell all: ${reason}. The pod's page says why, and what to do.`);
  return said;
}
