// Formats numbers, sizes and times. Pure.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
export const none = '–';

function scaled(n, step, units) {
  let u = 0;
  while (n >= step && u < units.length - 1) {
    n /= step;
    u++;
  }
  return [n >= 100 || (u === 0 && Number.isInteger(n)) ? n.toFixed(0) : n.toFixed(n >= 10 ? 1 : 2), units[u]];
}

/** A count: exact up to 99,999. */
export function count(n) {
  if (!Number.isFinite(n)) return none;
  return n < 1e5 ? whole.format(n) : scaled(n, 1000, ['', 'k', 'M', 'G', 'T', 'P']).join('');
}

/** A rate per second. */
export function rate(n) {
  if (!Number.isFinite(n)) return none;
  if (n === 0) return '0';
  if (n < 9.95) return n < 0.05 ? '<0.1' : n.toFixed(1);
  return n < 1e5 ? whole.format(n) : scaled(n, 1000, ['', 'k', 'M', 'G']).join('');
}

/** Bytes, in decimal units, as link speeds are given. */
export function bytes(n) {
  if (!Number.isFinite(n)) return none;
  return scaled(Math.round(n), 1000, ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB']).join('\u00a0');
}

/** Milliseconds; 0 means that nothing was measured. */
export function latency(ms) {
  if (!(ms > 0)) return none;
  if (ms < 1000) return (ms < 9.95 ? ms.toFixed(ms < 0.995 ? 2 : 1) : ms.toFixed(0)) + '\u00a0ms';
  return (ms / 1000).toFixed(ms < 9950 ? 1 : 0) + '\u00a0s';
}

/** A duration, in two units at most. */
export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const two = (a, au, b, bu) => `${a}\u00a0${au}` + (b ? ` ${b}\u00a0${bu}` : '');
  if (s < 60) return `${s}\u00a0s`;
  if (s < 3600) return two(Math.floor(s / 60), 'min', s < 600 ? s % 60 : 0, 's');
  if (s < 86400) return two(Math.floor(s / 3600), 'h', Math.floor(s % 3600 / 60), 'min');
  return two(Math.floor(s / 86400), 'd', s < 10 * 86400 ? Math.floor(s % 86400 / 3600) : 0, 'h');
}

/** Parses an RFC 3339 time to milliseconds; NaN for none and for Go's zero time. */
export function moment(text) {
  const t = Date.parse(text);
  return t > 0 ? t : NaN;
}

const pad = (n) => String(n).padStart(2, '0');

/** The date of a time, in the reader's time zone. */
export function day(t) {
  const d = new Date(t);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
}

/** The time of day of a time, in the reader's time zone. */
export function clock(t) {
  const d = new Date(t);
  return `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
}

/** "1 host", "2 hosts". */
export function plural(n, one, many = one + 's') {
  return `${count(n)} ${n === 1 ? one : many}`;
}
