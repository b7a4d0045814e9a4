// The keyboard, in one table: what `?` shows is what works.

export const KEYS = [
  ["↓ ↑", "move in the list"],
  ["Enter", "follow the device of the row"],
  ["f", "follow it, or let go"],
  ["/", "search"],
  ["a", "show all devices"],
  ["+ −", "closer, farther"],
  ["Esc", "let go, close, clear the search"],
  ["?", "show these keys"],
];

const WRITES = "input, textarea, select, [contenteditable]";

/** Which command a key press means; null where it is none of ours or somebody is writing. */
export function commandOf({ key, ctrlKey, metaKey, altKey, target }) {
  if (ctrlKey || metaKey || altKey) return null;
  if (key === "Escape") return "let-go";
  const writing = target?.matches?.(WRITES) ?? false;
  if (key === "ArrowDown") return "down";
  if (key === "ArrowUp") return "up";
  if (writing) return null;
  return { f: "follow", "/": "search", a: "all", "?": "keys", "+": "closer", "=": "closer", "-": "farther" }[key] ?? null;
}
