/** The languages to choose from; the server says when its model does not know one. */

import { keep, recall } from "./storage.js";

const CODES =
  "en zh es hi ar bn pt ru ja de fr ko it tr vi pl uk nl ro el cs sv hu fi da no he id th fa".split(
    " ",
  );
const KEY = "stentor.language";

export function languageName(code) {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(code) ?? code;
  } catch {
    return code;
  }
}

/** Fills the list and remembers the choice on this device. */
export function offerLanguages(select) {
  select.append(new Option("Detect language", "auto"));
  const named = CODES.map((code) => [languageName(code), code]);
  for (const [name, code] of named.sort()) select.append(new Option(name, code));
  const last = recall(KEY);
  if (last && [...select.options].some(({ value }) => value === last)) select.value = last;
  select.addEventListener("change", () => keep(KEY, select.value));
}
