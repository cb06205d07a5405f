/** Transcripts as text, subtitles and JSON, made in the browser. */

import { stamp } from "./clock.js";
import { cut } from "./words.js";

// What subtitle guides agree on: two lines of 42 characters, at most 7 s on the screen.
const LINE_CHARACTERS = 42;
const CUE_CHARACTERS = 2 * LINE_CHARACTERS;
const CUE_SECONDS = 7;

const FORMATS = {
  txt: { type: "text/plain", write: ({ segments }) => segments.map(({ text }) => text).join("\n") },
  srt: { type: "application/x-subrip", write: srt },
  vtt: { type: "text/vtt", write: vtt },
  json: { type: "application/json", write: (transcript) => JSON.stringify(transcript, null, 2) },
};

/** The segments cut into pieces that fit a screen: `{start, end, text}`. */
export function cues(segments) {
  return segments.flatMap((segment) => {
    const { pieces, rest } = cut(segment.text, segment.words);
    const timed = pieces.every(({ word }) => word.start != null && word.end != null);
    if (!pieces.length || !timed) return [{ ...segment, text: segment.text.trim() }];
    const made = [];
    for (const { gap, text, word } of pieces) {
      const last = made.at(-1);
      if (last && fits(last, gap + text, word.end)) {
        last.text += gap + text;
        last.end = word.end;
      } else {
        made.push({ start: word.start, end: word.end, text: (last ? gap : gap.trimStart()) + text });
      }
    }
    made.at(-1).text += rest;
    return made.map((cue) => ({ ...cue, text: cue.text.trim() }));
  });
}

function fits(cue, addition, end) {
  const sentenceOver = /[.!?…。？！]$/.test(cue.text) && cue.text.length > LINE_CHARACTERS;
  const length = cue.text.length + addition.length;
  return !sentenceOver && length <= CUE_CHARACTERS && end - cue.start <= CUE_SECONDS;
}

function wrap(text) {
  if (text.length <= LINE_CHARACTERS) return text;
  const spaces = [...text.matchAll(/\s/g)].map(({ index }) => index);
  if (!spaces.length) return text;
  const middle = text.length / 2;
  const at = spaces.reduce((a, b) => (Math.abs(b - middle) < Math.abs(a - middle) ? b : a));
  return `${text.slice(0, at)}\n${text.slice(at + 1)}`;
}

function srt({ segments }) {
  const write = ({ start, end, text }, index) =>
    `${index + 1}\n${stamp(start, ",")} --> ${stamp(end, ",")}\n${wrap(text)}\n`;
  return cues(segments).map(write).join("\n");
}

function vtt({ segments }) {
  const safe = (text) =>
    text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const write = ({ start, end, text }) =>
    `${stamp(start, ".")} --> ${stamp(end, ".")}\n${wrap(safe(text))}\n`;
  return ["WEBVTT\n", ...cues(segments).map(write)].join("\n");
}

function save(name, format, transcript) {
  const { type, write } = FORMATS[format];
  const text = write(transcript);
  const blob = new Blob([text.endsWith("\n") ? text : `${text}\n`], { type });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${name}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Pages that are not on https or localhost have no clipboard object.
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (!copied) throw new Error("the browser refused");
  return undefined;
}

/**
 * Buttons for one transcript, of what `label` says. `read()` returns or promises it as it is when
 * a button is pressed, or null.
 */
export function exportButtons(nameOf, read, label) {
  const group = document.createElement("div");
  group.className = "export";
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", `Export the transcript of ${label}`);
  const copying = button("Copy", "Copy the text");
  copying.addEventListener("click", async () => {
    const transcript = await read();
    if (!transcript) return;
    const text = FORMATS.txt.write(transcript);
    copying.textContent = await copy(text).then(() => "Copied", () => "Not copied");
    setTimeout(() => (copying.textContent = "Copy"), 1600);
  });
  group.append(copying);
  for (const format of Object.keys(FORMATS)) {
    const saving = button(format.toUpperCase(), `Download as ${format.toUpperCase()}`);
    saving.dataset.format = format;
    saving.addEventListener("click", async () => {
      const transcript = await read();
      if (transcript) save(nameOf(), format, transcript);
    });
    group.append(saving);
  }
  return group;
}

function button(label, title) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.title = title;
  return made;
}
