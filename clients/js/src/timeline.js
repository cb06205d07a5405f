/** Events of a session, counted from the beginning of the recording that it is a part of. */

/** `seconds` and `utterances` of the recording came before the session. */
export function counted(event, seconds, utterances) {
  const told = moved(event, ["start", "end", "at"], seconds);
  if (told.utterance !== undefined) told.utterance += utterances;
  if (told.words) told.words = told.words.map((word) => moved(word, ["start", "end"], seconds));
  return told;
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
