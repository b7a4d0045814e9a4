// The page put together: address -> connection -> fleet -> map and list. Everything that is drawn
// often is drawn here, in one place: markers with each picture, words twice a second.

import { readAddress, writeAddress } from "./address.js";
import { Connection } from "./connection.js";
import { Fleet } from "./fleet.js";
import { commandOf, KEYS } from "./keys.js";
import { DeviceList, write } from "./list.js";
import { RallyMap } from "./map.js";
import { Sheet } from "./sheet.js";
import { told } from "./states.js";
import { age, clock, course, lastSeen, speed, utc } from "./words.js";

/** Numbers that change more often than this cannot be read. */
const WORDS_MS = 500;

const $ = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 720px)");

const address = readAddress(location.search);
const fleet = new Fleet();
let stream = "telemetry:teltonika";
let page = { state: address.event ? "connecting" : address.wrong ? "wrong-event" : "no-event", retryAt: null };
let wanted = address.follow;
let stirred = true; // something came or changed since the last picture
let populated = false;
let fitted = false;
let map = null;
let connection = null;

const list = new DeviceList({
  list: $("devices"), template: $("row"), none: $("none"), fleet, chosen: follow,
});
const sheet = new Sheet({ panel: $("panel"), handle: $("handle"), changed: reserve });

// ---- what is followed

function follow(id) {
  wanted = id;
  list.mark(id);
  map?.follow(id);
  history.replaceState(null, "", writeAddress(location.search, id));
  if (id && narrow.matches && sheet.height === "full") sheet.set("half");
  stirred = true;
  words(performance.now());
}

/** A hand took the map: the device stays chosen, the camera stays where it is put. */
function letCameraGo() {
  if (map) map.tracking = false;
  words(performance.now());
}

function showAll() {
  letCameraGo();
  map?.fit();
}

// ---- what comes

function received(message) {
  const nowMs = performance.now();
  if (message.type === "subscribed") fleet.subscribed(message, nowMs);
  else if (message.type === "positions") for (const fix of message.positions) fleet.take(fix, nowMs);
  else if (message.type === "position") fleet.take(message, nowMs);
  stirred = true;
  if (fleet.size > 0) firstSeen();
}

/** Once there is something to see: look at it, and at whom the address names. */
function firstSeen() {
  if (!populated) {
    populated = true;
    delete document.documentElement.dataset.empty; // the list has something to show
    reserve();
    notice();
  }
  if (!map) return;
  if (!fitted) fitted = map.fit();
  if (wanted && map.followed !== wanted && fleet.get(wanted)) follow(wanted);
}

function entered({ name, retryAt }) {
  page = { state: name, retryAt };
  notice();
}

// ---- what is drawn

function picture(nowMs) {
  requestAnimationFrame(picture);
  if (document.hidden) return;
  const moved = fleet.step(nowMs, { calm: calm.matches });
  map?.picture(nowMs, moved || stirred);
  stirred = false;
}

function words(nowMs) {
  if (fleet.fade(nowMs)) stirred = true;
  list.render(nowMs);
  const now = fleet.serverNow(nowMs);
  write($("clock"), clock(now));
  $("clock").title = utc(now);
  write($("newest"), fleet.newestTs === null ? "–" : age(now - fleet.newestTs));
  const fresh = [...fleet].filter(({ level }) => level === 0);
  const moving = fresh.filter(({ fix }) => fix.speed > 0).length;
  write($("count"), count(fleet.size, moving));
  const left = page.retryAt === null ? null : Math.ceil((page.retryAt - nowMs) / 1000);
  write($("countdown"), left === null ? "" : left > 0 ? `next try in ${left} s` : "trying …");
  followed(nowMs, now);
}

function count(all, moving) {
  if (all === 0) return "No devices";
  return `${all} ${all === 1 ? "device" : "devices"}, ${moving} moving`;
}

function followed(nowMs, now) {
  const device = wanted && fleet.get(wanted);
  $("followed").hidden = !device;
  if (!device) return;
  const { fix, level } = device;
  write($("followed-short"), device.name);
  write($("followed-id"), device.id);
  write($("followed-speed"), level > 0 ? "–" : speed(fix.speed));
  write($("followed-course"), fix.speed > 0 && level === 0 ? course(fix.course) : "–");
  write($("followed-seen"), level > 0 ? lastSeen(fix.ts, now) : `${age(fleet.ageMs(device, nowMs))} ago`);
  $("followed-seen").title = utc(fix.ts);
  const tracks = map?.tracking ?? false;
  write($("followed-word"), tracks ? "Following" : "Chosen");
  $("track").hidden = tracks;
}

