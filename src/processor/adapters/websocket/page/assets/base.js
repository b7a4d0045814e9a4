// The map below the devices when no style was configured: land, borders and a grid of degrees. It
// needs no server but ours, and an empty place still looks like a map.

const STEPS = [30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];

/** A grid line every so many pixels or a little more. */
const GRID_PX = 170;

export const EMPTY = { type: "FeatureCollection", features: [] };

export function baseStyle(colours) {
  return {
    version: 8,
    sources: {
      earth: {
        type: "geojson", data: new URL("assets/earth.json", document.baseURI).href,
        maxzoom: 11, tolerance: 0.1, // more, and thinned polygons cross themselves
        attribution: "Natural Earth",
      },
      grid: { type: "geojson", data: EMPTY, tolerance: 0 },
    },
    layers: [
      { id: "water", type: "background", paint: { "background-color": colours.water } },
      {
        id: "land", type: "fill", source: "earth", filter: ["==", ["get", "kind"], "land"],
        paint: { "fill-color": colours.land, "fill-antialias": false },
      },
      {
        id: "grid", type: "line", source: "grid",
        paint: { "line-color": colours.grid, "line-width": 1 },
      },
      {
        id: "border", type: "line", source: "earth", filter: ["==", ["get", "kind"], "border"],
        layout: { "line-join": "round" },
        paint: {
          "line-color": colours.border, "line-dasharray": [3, 2],
          "line-width": ["interpolate", ["linear"], ["zoom"], 3, 0.7, 9, 1.5],
        },
      },
      {
        id: "coast", type: "line", source: "earth", filter: ["==", ["get", "kind"], "land"],
        layout: { "line-join": "round" },
        paint: {
          "line-color": colours.coast,
          "line-width": ["interpolate", ["linear"], ["zoom"], 3, 0.6, 9, 1.4],
        },
      },
    ],
  };
}

/** The names of countries: [{name, size, lon, lat}], the large ones first. */
export async function countries() {
  const answer = await fetch("assets/earth.json");
  const { features } = await answer.json();
  return features
    .filter(({ properties }) => properties.kind === "country")
    .map(({ properties: { name, size }, geometry: { coordinates: [lon, lat] } }) =>
      ({ name, size, lon, lat }));
}

/** Degrees from one grid line to the next, where so many degrees are so many pixels wide. */
export function gridStep(degreesWide, pixelsWide) {
  const atLeast = (degreesWide * GRID_PX) / pixelsWide;
  return STEPS.findLast((step) => step >= atLeast) ?? STEPS[0];
}

/** The multiples of `step` from `low` to `high`. */
export function multiples(low, high, step) {
  const values = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) values.push(i * step);
  return values;
}

/** The grid for what is seen and as much again on each side, so that it is there while panning. */
export function gridLines([[west, south], [east, north]], step) {
  const wide = east - west;
  const high = north - south;
  const [w, e] = [Math.max(-180, west - wide), Math.min(180, east + wide)];
  const [s, n] = [Math.max(-85, south - high), Math.min(85, north + high)];
  const coordinates = [
    ...multiples(w, e, step).map((lon) => [[lon, s], [lon, n]]),
    ...multiples(s, n, step).map((lat) => [[w, lat], [e, lat]]),
  ];
  return { type: "Feature", properties: {}, geometry: { type: "MultiLineString", coordinates } };
}
