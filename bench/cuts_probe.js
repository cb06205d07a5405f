/** Put into the page before its own scripts: when its connection is lost, and what becomes of it. */

window.found = { states: [], received: 0 };

const note = (name) => found.states.push([name, performance.now() / 1000]);

addEventListener("DOMContentLoaded", () => {
  const watch = new MutationObserver(() => {
    if (document.body.dataset.state === "reconnecting") note("lost");
  });
  watch.observe(document.body, { attributeFilter: ["data-state"] });
});

let sessions = 0;
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({ data }) => {
      const { type, account } = JSON.parse(data);
      if (type === "ready") sessions += 1;
      if (type === "resumed") note("resumed");
      if (type === "ready" && sessions > 1) note("restarted");
      if (type === "done") found.received = account.received;
    });
  }
};
