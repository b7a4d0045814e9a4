// Words on the map: numbers of devices, names of countries, degrees at the edge. Drawn on one canvas
// above the map, in the picture in which the map draws: MapLibre would want glyphs from a server, and
// would lay out every word anew each time a device moves.
//
// Where words would overlap, the more important stands and the other is left out. One that stood
// in the last picture goes first among its equals, so that words do not flicker.

const FONT = "system-ui, sans-serif";
const GAP = 2;
const MARK = 5; // half a mark's width: no word stands on a device
const PICTURES_MAX = 2000;

export class Labels {
  #canvas;
  #pen;
  #pictures = new Map();
  #stood = new Set();
  #colours;

  constructor(canvas, colours) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext("2d");
    this.recolour(colours);
  }

  recolour(colours) {
    this.#colours = colours;
    this.#pictures.clear();
  }

  /**
   * Draw these. A label: key, text, kind (device, followed, place, degree), rank (0 first), alpha,
   * x, y in pixels: of its middle, or with `beside` of what it stands that far beside.
   */
  draw(labels, width, height) {
    const ratio = Math.min(devicePixelRatio || 1, 3);
    if (this.#canvas.width !== Math.round(width * ratio) || this.#canvas.height !== Math.round(height * ratio)) {
      this.#canvas.width = Math.round(width * ratio);
      this.#canvas.height = Math.round(height * ratio);
      this.#pictures.clear();
    }
    const pen = this.#pen;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    const taken = new Taken();
    const stood = new Set();
    for (const { x, y, kind } of labels) {
      if (kind === "device" || kind === "followed") taken.take(x - MARK, y - MARK, 2 * MARK, 2 * MARK);
    }
    for (const label of placed(labels, this.#stood)) {
      if (label.x < -80 || label.y < -20 || label.x > width + 80 || label.y > height + 20) continue;
      const picture = this.#picture(label, ratio);
      const top = label.y - picture.high / 2;
      const left = sides(label, picture.wide)
        .find((side) => taken.take(side, top, picture.wide, picture.high));
      if (left === undefined) continue;
      stood.add(label.key);
      pen.globalAlpha = label.alpha ?? 1;
      pen.drawImage(picture.canvas, Math.round(left * ratio), Math.round(top * ratio));
    }
    this.#stood = stood;
  }

  #picture({ text, kind }, ratio) {
    const name = `${kind} ${text}`;
    let picture = this.#pictures.get(name);
    if (!picture) {
      if (this.#pictures.size >= PICTURES_MAX) this.#pictures.clear();
      picture = drawn(text, kind, ratio, this.#colours);
      this.#pictures.set(name, picture);
    }
    return picture;
  }
}

/** Where the left edge may be: beside a device to its right, else to its left. */
function sides({ x, beside }, wide) {
  return beside === undefined ? [x - wide / 2] : [x + beside, x - beside - wide];
}

/** The labels in the order in which they may take their place. */
export function placed(labels, stood) {
  return labels.toSorted((a, b) => a.rank - b.rank || stood.has(b.key) - stood.has(a.key));
}

/** Which places on the screen are taken, in cells, so that each label meets few others. */
export class Taken {
  #cells = new Map();

  /** Take the rectangle; false, and nothing taken, where another is in the way. */
  take(left, top, wide, high) {
    const box = [left - GAP, top - GAP, left + wide + GAP, top + high + GAP];
    const cells = [];
    for (let x = Math.floor(box[0] / 64); x <= Math.floor(box[2] / 64); x++) {
      for (let y = Math.floor(box[1] / 32); y <= Math.floor(box[3] / 32); y++) {
        const key = x * 100_000 + y;
        const others = this.#cells.get(key) ?? [];
        if (others.some((o) => box[0] < o[2] && o[0] < box[2] && box[1] < o[3] && o[1] < box[3])) {
          return false;
        }
        cells.push([key, others]);
      }
    }
    for (const [key, others] of cells) this.#cells.set(key, [...others, box]);
    return true;
  }
}

function drawn(text, kind, ratio, colours) {
  const size = { followed: 13, device: 12, place: 12, degree: 10 }[kind];
  const weight = { followed: 700, device: 600, place: 500, degree: 400 }[kind];
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d");
  const font = `${weight} ${size}px ${FONT}`;
  pen.font = font;
  const side = kind === "followed" ? 7 : 3;
  const wide = Math.ceil(pen.measureText(text).width) + 2 * side;
  const high = size + (kind === "followed" ? 9 : 4);
  canvas.width = Math.ceil(wide * ratio);
  canvas.height = Math.ceil(high * ratio);
  pen.scale(ratio, ratio);
  pen.font = font;
  pen.textBaseline = "middle";
  if (kind === "followed") {
    pen.fillStyle = colours.accent;
    pen.beginPath();
    pen.roundRect(0, 0, wide, high, high / 2);
    pen.fill();
    pen.fillStyle = colours["accent-ink"];
  } else {
    pen.lineJoin = "round";
    pen.lineWidth = 3;
    pen.strokeStyle = kind === "device" ? colours.halo : colours.land;
    if (kind !== "degree") pen.strokeText(text, side, high / 2 + 0.5);
    pen.fillStyle = kind === "device" ? colours.ink : colours.place;
  }
  pen.fillText(text, side, high / 2 + 0.5);
  return { canvas, wide, high };
}
