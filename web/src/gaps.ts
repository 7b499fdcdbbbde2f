// Who does not report, above everything else: how many, why, and what to do, as the operator says it of one of them.
import { get } from "./api";
import { h, replace, text } from "./dom";
import { address, shownMoment } from "./moment";
import type { Picture, Why } from "./types";

export class Gaps {
  readonly element = h("div", { class: "callout", hidden: true, role: "status" });
  private shown = "";
  private whys = new Map<string, string>();

  update(picture: Picture): void {
    const { pods } = picture, lines: (string | HTMLElement)[] = [];
    if (pods.total === 0)
      lines.push(pods.desired === 0 ? "This service is scaled to zero." : "No pod has the labels of this service. Compare spec.selector with the pods' labels.");
    else if (pods.serving + pods.unready === 0 && pods.silent + pods.bare > 0)
      lines.push("No pod reports: nothing is known of the traffic, which does not mean that there is none.");
    const reasons = Object.entries({ ...picture.bare, ...picture.gaps }).filter(([, many]) => many > 0);
    const key = JSON.stringify([lines, reasons, shownMoment()]);
    if (key === this.shown) return;
    this.shown = key;
    this.element.hidden = lines.length + reasons.length === 0;
    replace(this.element, ...[...lines, ...reasons.map(([reason, many]) => this.line(picture, reason, many))].map((each) => h("p", {}, each)));
  }

  private line(picture: Picture, reason: string, many: number): HTMLElement {
    const one = (picture.roll ?? []).find((pod) => pod.reason === reason), said = h("span");
    const place = `#/s/${picture.namespace}/${picture.name}`;
    if (one && shownMoment() === null) this.ask(`/v1/why/${picture.namespace}/${encodeURIComponent(one.name)}`, reason, said);
    return h("span", {}, h("strong", {}, `${many} ${many === 1 ? "pod does" : "pods do"} not tell all: ${reason}. `), said,
      one ? h("a", { href: address(`${place}/pod/${encodeURIComponent(one.name)}`, shownMoment()) }, one.name) : "");
  }

  /** Once per reason: the sentence is the same of each of them, but for the name. */
  private ask(path: string, reason: string, place: Element): void {
    const known = this.whys.get(reason);
    if (known !== undefined) return text(place, known);
    get<Why>(path).then((why) => {
      if (why.reason !== reason) return;
      const words = `${why.sentence}.${why.remedy ? ` What to do: ${why.remedy}.` : ""} `;
      this.whys.set(reason, words);
      text(place, words);
    }, () => undefined);
  }
}
