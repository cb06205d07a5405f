/** Microphone samples → mono pcm_s16le frames, with the peak of each; runs on the audio thread. */

class Capture extends AudioWorkletProcessor {
  constructor({ processorOptions: { frameMs } }) {
    super();
    this.frame = new Int16Array(Math.round((sampleRate * frameMs) / 1000));
    this.filled = 0;
    this.peak = 0;
    this.running = true;
    this.port.onmessage = () => {
      this.deliver(true);
      this.running = false;
    };
  }

  process([channels]) {
    const length = channels.length ? channels[0].length : 0;
    for (let i = 0; i < length && this.running; i += 1) {
      let sample = 0;
      for (const channel of channels) sample += channel[i];
      this.take(sample / channels.length);
    }
    return this.running;
  }

  take(sample) {
    const bounded = Math.max(-1, Math.min(1, sample));
    this.peak = Math.max(this.peak, Math.abs(bounded));
    this.frame[this.filled] = bounded < 0 ? bounded * 0x8000 : bounded * 0x7fff;
    this.filled += 1;
    if (this.filled === this.frame.length) this.deliver(false);
  }

  deliver(last) {
    const pcm = this.frame.slice(0, this.filled).buffer;
    this.port.postMessage({ pcm, peak: this.peak, last }, [pcm]);
    this.filled = 0;
    this.peak = 0;
  }
}

registerProcessor("stentor-capture", Capture);
