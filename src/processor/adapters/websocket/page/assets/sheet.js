// On a phone the list is a sheet at the bottom with three heights. Its handle is a button, which
// goes to the next height, and it can be dragged.

const HEIGHTS = ["peek", "half", "full"];
const DRAG_PX = 8; // less is a tap

export class Sheet {
  #dragged = false;

  /** `changed()` is told when another part of the window is covered. */
  constructor({ panel, handle, changed }) {
    this.panel = panel;
    this.handle = handle;
    this.changed = changed;
    this.set("half");
    handle.addEventListener("click", () => {
      if (!this.#dragged) this.set(this.height === "full" ? "peek" : HEIGHTS[HEIGHTS.indexOf(this.height) + 1]);
      this.#dragged = false;
    });
    panel.addEventListener("transitionend", changed);
    handle.addEventListener("pointerdown", (down) => this.#drag(down));
  }

  set(height) {
    this.height = height;
    this.panel.dataset.height = height;
    this.panel.style.height = "";
    this.handle.setAttribute("aria-expanded", String(height !== "peek"));
    this.changed();
  }

  #drag(down) {
    const from = this.panel.getBoundingClientRect().height;
    const move = ({ clientY }) => {
      if (!this.#dragged && Math.abs(clientY - down.clientY) < DRAG_PX) return;
      this.#dragged = true;
      this.panel.style.height = `${from + down.clientY - clientY}px`;
    };
    const up = () => {
      this.handle.removeEventListener("pointermove", move);
      if (this.#dragged) this.set(nearest(this.panel.getBoundingClientRect().height / innerHeight));
    };
    this.handle.setPointerCapture(down.pointerId);
    this.handle.addEventListener("pointermove", move);
    this.handle.addEventListener("pointerup", up, { once: true });
    this.handle.addEventListener("pointercancel", up, { once: true });
  }
}

/** The height whose share of the window is nearest. */
export function nearest(share) {
  if (share < 0.27) return "peek";
  return share < 0.65 ? "half" : "full";
}
