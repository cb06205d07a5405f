/** Live transcription with a Stentor server: docs/protocol.md is what it speaks. */

export { decodeFile, sendFile } from "./file.js";
export { levelOf, LevelMeter } from "./level.js";
export { Microphone, MicrophoneError } from "./microphone.js";
export { Stream } from "./stream.js";
