/** What samples are made of. */

export const SAMPLE_BYTES = { pcm_s16le: 2, pcm_f32le: 4, mulaw: 1, alaw: 1 };
const SILENCE = { mulaw: 0xff, alaw: 0xd5 };

/** The audio itself, an ArrayBuffer, each channel's first samples silent: as many as `counts` says. */
export function silenced(audio, encoding, channels, counts) {
  const bytes = new Uint8Array(audio);
  const each = SAMPLE_BYTES[encoding];
  const step = each * channels;
  counts.forEach((count, channel) => {
    const end = Math.min(count * step, bytes.length);
    for (let at = channel * each; at < end; at += step) {
      bytes.fill(SILENCE[encoding] ?? 0, at, at + each);
    }
  });
  return audio;
}
