// Each state of the page: a word for the chip, and where it needs one a sentence with what to do.
//
// `place`: "middle" where there is nothing else to look at, "top" where the last picture still
// tells something. `action`: what the button does; `form`: ask for an event.

const AGAIN = { action: "retry", label: "Try again" };
const NOW = { action: "retry", label: "Try now" };

export function told(state, { stream, event, devices, lastPicture }) {
  const short = event?.slice(0, 8);
  const place = devices > 0 ? "top" : "middle";
  const asOf = lastPicture ? ` What you see is as of ${lastPicture}.` : "";
  switch (state) {
    case "no-event":
      return {
        word: "No event", tone: "idle", place: "middle", form: true,
        title: "Which event?",
        text: "The address of this page names no event. Enter the event’s id, as it stands in the address of the event in Directus.",
      };
    case "wrong-event":
      return {
        word: "No event", tone: "bad", place: "middle", form: true,
        title: "That is no event’s id",
        text: "An id looks like 6f9619ff-8b86-d011-b42d-00cf4fc964ff. Check the link that brought you here, or enter the id.",
      };
    case "connecting":
      return devices > 0
        ? { word: "Connecting", tone: "wait" }
        : {
          word: "Connecting", tone: "wait", place: "middle",
          title: "Connecting …", text: "Positions appear in a moment.",
        };
    case "live":
      return devices > 0
        ? { word: "Live", tone: "good" }
        : {
          word: "Live", tone: "good", place: "middle",
          title: "No device has sent anything yet",
          text: `The stream is ${stream}. Devices appear here by themselves as soon as they send. If they should have by now, check that they are assigned to this event; “processor doctor” says whether the stream has traffic.`,
        };
    case "lost":
      return {
        word: "Connection lost", tone: "bad", place, ...NOW,
        title: "Connection lost",
        text: `The server cannot be reached.${asOf} The page keeps trying by itself; if it lasts, check your network.`,
      };
    case "restarting":
      return {
        word: "Restarting", tone: "wait", place, ...NOW,
        title: "The server is restarting",
        text: `It said so itself, and the page comes back in a few seconds.${asOf}`,
      };
    case "busy":
      return {
        word: "Server busy", tone: "wait", place, ...NOW,
        title: "The server asks us to wait",
        text: `It is there, but cannot answer now.${asOf} The page tries again by itself.`,
      };
    case "refused":
      return {
        word: "Not let in", tone: "bad", place, ...NOW,
        title: "You are probably not logged in",
        text: `The server is there, but does not let this page in.${asOf} Log in to Directus in this browser, and come back. Should you be logged in, too many pages may be open at once, or the login server may be away.`,
      };
    case "renewing":
      return { word: "Connecting", tone: "wait" };
    case "ended":
      return {
        word: "Session ended", tone: "bad", place, ...AGAIN,
        title: "Your session has ended",
        text: `Log in to Directus again in this browser, then try again.${asOf}`,
      };
    case "forbidden":
      return {
        word: "No access", tone: "bad", place, ...AGAIN,
        title: "You may not see this event",
        text: `Event ${short} … does not exist, or is not open to you. Check the link, or ask its organiser for access; then try again.`,
      };
    case "not-found":
      return {
        word: "No such event", tone: "bad", place: "middle", form: true,
        title: "There is no such event",
        text: `The server knows no event ${event}. Check the link, or enter another id.`,
      };
    default:
      throw new Error(`no state ${state}`);
  }
}
