// The pictures of a device: an arrow while it drives, a disc while it stands; one set for all, one
// for the device that is followed. Told apart by shape and size as well as by colour.

const SIZE = 28;
const SCALE = 3; // sharp on every screen; four small pictures cost nothing

export const MARKS = ["drives", "stands", "drives-followed", "stands-followed"];

/** Draw a mark, the arrow pointing north. */
export function mark(name, colours) {
  const followed = name.endsWith("-followed");
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE * SCALE;
  const pen = canvas.getContext("2d");
  pen.scale(SCALE, SCALE);
  pen.translate(SIZE / 2, SIZE / 2);
  const size = followed ? 1.3 : 1;
  pen.beginPath();
  if (name.startsWith("drives")) {
    pen.moveTo(0, -9 * size);
    pen.lineTo(6.4 * size, 7 * size);
    pen.lineTo(0, 3.8 * size);
    pen.lineTo(-6.4 * size, 7 * size);
    pen.closePath();
  } else {
    pen.arc(0, 0, 4.6 * size, 0, 2 * Math.PI);
  }
  pen.lineJoin = "round";
  pen.strokeStyle = colours.halo;
  pen.lineWidth = 3;
  pen.stroke();
  pen.fillStyle = followed ? colours.accent : colours.mark;
  pen.fill();
  return pen.getImageData(0, 0, canvas.width, canvas.height);
}

export const PIXEL_RATIO = SCALE;
