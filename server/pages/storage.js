/** What this browser keeps for us. It may forbid that; then it lasts as long as the page. */

const own = new Map();

export function recall(key) {
  return own.get(key) ?? attempt(() => localStorage.getItem(key));
}

export function keep(key, value) {
  own.set(key, value);
  attempt(() => {
    localStorage.setItem(key, value);
    own.delete(key);
  });
}

export function drop(key) {
  own.delete(key);
  attempt(() => localStorage.removeItem(key));
}

export function keys() {
  return [...own.keys(), ...(attempt(() => Object.keys(localStorage)) ?? [])];
}

function attempt(work) {
  try {
    return work();
  } catch {
    return null;
  }
}
