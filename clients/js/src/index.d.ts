/** Live transcription with a Stentor server. The fields are those of docs/protocol.md. */

export type Encoding = "pcm_s16le" | "pcm_f32le" | "mulaw" | "alaw";

export interface Endpointing {
  speech_threshold?: number;
  silence_threshold?: number;
  speech_ms_min?: number;
  silence_ms?: number;
  silence_confident_ms?: number;
  end_confidence?: number;
  utterance_seconds_max?: number;
}

/** What may be changed while the recording runs. */
export interface Options {
  language?: string;
  languages?: string[];
  task?: "transcribe" | "translate";
  partials?: boolean;
  progress_ms?: number;
  partial_interval_ms?: number;
  word_times?: "all" | "final" | "none";
  stable_ms_max?: number;
  numbers_whole?: boolean;
  prompt?: string;
  key_terms?: string[];
  volume_min?: number;
  word_volumes?: boolean;
  keep_stable?: boolean;
  final_window?: "auto" | "full" | "trimmed";
  endpointing?: Endpointing;
}

export interface Start extends Options {
  encoding?: Encoding;
  sample_rate?: number;
  channels?: number;
  resumable?: boolean;
}

/** `start`, `end` and `confidence` are there where `word_times` asked for them. */
export interface Word {
  text: string;
  start?: number;
  end?: number;
  confidence?: number;
  volume?: number;
  stable: boolean;
}

export interface Model {
  name: string;
  backend: string;
  device: string;
  compute_type: string;
  why: string;
  fallback: boolean;
}

/** In samples at `sample_rate`: `received` is the sum of the others. */
export interface Account {
  received: number;
  transcribed: number;
  silence: number;
  dropped: number;
  sample_rate: number;
}

interface Spoken {
  utterance: number;
  channel: number;
  /** Seconds from the beginning of the recording, as all times. */
  start: number;
  end: number;
  text: string;
  words: Word[];
  language: string;
  lag_ms: number;
  /** From when the last of this audio was given to `audio` until now. */
  behind_ms: number;
}

export interface Partial extends Spoken {
  /** The leading part of `text` that will not change. */
  stable: string;
}

export interface Final extends Spoken {
  language_probability: number;
  /** `cut_off`: the server had to end it, and no other session could say it whole. */
  reason: "silence" | "finalize" | "length" | "stop" | "cut_off";
}

/** Of errors of the network, which the client itself tells, there are only `code` and `message`. */
export interface ServerError {
  code: string;
  message: string;
  /** What is wrong, as `endpointing.silence_ms`, and what may be; empty where it is no field. */
  field?: string;
  allowed?: string;
  fatal?: boolean;
  /** Null unless it is fatal. */
  close_code?: number | null;
}

export type State = "connecting" | "open" | "reconnecting" | "stopping" | "closed";

export interface Events {
  ready: {
    session: string;
    protocol: string;
    model: Model;
    options: Record<string, unknown>;
    resume: { token: string; grace_seconds: number; ack_seconds: number } | null;
  };
  speech_started: { channel: number; at: number };
  speech_ended: { channel: number; at: number };
  progress: { channel: number; at: number; speech_probability: number; speaking: boolean };
  partial: Partial;
  final: Final;
  marker: { id: string; at: number };
  warning: { code: string; message: string; channel: number; start: number; end: number };
  error: ServerError;
  ack: { messages: number; samples: number | null };
  resumed: { session: string; seq: number; messages: number; samples: number | null };
  done: { account: Account; channels: Account[] };
  state: { state: State };
  /**
   * Another session goes on with the audio from `at`: utterances without a final come anew.
   * `lost_seconds` before it were no longer kept.
   */
  restarted: { at: number; lost_seconds: number };
  /** The last event. `opened`: whether there ever was a session. */
  closed: {
    code: number;
    reason: string;
    opened: boolean;
    done: boolean;
    error: ServerError | null;
  };
}

export interface StreamOptions {
  start?: Start;
  /** Promises a temporary token from the page's own backend; asked for each connection. */
  token?: () => Promise<string | null> | string | null;
  framing?: "json" | "msgpack";
  /** Audio that is kept for when the network is away; 60. */
  keepSeconds?: number;
  /** How long a lost connection is tried again; 60. */
  reconnectSeconds?: number;
  backoff?: { firstMs?: number; mostMs?: number };
  /** Where there is no global one. */
  WebSocket?: unknown;
}

/** One recording, over as many connections as it takes. */
export class Stream {
  /** `url`: of `/v1/stream`, ws or http, also relative to the page. */
  constructor(url: string | URL, options?: StreamOptions);
  readonly state: State;
  readonly seconds: number;
  readonly waitingSeconds: number;
  on<T extends keyof Events>(type: T, listener: (event: Events[T]) => void): () => void;
  audio(samples: ArrayBuffer | ArrayBufferView): void;
  configure(fields: Options): void;
  finalize(): void;
  marker(id: string): void;
  stop(): Promise<Account>;
  close(): void;
  room(): Promise<void>;
}

export type MicrophoneCode =
  | "insecure"
  | "unsupported"
  | "refused"
  | "missing"
  | "busy"
  | "failed";

export class MicrophoneError extends Error {
  readonly code: MicrophoneCode;
}

export interface Frame {
  /** pcm_s16le, mono. */
  pcm: ArrayBuffer;
  /** 0 to 1 of full scale. */
  peak: number;
}

export interface MicrophoneOptions {
  constraints?: MediaTrackConstraints;
  /** 20 to 40; 40. */
  frameMs?: number;
  /** Where `capture-worklet.js` is, if a bundler has moved it. */
  workletURL?: string | URL;
  /** `text` is empty when the device is heard again; `over`: it never will be. */
  onTrouble?: (trouble: { text: string; over: boolean }) => void;
}

export class Microphone {
  /** Asks for the permission. Throws MicrophoneError, with a message for the user. */
  static open(options?: MicrophoneOptions): Promise<Microphone>;
  readonly sampleRate: number;
  /** Frames go on while muted, and are silent. */
  muted: boolean;
  begin(onFrame: (frame: Frame) => void): void;
  stop(): Promise<void>;
}

/** A peak as 0 to 1 of what can be heard. */
export function levelOf(peak: number): number;

/** The level as bars on a canvas, in its text colour. */
export class LevelMeter {
  constructor(canvas: HTMLCanvasElement);
  push(peak: number): void;
  clear(): void;
}

export interface Sound {
  pcm: Int16Array;
  sampleRate: number;
}

/** Anything the browser can play, as mono samples. Throws a RangeError when it is no recording. */
export function decodeFile(blob: Blob): Promise<Sound>;

/** Sends it as fast as the server takes it, and stops the stream. */
export function sendFile(
  stream: Stream,
  sound: Sound,
  onProgress?: (part: number) => void,
): Promise<Account>;
