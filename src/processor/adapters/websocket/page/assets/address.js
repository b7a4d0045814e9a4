// What the address bar carries, so that a picture can be shared: ?event=<uuid>&follow=<deviceId>.

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Which event, in the lower case that the server knows it by; null and `wrong` if it is none. */
export function readAddress(search) {
  const members = new URLSearchParams(search);
  const given = (members.get("event") ?? "").trim().toLowerCase();
  const event = UUID.test(given) ? given : null;
  return { event, wrong: given !== "" && event === null, follow: members.get("follow") || null };
}

/** The query that readAddress would read; what else stands in it is kept. */
export function writeAddress(search, follow) {
  const members = new URLSearchParams(search);
  if (follow) members.set("follow", follow);
  else members.delete("follow");
  return `?${members}`;
}
