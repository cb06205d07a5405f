/** A token from a backend that may be as far away as the server. */

const TOKEN_MS_MAX = 10000;

/** What `ask` promises. Throws an Error when that takes too long. */
export async function inTime(ask) {
  let timer;
  const late = new Promise((_, reject) => {
    const error = new Error(`no token within ${TOKEN_MS_MAX / 1000} s`);
    timer = setTimeout(() => reject(error), TOKEN_MS_MAX);
  });
  try {
    return await Promise.race([ask(), late]);
  } finally {
    clearTimeout(timer);
  }
}
