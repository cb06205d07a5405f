/** A recording as a live stream: decoded by the browser, sent as fast as the server takes it. */

const SAMPLE_RATE = 16000; // what the models hear; more would be thrown away by the server
const FRAME_SECONDS = 0.1;

/**
 * A Blob of anything the browser can play → mono samples at 16 kHz, `{pcm, sampleRate}` with `pcm`
 * an Int16Array. Throws a RangeError when it is no recording.
 */
export async function decodeFile(blob) {
  const context = new OfflineAudioContext(1, 1, SAMPLE_RATE);
  let sound;
  try {
    sound = await context.decodeAudioData(await blob.arrayBuffer());
  } catch (error) {
    throw new RangeError("The browser cannot decode this file as audio.", { cause: error });
  }
  const pcm = new Int16Array(sound.length);
  const channels = Array.from({ length: sound.numberOfChannels }, (_, i) => sound.getChannelData(i));
  for (let at = 0; at < pcm.length; at += 1) {
    let sample = 0;
    for (const channel of channels) sample += channel[at];
    sample = Math.max(-1, Math.min(1, sample / channels.length));
    pcm[at] = sample < 0 ? sample * 0x8000 : sample * 0x7fff;
  }
  return { pcm, sampleRate: SAMPLE_RATE };
}

/**
 * Sends samples to a Stream that was opened with their rate, and stops it; promises the account.
 * `onProgress` gets the part that has been sent, 0 to 1.
 */
export async function sendFile(stream, { pcm, sampleRate }, onProgress = () => {}) {
  const length = Math.round(sampleRate * FRAME_SECONDS);
  for (let at = 0; at < pcm.length; at += length) {
    await stream.room();
    if (stream.state === "closed") break;
    stream.audio(pcm.slice(at, at + length));
    onProgress(Math.min(1, (at + length) / pcm.length));
  }
  return stream.stop();
}
