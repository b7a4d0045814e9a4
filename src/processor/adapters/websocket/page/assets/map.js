// The map: MapLibre with one source for each thing that is drawn, set at most once in a picture.
// A device is a point in a source, not an element of the page: five hundred of them move smoothly.

import { baseStyle, countries, EMPTY, gridLines, gridStep, multiples } from "./base.js";
import { fading } from "./fleet.js";
import { Labels } from "./labels.js";
import { mark, MARKS, PIXEL_RATIO } from "./marks.js";
import { palette, SPEED_SCALE } from "./palette.js";
import { clock, degrees } from "./words.js";

/** How visible a device is: fresh, quiet for a minute, for five, for thirty. */
const OPACITY = [1, 0.7, 0.5, 0.35];

/** All trails together have this many points at most: more cost pictures, and nobody sees them. */
const TRAIL_BUDGET = 12_000;

/** A trail fades in so many steps. A gradient would be smoother, and a texture for each trail. */
const PIECES = 6;

/** A finger is this wide. */
const REACH_PX = 22;

/** The scale and the attribution stand in the lower left corner. */
const CORNER_PX = 56;

const OVERVIEW_ZOOM_MAX = 14;
const FOLLOW_ZOOM = 13;

export class RallyMap {
  #fleet;
  #labels;
  #colours = palette();
  #ownStyle;
  #places = [];
  #gridStep = null;
  #pictured = false;
  #trailsAt = 0;
  #easingUntil = 0;
  followed = null;
  tracking = false;

