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
    if (!this.running) return false;
    const length = channels.length ? channels[0].length : 0;
    for (let i = 0; i < length; i += 1) {
      let sample = channels[0][i];
      for (let c = 1; c < channels.length; c += 1) sample += channels[c][i];
      sample = Math.max(-1, Math.min(1, sample / channels.length));
      this.peak = Math.max(this.peak, Math.abs(sample));
      this.frame[this.filled] = sample < 0 ? sample * 0x8000 : sample * 0x7fff;
      this.filled += 1;
      if (this.filled === this.frame.length) this.deliver(false);
    }
    return true;
  }

  deliver(last) {
    const pcm = this.frame.slice(0, this.filled).buffer;
    this.port.postMessage({ pcm, peak: this.peak, last }, [pcm]);
    this.filled = 0;
    this.peak = 0;
  }
}

registerProcessor("stentor-capture", Capture);
