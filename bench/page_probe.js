/** Put into the page before its own scripts: what it sends, what it hears, and when that is painted. */

window.probe = { asked: 0, granted: 0, rate: 0, sent: [], audio: [], shown: [] };

const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (constraints) => {
  probe.asked = performance.now();
  const media = await ask(constraints);
  probe.granted = performance.now();
  return media;
};

// Enough of the audio to find out where in the file the microphone began.
const KEPT_BYTES = 1 << 21;
let bytes = 0;

const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) {
  if (typeof data === "string") {
    const { type, sample_rate: rate } = JSON.parse(data);
    if (type === "start") probe.rate = rate;
  } else {
    bytes += data.byteLength;
    probe.sent.push([performance.now(), bytes / 2]);
    if (bytes < KEPT_BYTES) probe.audio.push(new Int16Array(data.slice(0)));
  }
  return send.call(this, data);
};

window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({ data }) => note(JSON.parse(data)));
  }
};

// After the frame in which it is drawn, not when it has arrived; and what is really there by then.
function note(event) {
  if (event.type !== "partial" && event.type !== "final") return;
  requestAnimationFrame(() =>
    setTimeout(() => {
      const rows = event.type === "final" ? "#finals .final .text" : "#partials .text";
      const texts = [...document.querySelectorAll(rows)].map((row) => row.textContent);
      const isThere = !event.text || texts.slice(-3).some((text) => text.includes(event.text.trim()));
      probe.shown.push({ ...event, words: undefined, wall: performance.now(), isThere });
    }),
  );
}
