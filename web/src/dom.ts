// Elements from plain text alone: nothing that a pod says is ever read as markup.
type Child = Node | string | null | undefined | false;
type Props = Record<string, string | number | boolean | null | undefined | ((event: never) => void)>;

export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  put(element, ...children);
  return element;
}

export const SPARK = [90, 22] as const;

/** A small drawing with one line, whose `d` is to be set. */
export function sparkline(kind = "spark"): { element: SVGElement; path: Element } {
  const make = (name: string): SVGElement => document.createElementNS("http://www.w3.org/2000/svg", name) as SVGElement;
  const element = make("svg"), path = make("path");
  element.setAttribute("viewBox", `0 0 ${SPARK.join(" ")}`);
  element.setAttribute("class", kind);
  element.setAttribute("preserveAspectRatio", "none");
  element.setAttribute("aria-hidden", "true");
  element.append(path);
  return { element, path };
}

export function put(parent: Element, ...children: Child[]): void {
  for (const child of children) if (child !== null && child !== undefined && child !== false) parent.append(child);
}

export function replace(parent: Element, ...children: Child[]): void {
  parent.replaceChildren();
  put(parent, ...children);
}

/** Only what changed is touched: four times a second most of it does not. */
export function text(element: Element, value: string): void {
  if (element.textContent !== value) element.textContent = value;
}

export function attribute(element: Element, name: string, value: string | null): void {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** Rows with an identity: kept, moved, added and removed as the keys say. */
export class Keyed<T> {
  private rows = new Map<string, { element: HTMLElement; update: (item: T) => void }>();
  constructor(private parent: Element, private make: (item: T) => { element: HTMLElement; update: (item: T) => void }) {}

  update(items: T[], keyOf: (item: T) => string): void {
    const gone = new Set(this.rows.keys());
    let before: Element | null = this.parent.firstElementChild;
    for (const item of items) {
      const key = keyOf(item);
      let row = this.rows.get(key);
      if (!row) this.rows.set(key, (row = this.make(item)));
      gone.delete(key);
      if (row.element === before) before = before.nextElementSibling;
      else this.parent.insertBefore(row.element, before);
      row.update(item); // what is drawn has a size now
    }
    for (const key of gone) {
      this.rows.get(key)?.element.remove();
      this.rows.delete(key);
    }
  }
}

const colours = new Map<string, string>();

/** A colour of the theme, by the name of its variable. */
export function colour(name: string): string {
  let found = colours.get(name);
  if (found === undefined) colours.set(name, (found = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()));
  return found;
}

/** The theme is another one. */
export function forgetColours(): void {
  colours.clear();
}

export interface Sheet { canvas: HTMLCanvasElement; context: CanvasRenderingContext2D; width: number; height: number }

/** Sizes are told by the browser when they change: to ask for them between two changes of the page costs a layout each. */
const sizes = new WeakMap<Element, [number, number]>();
const sizer = new ResizeObserver((entries) => {
  for (const { target } of entries) sizes.set(target, [target.clientWidth, target.clientHeight]);
});

function sizeOf(canvas: HTMLCanvasElement): [number, number] {
  let found = sizes.get(canvas);
  if (!found?.[0]) { // not seen yet, or it was hidden
    if (!canvas.isConnected || canvas.hidden) return [0, 0];
    sizes.set(canvas, (found = [canvas.clientWidth, canvas.clientHeight]));
    sizer.observe(canvas);
  }
  return found;
}

/** A canvas as sharp as the screen, as wide as it is shown. */
export function sheet(canvas: HTMLCanvasElement): Sheet | null {
  const [width, height] = sizeOf(canvas), scale = window.devicePixelRatio || 1;
  const context = canvas.getContext("2d");
  if (!context || width === 0) return null;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return { canvas, context, width, height };
}