/** The chip and, where the state needs one, the sentence. */
function notice() {
  const lastPicture = fleet.newestTs === null ? null : clock(fleet.newestTs);
  const says = told(page.state, {
    stream, event: address.event, devices: fleet.size, lastPicture,
  });
  document.documentElement.dataset.state = page.state;
  $("connection").dataset.tone = says.tone;
  write($("connection-word"), says.word);
  const box = $("notice");
  box.hidden = !says.title;
  if (says.title) {
    box.dataset.place = says.place;
    write($("notice-title"), says.title);
    write($("notice-text"), says.text);
    $("retry").hidden = !says.action;
    write($("retry"), says.label ?? "");
    $("ask").hidden = !says.form;
  }
  words(performance.now());
}

/** Tell the map which part of the window the panel covers. */
function reserve() {
  if (!map) return;
  const { left, height } = $("panel").getBoundingClientRect();
  const covered = Math.min(height, innerHeight * 0.5);
  const tools = $("tools").getBoundingClientRect().width + 12;
  const beside = narrow.matches || height === 0 ? tools : innerWidth - left;
  document.documentElement.style.setProperty("--covered", `${covered}px`);
  map.reserve({
    top: $("chips").getBoundingClientRect().bottom, left: 0,
    right: beside, bottom: narrow.matches ? covered : 0,
  });
}

// ---- what people do

const COMMANDS = {
  down: () => list.move(1),
  up: () => list.move(-1),
  follow: () => {
    const device = list.focused ? list.current : wanted ?? list.current;
    follow(device === wanted && (map?.tracking ?? true) ? null : device);
  },
  search: () => {
    if (narrow.matches && sheet.height === "peek") sheet.set("half");
    $("search").focus();
    $("search").select();
  },
  all: showAll,
  closer: () => map?.zoomBy(1),
  farther: () => map?.zoomBy(-1),
  keys: () => $("keys").showModal(),
  "let-go": () => {
    if (document.activeElement === $("search")) {
      $("search").value = "";
      list.filter("");
      $("search").blur();
    } else if (wanted) follow(null);
  },
};

addEventListener("keydown", (event) => {
  if ($("keys").open) return; // Esc closes a dialog by itself
  const command = commandOf(event);
  if (command === null) return;
  event.preventDefault();
  COMMANDS[command]();
});

for (const button of document.querySelectorAll("[data-command]")) {
  button.addEventListener("click", () => COMMANDS[button.dataset.command]());
}
$("search").addEventListener("input", ({ target }) => list.filter(target.value));
$("search").addEventListener("keydown", ({ key }) => {
  if (key === "Enter" && list.current) follow(list.current);
});
$("release").addEventListener("click", () => follow(null));
$("track").addEventListener("click", () => follow(wanted));
$("retry").addEventListener("click", () => connection?.retryNow());
dark.addEventListener("change", () => map?.recolour());
calm.addEventListener("change", () => map && (map.calm = calm.matches));
addEventListener("resize", reserve);
addEventListener("online", () => connection?.check());
document.addEventListener("visibilitychange", () => document.hidden || connection?.check());

// ---- and off it goes

async function about() {
  try {
    return await (await fetch("page.json")).json();
  } catch {
    return { stream, styleUrl: null };
  }
}

function drawMap(styleUrl) {
  try {
    map = new RallyMap({
      container: "map", canvas: $("labels"), fleet, styleUrl, calm: calm.matches, chosen: follow,
      letGo: letCameraGo,
      failed: () => write($("flaw"), "The configured map cannot be loaded: this is the built-in one."),
    });
  } catch (error) {
    console.warn(error);
    write($("flaw"), "This browser cannot draw the map (WebGL is missing or switched off). The list works.");
    return;
  }
  reserve();
  // The canvas takes the arrow keys to itself while it has the focus: by Tab that is meant, by a
  // click it is not.
  const canvas = map.map.getCanvas();
  canvas.addEventListener("focus", () => canvas.matches(":focus-visible") || canvas.blur());
}

function connect() {
  const url = new URL("ws-live", document.baseURI);
  url.search = url.hash = "";
  url.protocol = url.protocol.replace("http", "ws");
  connection = new Connection({
    url: url.href, event: address.event, onMessage: received, onState: entered,
  });
  connection.start();
}

for (const [keys, does] of KEYS) {
  const row = $("key").content.cloneNode(true);
  row.querySelector("dt").textContent = keys;
  row.querySelector("dd").textContent = does;
  $("key-list").append(row);
}
list.mark(wanted);
write($("event"), address.event ? address.event.slice(0, 8) : "");
$("event").title = address.event ?? "";
$("event-chip").hidden = !address.event;
notice();
if (address.event) connect();
const { stream: named, styleUrl } = await about();
stream = named;
drawMap(styleUrl);
notice();
if (fleet.size > 0) firstSeen();
setInterval(() => document.hidden || words(performance.now()), WORDS_MS);
requestAnimationFrame(picture);

// For people at the console, and for tests.
globalThis.livePage = { fleet, map, connection };
