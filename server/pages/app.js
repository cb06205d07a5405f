/** The page: joins the parts; each has a file of its own. */

import { Captions } from "./captions.js";
import { acceptDrops } from "./drop.js";
import { exportButtons } from "./export.js";
import { Files } from "./files.js";
import { offerLanguages } from "./languages.js";
import { Live } from "./live.js";
import { ModelBadge } from "./model.js";
import { Notices } from "./notices.js";
import { Tabs } from "./tabs.js";
import { WordTip } from "./words.js";

const find = (selector) => document.querySelector(selector);

const language = find("#language");
offerLanguages(language);
new WordTip(find("#tip"));

const notices = new Notices(find("#notices"));
const tabs = new Tabs(find(".tabs"));
const captions = new Captions();
const model = new ModelBadge(notices);
const live = new Live({
  captions,
  notices,
  language,
  model,
  onChange: showTools,
});
const files = new Files({ list: find("#queue"), language, notices, onChange: showCount });

const clear = document.createElement("button");
clear.type = "button";
clear.textContent = "Clear";
clear.addEventListener("click", () => {
  captions.clear();
  showTools();
});
find("#live-tools").append(exportButtons(recordingName, () => captions.transcript, "this page"), clear);
showTools();

find("#picker").addEventListener("change", ({ target }) => {
  files.add(target.files);
  target.value = ""; // so that the same file can be chosen again
});
acceptDrops(find("#curtain"), (dropped) => {
  tabs.choose("tab-files");
  files.add(dropped);
});

addEventListener("beforeunload", (event) => {
  if (live.isRunning || files.unsent) event.preventDefault();
});

model.ask();

function showTools() {
  find("#live-tools").hidden = captions.isEmpty;
  clear.disabled = live.isRunning;
}

function showCount(pending) {
  const count = find("#files-count");
  count.hidden = !pending;
  count.textContent = String(pending);
}

function recordingName() {
  const now = new Date();
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60000);
  return `stentor-${local.toISOString().slice(0, 16).replace("T", "-").replace(":", "")}`;
}
