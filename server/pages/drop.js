/** Files dropped anywhere on the page. */

export function acceptDrops(curtain, onFiles) {
  let depth = 0; // dragenter and dragleave come for every element that is crossed
  const show = (by) => {
    depth = Math.max(0, depth + by);
    curtain.hidden = depth === 0;
  };
  const withFiles = (handle) => (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    handle(event);
  };
  addEventListener("dragenter", withFiles(() => show(1)));
  addEventListener("dragleave", withFiles(() => show(-1)));
  addEventListener("dragover", withFiles(() => {}));
  addEventListener(
    "drop",
    withFiles((event) => {
      show(-depth);
      onFiles(event.dataTransfer.files);
    }),
  );
}
