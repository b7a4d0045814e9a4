// Colours live in style.css, for the map as well: one place, and one rule for dark and light.

const NAMES = [
  "water", "land", "coast", "border", "grid", "place", "ink", "halo", "accent", "accent-ink", "mark",
];

/** The colours in force, by name. */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/** Speed from slow to fast: distinct for every kind of colour vision, lighter means faster. */
export const SPEED_SCALE = [
  [0, "#3b2a7e"], [30, "#31688e"], [60, "#21918c"], [90, "#35b779"], [120, "#90d743"], [150, "#fde725"],
];