  /** `chosen(id)` is told of a click on a device, `letGo` of a hand that moves the map away. */
  constructor({ container, canvas, fleet, styleUrl, calm, chosen, letGo, failed }) {
    this.#fleet = fleet;
    this.calm = calm;
    this.#labels = new Labels(canvas, this.#colours);
    this.#ownStyle = !styleUrl;
    maplibregl.setWorkerCount(2); // trails do not hold up the arrows
    this.map = new maplibregl.Map({
      container,
      style: styleUrl ?? baseStyle(this.#colours),
      center: [15, 44],
      zoom: 3.6,
      minZoom: 1,
      attributionControl: false,
      fadeDuration: 0, // a device that moves must not fade in anew in each picture
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      renderWorldCopies: false,
    });
    this.map.touchZoomRotate.disableRotation(); // north is up
    this.map.keyboard.disableRotation();
    this.map.addControl(new maplibregl.ScaleControl({ maxWidth: 120 }), "bottom-left");
    this.map.addControl(new maplibregl.AttributionControl({ compact: false }), "bottom-left");
    this.map.on("style.load", () => this.#dress());
    this.map.on("render", () => this.#letter());
    this.map.on("moveend", () => this.#grid());
    this.map.on("dragstart", () => this.tracking && letGo());
    this.map.on("click", ({ point }) => {
      const id = this.#at(point);
      if (id) chosen(id);
    });
    this.map.on("mousemove", ({ point }) => {
      this.map.getCanvas().style.cursor = this.#at(point) ? "pointer" : "";
    });
    this.map.on("error", ({ error }) => {
      if (this.#ownStyle || this.#pictured) return console.warn(error?.message);
      this.#ownStyle = true; // the style's server is away: ours is better than nothing
      this.map.setStyle(baseStyle(this.#colours));
      failed();
    });
    if (this.#ownStyle) countries().then((places) => (this.#places = places), () => {});
  }

  /** Light has become dark, or the other way round. */
  recolour() {
    this.#colours = palette();
    this.#labels.recolour(this.#colours);
    if (!this.#ownStyle) return this.#dress();
    this.#pictured = false;
    return this.map.setStyle(baseStyle(this.#colours), { diff: false });
  }

  /** The part of the window that panels leave free, in pixels from each side. */
  reserve(padding) {
    this.map.setPadding(padding);
  }

  /** Show all devices; false while there is none. */
  fit() {
    const bounds = this.#fleet.bounds();
    if (!bounds) return false;
    const options = { padding: 56, maxZoom: OVERVIEW_ZOOM_MAX, animate: !this.calm && this.#fitted };
    this.#fitted = true;
    this.map.fitBounds(bounds, options);
    return true;
  }

  #fitted = false;

  /** Keep this device in the middle; null lets go. */
  follow(id) {
    this.followed = id;
    this.tracking = id !== null;
    this.#trailsAt = 0;
    const device = id && this.#fleet.get(id);
    if (!device) return this.changed();
    const zoom = Math.max(this.map.getZoom(), FOLLOW_ZOOM);
    const center = [device.shown.lon, device.shown.lat];
    this.#fitted = true;
    if (this.calm) this.map.jumpTo({ center, zoom });
    else {
      this.#easingUntil = performance.now() + 700;
      this.map.easeTo({ center, zoom, duration: 650 });
    }
    return this.changed();
  }

  zoomBy(levels) {
    this.map.easeTo({ zoom: this.map.getZoom() + levels, duration: this.calm ? 0 : 200 });
  }

  /** One picture: devices, trails if due, and the camera. */
  picture(nowMs, moved) {
    if (!this.#pictured) return;
    if (moved) this.map.getSource("devices").setData(this.#points());
    if (nowMs >= this.#trailsAt) this.#trails(nowMs);
    const device = this.tracking && this.#fleet.get(this.followed);
    if (!device || nowMs < this.#easingUntil || this.map.isZooming()) return;
    const { lng, lat } = this.map.getCenter();
    const { lon, lat: to } = device.shown;
    if (Math.abs(lng - lon) > 1e-7 || Math.abs(lat - to) > 1e-7) this.map.jumpTo({ center: [lon, to] });
  }

  /** Something that is not motion changed: a level, the followed device, a new trail. */
  changed() {
    if (this.#pictured) this.map.getSource("devices").setData(this.#points());
  }

  #dress() {
    const { map } = this;
    const colours = this.#colours;
    for (const name of MARKS) {
      if (map.hasImage(name)) map.removeImage(name);
      map.addImage(name, mark(name, colours), { pixelRatio: PIXEL_RATIO });
    }
    if (!map.getSource("devices")) {
      map.addSource("trails", { type: "geojson", data: EMPTY, maxzoom: 14 });
      map.addSource("followed", { type: "geojson", data: EMPTY, maxzoom: 16 });
      // Fewer and larger tiles to lay out in each picture; exact to a quarter of a metre.
      map.addSource("devices", { type: "geojson", data: EMPTY, maxzoom: 14, buffer: 32 });
    }
    for (const layer of layers(colours)) {
      if (map.getLayer(layer.id)) map.removeLayer(layer.id);
      map.addLayer(layer);
    }
    this.#pictured = true;
    this.#trailsAt = 0;
    this.#gridStep = null;
    this.#grid();
    this.changed();
  }

  #points() {
    const features = [];
    for (const device of this.#fleet) {
      const followed = device.id === this.followed;
      const drives = device.fix.speed > 0;
      features.push({
        type: "Feature",
        geometry: { type: "Point", coordinates: [device.shown.lon, device.shown.lat] },
        properties: {
          m: `${drives ? "drives" : "stands"}${followed ? "-followed" : ""}`,
          r: drives ? device.fix.course : 0,
          o: followed ? 1 : OPACITY[device.level],
          k: followed ? 9 : -device.level,
        },
      });
    }
    return { type: "FeatureCollection", features };
  }

  #trails(nowMs) {
    const each = Math.max(10, Math.floor(TRAIL_BUDGET / Math.max(1, this.#fleet.size)));
    const features = [];
    let points = 0;
    for (const device of this.#fleet) {
      if (device.id === this.followed) continue;
      const stride = Math.max(1, Math.ceil(device.trail.length / each));
      for (const { share, line } of fading(device, stride, PIECES)) {
        points += line.length;
        features.push({
          type: "Feature",
          geometry: { type: "LineString", coordinates: line.map(({ lon, lat }) => [lon, lat]) },
          properties: { o: 0.7 * share * OPACITY[device.level] },
        });
      }
    }
    this.map.getSource("trails").setData({ type: "FeatureCollection", features });
    this.map.getSource("followed").setData(this.#speedTrail());
    this.#trailsAt = nowMs + Math.min(1000, Math.max(200, points / 8));
  }

  #speedTrail() {
    const device = this.followed && this.#fleet.get(this.followed);
    if (!device) return EMPTY;
    const features = fading(device, 1, 1).flatMap(({ line }) =>
      line.slice(1).map((to, i) => ({
        type: "Feature",
        geometry: { type: "LineString", coordinates: [[line[i].lon, line[i].lat], [to.lon, to.lat]] },
        properties: { v: to.speed },
      })));
    return { type: "FeatureCollection", features };
  }

  #grid() {
    if (!this.#pictured || !this.#ownStyle) return;
    const [[west, south], [east, north]] = this.map.getBounds().toArray();
    const step = gridStep(east - west, this.map.getCanvas().clientWidth);
    this.#gridStep = step;
    this.map.getSource("grid")?.setData(gridLines([[west, south], [east, north]], step));
  }

  #letter() {
    const { map } = this;
    const { clientWidth: width, clientHeight: height } = map.getCanvas();
    const labels = [];
    for (const device of this.#fleet) {
      const { x, y } = map.project([device.shown.lon, device.shown.lat]);
      const followed = device.id === this.followed;
      labels.push({
        key: device.id,
        text: device.level > 0 ? `${device.name} · ${clock(device.fix.ts)}` : device.name,
        x, y, beside: followed ? 15 : 11,
        kind: followed ? "followed" : "device",
        rank: followed ? 0 : 1 + device.level,
        alpha: followed ? 1 : Math.max(0.7, OPACITY[device.level]),
      });
    }
    if (this.#ownStyle) labels.push(...this.#placeNames(), ...this.#degrees(width, height));
    this.#labels.draw(labels, width, height);
  }

  #placeNames() {
    const zoom = this.map.getZoom();
    return this.#places
      .filter(({ size }) => size * 2 ** zoom > 40 && zoom < 10)
      .map(({ name, lon, lat }) => {
        const { x, y } = this.map.project([lon, lat]);
        return { key: name, text: name, x, y, kind: "place", rank: 6 };
      });
  }

  #degrees(width, height) {
    const step = this.#gridStep;
    if (step === null) return [];
    const [[west, south], [east, north]] = this.map.getBounds().toArray();
    const { left = 0, right = 0, top = 0, bottom = 0 } = this.map.getPadding();
    return [
      ...multiples(Math.max(-180, west), Math.min(180, east), step).map((lon) => {
        const { x } = this.map.project([lon, north]);
        return { key: `lon${lon}`, text: degrees(lon, step, "E", "W"), x, beside: 3, y: top + 9, kind: "degree", rank: 7 };
      }),
      ...multiples(Math.max(-85, south), Math.min(85, north), step).map((lat) => {
        const { y } = this.map.project([west, lat]);
        return { key: `lat${lat}`, text: degrees(lat, step, "N", "S"), x: left, beside: 4, y: y - 8, kind: "degree", rank: 7 };
      }),
    ].filter(({ x, y }) => x < width - right && y < height - bottom - CORNER_PX);
  }

  /** The device nearest to a point of the screen, within a finger's width. */
  #at(point) {
    let [nearest, best] = [null, REACH_PX];
    for (const device of this.#fleet) {
      const at = this.map.project([device.shown.lon, device.shown.lat]);
      const away = Math.hypot(at.x - point.x, at.y - point.y);
      if (away < best) [nearest, best] = [device.id, away];
    }
    return nearest;
  }
}

function layers(colours) {
  const line = { "line-join": "round", "line-cap": "round" };
  return [
    {
      id: "trails", type: "line", source: "trails",
      layout: { "line-join": "round", "line-cap": "butt" }, // round ends would add up where pieces meet
      paint: {
        "line-color": colours.mark,
        "line-width": ["interpolate", ["linear"], ["zoom"], 6, 1.2, 13, 2.5],
        "line-opacity": ["get", "o"],
      },
    },
    {
      id: "followed-edge", type: "line", source: "followed", layout: line,
      paint: { "line-width": 7, "line-color": colours.halo },
    },
    {
      id: "followed", type: "line", source: "followed", layout: line,
      paint: {
        "line-width": 4,
        "line-color": ["interpolate", ["linear"], ["get", "v"], ...SPEED_SCALE.flat()],
      },
    },
    {
      id: "devices", type: "symbol", source: "devices",
      layout: {
        "icon-image": ["get", "m"],
        "icon-rotate": ["get", "r"],
        "icon-rotation-alignment": "map",
        "icon-allow-overlap": true,
        "icon-ignore-placement": true,
        "icon-padding": 0,
        "symbol-sort-key": ["get", "k"],
      },
      paint: { "icon-opacity": ["get", "o"] },
    },
  ];
}
