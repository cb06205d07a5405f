/** The key of a server that wants one: the user is asked for it once, and this browser keeps it. */

const PLACE = "stentor-key";
const TOKEN_SECONDS = 600; // the browser may still have to ask for the microphone
const AWAY = "The server cannot be reached.";

let isNeeded = null; // a promise: whether the server has keys
let question = null; // a promise, while the user is being asked
let hasDeclined = false;

/** `fetch` with the key. The user is asked for another one where the server does not take it. */
export async function fetchWithKey(path, options = {}) {
  for (;;) {
    const key = await known();
    const headers = new Headers(options.headers);
    if (key) headers.set("Authorization", `Bearer ${key}`);
    const answer = await fetch(new URL(path, document.baseURI), { ...options, headers });
    if (answer.status !== 401) return answer;
    isNeeded = Promise.resolve(true);
    await demand(key);
  }
}

/**
 * A token with which a WebSocket can be opened, which can have no header; null where the server
 * has no keys. Throws an Error in the user's words.
 */
export async function token() {
  if (!(await known())) return null;
  const answer = await fetchWithKey("v1/tokens", {
    method: "POST",
    body: JSON.stringify({ expires_in_seconds: TOKEN_SECONDS }),
  }).catch((error) => {
    throw error instanceof Declined ? error : new Error(AWAY);
  });
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(body?.error?.message ?? `${answer.status} ${answer.statusText}`);
  return body.token;
}

/** A key that the server takes, for what cannot ask by itself; null where it needs none. */
export async function goodKey() {
  if (await known()) await fetchWithKey("v1/jobs?limit=1");
  return known();
}

export class Declined extends Error {
  constructor() {
    super("This server wants a key.");
  }
}

async function known() {
  isNeeded ??= fetch(new URL("readyz", document.baseURI))
    .then((answer) => answer.json())
    .then(({ needs_key: needed }) => Boolean(needed))
    .catch(() => {
      isNeeded = null; // to be asked again
      return false;
    });
  if (!(await isNeeded)) return null;
  if (!localStorage.getItem(PLACE)) await demand(null);
  return localStorage.getItem(PLACE);
}

/** Returns once there is another key than `used`. Throws Declined. */
async function demand(used) {
  if ((localStorage.getItem(PLACE) ?? null) !== used) return;
  // What goes on in the background does not ask again and again.
  if (hasDeclined && !navigator.userActivation?.isActive) throw new Declined();
  question ??= dialog(used !== null).finally(() => (question = null));
  const key = await question;
  hasDeclined = !key;
  if (!key) throw new Declined();
  localStorage.setItem(PLACE, key);
}

/** What the user enters; null when he does not. */
function dialog(wasWrong) {
  const box = document.createElement("dialog");
  box.className = "key";
  box.innerHTML = `
    <form method="dialog">
      <h2>This server wants a key</h2>
      <p class="quiet"></p>
      <label>Key <input type="password" name="key" autocomplete="current-password" required></label>
      <menu><button type="button" class="act">Cancel</button><button class="act" value="given">Use it</button></menu>
    </form>`;
  box.querySelector("p").textContent = wasWrong
    ? "The one that this browser has kept is not taken any longer."
    : "Whoever runs it can give you one. This browser keeps it until you clear its data.";
  box.querySelector("button[type=button]").addEventListener("click", () => box.close());
  document.body.append(box);
  box.showModal();
  return new Promise((resolve) => {
    const input = box.querySelector("input");
    box.addEventListener("close", () => {
      box.remove();
      resolve(box.returnValue === "given" ? input.value.trim() : null);
    });
  });
}
