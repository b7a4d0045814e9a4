// The list of devices: a row for each, in the order of their ids, so that a row stays where it is.
// A row is a button; the arrow keys move from row to row, and one row is in the tab order.
//
// Only rows that are seen are kept up to date: five hundred rows twice a second would cost pictures
// of the map, and nobody reads those below the edge.

import { age, course, lastSeen, shortName, speed, utc } from "./words.js";

export class DeviceList {
  #rows = new Map();
  #order = [];
  #query = "";
  #current = null;
  followed = null;

  /** `chosen(id)` is told of a click or Enter on a row. */
  constructor({ list, template, none, fleet, chosen }) {
    this.list = list;
    this.template = template;
    this.none = none;
    this.fleet = fleet;
    this.chosen = chosen;
    this.#seen = new IntersectionObserver((changes) => {
      for (const { target, isIntersecting } of changes) {
        const row = this.#rows.get(target.dataset.id);
        if (row) row.seen = isIntersecting;
      }
    }, { root: list, rootMargin: "120px" });
    list.addEventListener("focusin", ({ target }) => this.#point(target.closest("li")?.dataset.id));
  }

  #seen;

  /** Add rows for new devices and renew those that are seen. */
  render(nowMs) {
    for (const { id } of this.fleet) if (!this.#rows.has(id)) this.#insert(id);
    for (const [id, row] of this.#rows) if (row.seen) this.#renew(row, this.fleet.get(id), nowMs);
  }

  /** Show only ids that contain this. */
  filter(query) {
    this.#query = query.trim().toLowerCase();
    for (const [id, { item }] of this.#rows) item.hidden = !this.#matches(id);
    this.none.hidden = this.#rows.size === 0 || this.#shown().length > 0;
    if (this.#current && !this.#matches(this.#current)) this.#point(this.#shown()[0]);
  }

  /** Mark the followed row, and bring it into view. */
  mark(id) {
    this.#rows.get(this.followed)?.button.removeAttribute("aria-current");
    this.followed = id;
    const row = this.#rows.get(id);
    if (!row) return;
    row.button.setAttribute("aria-current", "true");
    this.#point(id);
    row.item.scrollIntoView({ block: "nearest" });
  }

  /** Go `by` rows down (up where negative) and put the keyboard there. */
  move(by) {
    const shown = this.#shown();
    if (shown.length === 0) return;
    const at = shown.indexOf(this.#current);
    const next = at < 0 || (!this.focused && this.followed === null) ? 0 : at + by;
    this.#rows.get(shown[Math.min(shown.length - 1, Math.max(0, next))]).button.focus();
  }

  /** Whether the keyboard is in the list. */
  get focused() {
    return this.list.contains(document.activeElement);
  }

  /** The row that the keyboard is at, or the first that is shown. */
  get current() {
    return this.#current ?? this.#shown()[0] ?? null;
  }

  clear() {
    this.list.replaceChildren();
    this.#rows.clear();
    this.#order = [];
    this.#current = null;
  }

  #insert(id) {
    const item = this.template.content.firstElementChild.cloneNode(true);
    const part = (name) => item.querySelector(`.${name}`);
    const row = {
      item, seen: true, button: part("row"), mark: part("mark"), speed: part("speed"), age: part("age"),
    };
    item.dataset.id = id;
    item.hidden = !this.#matches(id);
    part("short").textContent = shortName(id);
    part("full").textContent = id;
    row.button.tabIndex = this.#rows.size === 0 ? 0 : -1;
    row.button.addEventListener("click", () => this.chosen(id));
    this.#rows.set(id, row);
    const at = this.#order.findIndex((other) => other > id);
    const before = at < 0 ? null : this.#rows.get(this.#order[at]).item;
    this.#order.splice(at < 0 ? this.#order.length : at, 0, id);
    this.list.insertBefore(item, before);
    this.#seen.observe(item);
    if (id === this.followed) this.mark(id);
  }

  #renew(row, device, nowMs) {
    const { fix, level } = device;
    const drives = fix.speed > 0;
    const ageMs = this.fleet.ageMs(device, nowMs);
    const now = this.fleet.serverNow(nowMs);
    write(row.speed, level > 0 ? "" : drives ? speed(fix.speed) : "stands");
    write(row.age, level > 0 ? lastSeen(fix.ts, now) : age(ageMs));
    set(row.item, "level", String(level));
    set(row.mark, "drives", String(drives && level === 0));
    const turn = `rotate(${Math.round(fix.course)}deg)`;
    if (drives && row.mark.style.transform !== turn) row.mark.style.transform = turn;
    const title = `${drives ? course(fix.course) : "stands"}, ${utc(fix.ts)}`;
    if (row.button.title !== title) row.button.title = title;
  }

  #matches(id) {
    return id.toLowerCase().includes(this.#query);
  }

  #shown() {
    return this.#order.filter((id) => this.#matches(id));
  }

  #point(id) {
    if (!id || !this.#rows.has(id)) return;
    const before = this.#rows.get(this.#current ?? this.#order[0]);
    if (before) before.button.tabIndex = -1;
    this.#current = id;
    this.#rows.get(id).button.tabIndex = 0;
  }
}

/** Write only what changed: an unchanged text would be laid out anew all the same. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function set(element, name, value) {
  if (element.dataset[name] !== value) element.dataset[name] = value;
}
