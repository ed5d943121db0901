// Describes the differences between two statuses. Pure.

import { count, duration, moment } from './format.js';

const many = 4; // more changes of a kind in one group are reported as a number

/** The changes from before to after, each [state, text]. */
export function changes(before, after) {
  const said = [];
  if (before.pid !== after.pid) said.push(['note', `a new process serves: PID ${after.pid} (was ${before.pid})`]);
  if (before.version !== after.version) said.push(['note', `version ${after.version} serves (was ${before.version}): reload this page`]);
  if (before.state !== after.state) said.push([after.state === 'stopping' ? 'warn' : 'note', `the program is ${after.state}`]);
  const known = new Set(before.reloads.map((r) => r.time));
  for (const r of [...after.reloads].reverse()) {
    if (known.has(r.time)) continue;
    const what = r.ok ? (r.changes.length ? r.changes.join('; ') : 'no changes') : r.error;
    said.push([r.ok ? 'up' : 'down', `reload by ${r.by || 'unknown'} ${r.ok ? 'was applied' : 'failed'}: ${what}`]);
  }
  const slots = new Map(before.workers.map((w) => [w.slot, w]));
  for (const w of after.workers) {
    const b = slots.get(w.slot);
    if (b && w.restarts > b.restarts) said.push(['down', `worker ${w.slot} ended and was replaced: PID ${w.pid || 'none yet'} (was ${b.pid})`]);
  }
  const groups = new Map(before.groups.map((g) => [g.name, g]));
  for (const g of after.groups) {
    const b = groups.get(g.name);
    if (!b) continue;
    const hosts = new Map(b.hosts.map((h) => [`${h.host} ${h.name}`, h]));
    const kinds = new Map();
    for (const h of g.hosts) {
      const o = hosts.get(`${h.host} ${h.name}`);
      if (!o) continue;
      if (o.weight !== h.weight) said.push(['note', `${h.host} of ${g.name} has weight ${h.weight} (was ${o.weight})`]);
      if (o.state === h.state) continue;
      const lasted = (moment(h.since) - moment(o.since)) / 1000;
      const why = h.state === 'down' && h.last_error ? `: ${h.last_error}` : h.state === 'up' && lasted > 0 ? `, after ${duration(lasted)}` : '';
      const of = kinds.get(h.state) ?? [];
      of.push(`${h.host} of ${g.name} ${h.state === 'drain' ? 'is draining' : `is ${h.state}`}${why}`);
      kinds.set(h.state, of);
    }
    for (const [state, lines] of kinds) {
      if (lines.length > many) said.push([state, `${count(lines.length)} hosts of ${g.name} ${state === 'drain' ? 'are draining' : `are ${state}`}`]);
      else for (const l of lines) said.push([state, l]);
    }
    if (b.usable > 0 && g.usable === 0) said.push(['down', `${g.name} has no usable host`]);
  }
  return said;
}
