// Tables that are filled anew four times a second and touch only what changed; a click on a head sorts.
import { attribute, h, Keyed, sparkline, text } from "./dom";

export interface Column<T> {
  head: string;
  value: (item: T) => string;
  sort?: (item: T) => number | string;
  number?: boolean;
  wide?: boolean;
  link?: (item: T) => string;
  tone?: (item: T) => string;
  hide?: boolean;
  draw?: (path: Element, item: T) => void;
}

export class Table<T> {
  readonly element: HTMLElement;
  private rows: Keyed<T>;
  private by: Column<T> | null = null;
  private up = false;
  private heads: HTMLElement[];
  private note = h("p", { class: "quiet" });
  private all = false;
  private more = h("button", { hidden: true, onclick: () => { this.all = true; } });

  constructor(private columns: Column<T>[], label: string, private keyOf: (item: T) => string, private none: string, private most = 60) {
    this.heads = columns.map((column) => h("th", { class: cell(column), scope: "col", "aria-sort": "none" },
      column.sort ? h("button", { onclick: () => this.sort(column) }, column.head) : column.head));
    const body = h("tbody");
    this.rows = new Keyed(body, () => this.row());
    this.element = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
      h("table", { "aria-label": label }, h("thead", {}, h("tr", {}, ...this.heads)), body), this.note, this.more);
  }

  private sort(column: Column<T>): void {
    this.up = this.by === column ? !this.up : false;
    this.by = column;
    this.heads.forEach((head, index) =>
      attribute(head, "aria-sort", this.columns[index] === column ? (this.up ? "ascending" : "descending") : "none"));
  }

  update(items: T[], none = this.none): void {
    const sort = this.by?.sort;
    let shown = items;
    if (sort) {
      const sign = this.up ? 1 : -1;
      shown = [...items].sort((a, b) => {
        const x = sort(a), y = sort(b);
        return x < y ? -sign : x > y ? sign : 0;
      });
    }
    const cut = !this.all && shown.length > this.most;
    this.rows.update(cut ? shown.slice(0, this.most) : shown, this.keyOf);
    this.more.hidden = !cut;
    if (cut) text(this.more, `Show all ${shown.length}`);
    this.note.hidden = items.length > 0;
    text(this.note, items.length ? "" : none);
  }

  private row(): { element: HTMLElement; update: (item: T) => void } {
    const cells = this.columns.map((column) => {
      const inner = column.link ? h("a", { "data-row": true }) : null;
      const line = column.draw ? sparkline() : null;
      return { column, td: h("td", { class: cell(column) }, inner, line?.element), inner, line };
    });
    return {
      element: h("tr", {}, ...cells.map((each) => each.td)),
      update: (item) => {
        for (const { column, td, inner, line } of cells) {
          if (line) {
            column.draw?.(line.path, item);
            continue;
          }
          if (inner && column.link) attribute(inner, "href", column.link(item));
          text(inner ?? td, column.value(item));
          if (column.tone) attribute(inner ?? td, "class", `${inner ? "" : cell(column)} ${column.tone(item)}`.trim());
        }
      },
    };
  }
}

function cell<T>(column: Column<T>): string {
  return [column.number ? "n num" : "", column.wide ? "wide" : "", column.hide ? "hide" : ""].join(" ").trim();
}
