/** The two forms of a message on the wire, docs/protocol.md. */

import { pack, unpack } from "./msgpack.js";

export const FRAMINGS = {
  json: {
    subprotocol: "stentor.v1.json",
    control: (message) => JSON.stringify(message),
    audio: (pcm) => pcm,
    read: (data) => JSON.parse(data),
  },
  msgpack: {
    subprotocol: "stentor.v1.msgpack",
    control: (message) => pack(message),
    audio: (pcm) => pack({ type: "audio", audio: pcm }),
    read: (data) => unpack(data),
  },
};
