// One of several versions of a recording is heard; another takes over at the same place, without a gap.
const FADE = 0.005; // seconds, so that no switch clicks

class Player {
  #context = null;
  #source = null;
  #gain = null;
  #offset = 0; // seconds into the recording, when #started
  #started = 0;
  #ticket = 0; // of the newest wish: what is decoded for an older one is not played
  #decoded = new Map();
  #repeat = false;
  playing = false;
  duration = 0;
  uri = "";

  constructor(changed) {
    this.changed = changed;
  }

  get position() {
    if (!this.#source) return this.#offset;
    const at = this.#offset + this.#context.currentTime - this.#started;
    return this.#repeat ? at % this.duration : Math.min(at, this.duration);
  }

  set repeat(wanted) {
    if (this.#source) {
      this.#rebase();
      this.#source.loop = wanted;
    }
    this.#repeat = wanted;
  }

  /** Begin with another recording of so many seconds. */
  open(duration) {
    this.pause();
    this.#decoded.clear();
    this.#offset = 0;
    this.duration = duration;
  }

  /** Hear this version; whether it plays, and where, stays as it is. */
  async choose(uri) {
    this.uri = uri;
    if (this.playing) await this.play();
  }

  async play() {
    const ticket = ++this.#ticket;
    this.playing = true;
    this.changed();
    const buffer = await this.decode(this.uri);
    await this.#context.resume();
    if (ticket === this.#ticket) this.#start(buffer);
  }

  pause() {
    this.#ticket++;
    this.#stop();
    this.playing = false;
    this.changed();
  }

  async seek(seconds) {
    const playing = this.playing;
    this.pause();
    this.#offset = Math.min(Math.max(0, seconds), this.duration);
    this.changed();
    if (playing) await this.play();
  }

  /** The audio of a data URI, kept: a second time it is there at once. */
  async decode(uri) {
    this.#context ??= new AudioContext();
    if (!this.#decoded.has(uri)) {
      const bytes = Uint8Array.from(atob(uri.slice(uri.indexOf(",") + 1)), (each) => each.charCodeAt(0));
      this.#decoded.set(uri, this.#context.decodeAudioData(bytes.buffer));
    }
    return this.#decoded.get(uri);
  }

  #start(buffer) {
    this.#stop();
    if (this.#offset >= this.duration - 0.02) this.#offset = 0;
    this.#started = this.#context.currentTime;
    const source = new AudioBufferSourceNode(this.#context, { buffer, loop: this.#repeat });
    this.#gain = new GainNode(this.#context, { gain: 0 });
    this.#gain.gain.setTargetAtTime(1, this.#started, FADE);
    source.connect(this.#gain).connect(this.#context.destination);
    source.addEventListener("ended", () => {
      if (this.#source !== source) return;
      this.pause();
      this.#offset = 0;
      this.changed();
    });
    source.start(0, this.#offset);
    this.#source = source;
  }

  #stop() {
    if (!this.#source) return;
    this.#rebase();
    const source = this.#source;
    this.#source = null;
    this.#gain.gain.setTargetAtTime(0, this.#context.currentTime, FADE);
    source.stop(this.#context.currentTime + 6 * FADE);
  }

  #rebase() {
    this.#offset = this.position;
    this.#started = this.#context.currentTime;
  }
}
