// Counters and gauges over the last minutes. The time is the program's own, in seconds since it started, so that neither the delay of an
// answer nor a wrong clock affects a rate.

export const points = 150;
const seconds = 2; // per point
const recent = 5; // seconds that a rate covers

/** The last minutes of one value: a counter's rate, or a gauge. */
class Track {
  constructor(drawn) {
    this.samples = []; // over the last seconds: [time, value]
    this.ring = drawn ? new Float32Array(points).fill(NaN) : null;
    this.head = -1; // number of the last point
    this.weight = 0; // samples in the last point
  }

  /** Stores value in all points from the last sample's to that of time. */
  put(time, value) {
    if (!this.ring) return;
    const at = Math.floor(time / seconds);
    if (at === this.head) {
      const i = at % points;
      this.ring[i] = (this.ring[i] * this.weight + value) / ++this.weight;
      return;
    }
    const from = this.head < 0 ? at : Math.max(this.head + 1, at - points + 1);
    for (let i = from; i <= at; i++) this.ring[i % points] = value;
    this.head = at;
    this.weight = 1;
  }

  /** Point i of those on display, the newest last; NaN if it is unknown. */
  point(i) {
    return this.head < 0 ? NaN : this.ring[(this.head + 1 + i) % points];
  }

  /** The highest point. */
  get peak() {
    let max = 0;
    for (const v of this.ring) if (v > max) max = v;
    return max;
  }
}

class Counter extends Track {
  constructor(drawn) {
    super(drawn);
    this.rate = NaN;
  }

  add(time, value) {
    const s = this.samples;
    const last = s[s.length - 1];
    if (last && (value < last[1] || time < last[0])) s.length = 0; // the counter was reset
    else if (last && time > last[0]) this.put(time, (value - last[1]) / (time - last[0]));
    if (last && time === last[0]) return;
    s.push([time, value]);
    while (s.length > 2 && s[1][0] <= time - recent) s.shift();
    const first = s[0];
    this.rate = time > first[0] ? (value - first[1]) / (time - first[0]) : NaN;
  }
}

class Gauge extends Track {
  constructor(drawn) {
    super(drawn);
    this.now = NaN;
  }

  add(time, value) {
    this.now = value;
    this.put(time, value);
  }
}

/** All tracks, by the names of their things: "host web 10.0.0.1:80". A track that is no longer fed is dropped. */
export class History {
  constructor() {
    this.things = new Map();
    this.turn = 0;
  }

  clear() {
    this.things.clear();
  }

  begin(time) {
    this.time = time;
    this.turn++;
  }

  /** Feeds counters and gauges of a thing, each {name: value}; those named in drawn are kept for drawing. Returns {name: track}. */
  feed(key, counters, gauges, drawn) {
    let t = this.things.get(key);
    if (!t) {
      t = { tracks: {} };
      for (const n in counters) t.tracks[n] = new Counter(drawn.includes(n));
      for (const n in gauges) t.tracks[n] = new Gauge(drawn.includes(n));
      this.things.set(key, t);
    }
    t.turn = this.turn;
    for (const n in counters) t.tracks[n].add(this.time, counters[n]);
    for (const n in gauges) t.tracks[n].add(this.time, gauges[n]);
    return t.tracks;
  }

  end() {
    for (const [key, t] of this.things) if (t.turn !== this.turn) this.things.delete(key);
  }
}
