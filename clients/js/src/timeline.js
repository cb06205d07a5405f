/** Events of sessions, counted from the beginning of the recording that these are parts of. */

export class Timeline {
  #seconds = 0; // of the recording, before this session
  #before = 0; // utterances of the sessions before it
  #utterance = 0; // the highest number so far

  /** Another session begins there. */
  restart(seconds) {
    this.#seconds = seconds;
    this.#before = this.#utterance;
  }

  counted(event) {
    const told = moved(event, ["start", "end", "at"], this.#seconds);
    if (told.words) {
      told.words = told.words.map((word) => moved(word, ["start", "end"], this.#seconds));
    }
    if (told.utterance !== undefined) {
      told.utterance += this.#before;
      this.#utterance = Math.max(this.#utterance, told.utterance);
    }
    return told;
  }
}

function moved(item, names, seconds) {
  const copy = { ...item };
  for (const name of names) {
    if (typeof copy[name] === "number") copy[name] = sum(copy[name], seconds);
  }
  return copy;
}

// Sums of decimal seconds are not decimal: 1.1 + 2.2 should be 3.3.
function sum(one, other) {
  return other ? Math.round((one + other) * 1000) / 1000 : one;
}
