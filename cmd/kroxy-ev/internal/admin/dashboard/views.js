// The sections of the page: their columns, and the items made from a status.

import { attribute, column, head, icon, make, many, round, Rows, Spark, spark, text, writer } from './draw.js';
import { bytes, clock, count, day, duration, latency, moment, none, plural, rate } from './format.js';

const $ = (id) => document.getElementById(id);
const expiryWarningDays = 14; // days; a certificate that expires sooner is a problem

/** The shape for a state. */
const shapes = { up: 'up', down: 'down', drain: 'drain', warn: 'warn' };

/** A column with a shape, a word, and a duration. of(item) returns [state, word, since]. */
const state = (label, of) => column(label, 'w-state', 'state-cell', (td) => {
  const box = make('span', 'state');
  const mark = icon('note');
  const word = make('span');
  const since = make('span', 'since');
  box.append(mark, word, ' ', since);
  td.append(box);
  const writeWord = writer(word);
  const writeSince = writer(since);
  return (item) => {
    const [kind, name, t, now] = of(item);
    attribute(box, 'data-state', kind);
    mark.change(shapes[kind] ?? 'note');
    writeWord(name);
    writeSince(Number.isFinite(t) ? duration((now - t) / 1000) : '');
    if (Number.isFinite(t)) attribute(td, 'title', `since ${day(t)} ${clock(t)}`);
  };
}, { plain: true });

/** A name with tags. of(item) returns [name, ...tags]. */
const name = (label, of) => column(label, 'w-name', '', (th) => {
  const own = make('span');
  const tags = make('span', 'tag');
  th.append(own, ' ', tags);
  const writeOwn = writer(own);
  const writeTags = writer(tags);
  return (item) => {
    const [n, ...rest] = of(item);
    writeOwn(n);
    const said = rest.filter(Boolean).join(' · ');
    writeTags(said);
    attribute(th, 'title', said ? `${n} (${said})` : n);
  };
});

const number = (label, of, more) => text(label, 'w-n', 'n', of, more);
const extra = (label, of, more) => text(label, 'w-n', 'n c-extra', of, more);

/** A counter and its current rate. */
const counterColumn = (label, of, width = 'w-nn', cls = 'n') => column(label, width, cls, (td) => {
  const write = writer(td);
  return (item) => {
    const [total, now] = of(item);
    write(now > 0 ? `${count(total)} (+${rate(now)}/s)` : count(total));
    td.classList.toggle('bad', now > 0);
  };
});

/** Whether all words occur in the texts of an item. */
function matches(words, ...said) {
  if (words.length === 0) return true;
  const all = said.join(' ').toLowerCase();
  return words.every((w) => all.includes(w));
}

/** The sum of of(x) over list. */
const sum = (list, of) => list.reduce((n, x) => n + of(x), 0);

/** Errors of a server: 5xx responses, or failed streams. */
const errors = (s) => s.mode === 'stream' ? sum(s.routes, (r) => r.failures) : s.codes['5xx'] ?? 0;

const traffic = (t) => ({ requests: t.requests, received: t.bytes_received, sent: t.bytes_sent });

/** Hosts, by group. */
class Hosts {
  constructor(orders) {
    this.groups = new Map();
    this.columns = [
      name('Host', ({ h }) => [h.host, h.name, h.backup && 'backup', h.ordered && 'manual']),
      state('State', ({ h, now }) => [h.state, h.state, moment(h.since), now]),
      text('Reason', '', 'wide quiet', ({ h }) => h.last_error && h.state !== 'down' ? `last: ${h.last_error}` : h.last_error),
      number('Active', ({ h }) => h.max_conns ? `${count(h.active)}/${count(h.max_conns)}` : count(h.active)),
      number('Req/s', ({ t }) => rate(t.requests.rate), { title: 'Requests, or stream sessions, per second' }),
      spark('Last 5 min', ({ t }) => [t.requests, t.failed]),
      counterColumn('Failed', ({ h, t }) => [h.failed, t.failed.rate]),
      number('p50', ({ h }) => latency(h.p50_ms), { title: 'Recent time to the first byte, median; for streams, time to connect' }),
      number('p99', ({ h }) => latency(h.p99_ms), { title: 'Recent time to the first byte, 99th percentile; for streams, time to connect' }),
      extra('Bytes/s', ({ t }) => bytes(t.received.rate + t.sent.rate)),
      text('Served', 'w-n', 'n c-extra c-last', ({ h }) => count(h.served)),
      column('Weight', 'w-orders', 'orders-cell', (td) => orders(td)),
    ];
    const own = (i, fill) => column(this.columns[i].label, '', this.columns[i].cls, fill);
    const nothing = (i) => own(i, () => () => {});
    const said = (i, of) => own(i, (td) => {
      const write = writer(td);
      return (item) => write(of(item));
    });
    this.groupColumns = [
      name('Host', ({ g }) => [g.name, g.algorithm]),
      state('State', ({ g }) => g.hosts.length === 0 ? ['down', 'no hosts'] : [g.usable > 0 ? '' : 'down', `${g.usable} of ${g.hosts.length} usable`]),
      said(2, ({ g }) => [g.queued > 0 && `${count(g.queued)} in the queue`, g.retries > 0 && plural(g.retries, 'retry', 'retries')].filter(Boolean).join(', ')),
      said(3, ({ g }) => count(g.active)),
      said(4, ({ t }) => rate(t.requests.rate)),
      spark('Last 5 min', ({ t }) => [t.requests, t.failed]),
      counterColumn('Failed', ({ g, t }) => [g.failures, t.failed.rate]),
      nothing(7), nothing(8),
      said(9, ({ t }) => bytes(t.received.rate + t.sent.rate)),
      said(10, ({ g }) => count(g.requests)),
      nothing(11),
    ];
    head($('hosts-table'), this.columns);
    this.tally = writer($('hosts-tally'));
  }

  show(m, words, trouble) {
    const table = $('hosts-table');
    let all = 0, shown = 0, next = table.tBodies[0] ?? null;
    const gone = new Set(this.groups.keys());
    for (const g of m.status.groups) {
      const items = g.hosts.map((h, i) => {
        const t = m.hosts.get(h);
        const troubled = h.state !== 'up' || t.failed.peak > 0;
        const hidden = (trouble && !troubled) || !matches(words, g.name, h.host, h.name, h.state, h.last_error);
        all++;
        if (!hidden) shown++;
        return { key: m.key(g, h, i), g, h, t, now: m.now, hidden, rowClass: h.state === 'up' ? '' : h.state };
      });
      let rows = this.groups.get(g.name);
      if (!rows) this.groups.set(g.name, rows = new Rows(this.columns));
      gone.delete(g.name);
      const hidden = items.length > 0 ? items.every((i) => i.hidden) : !matches(words, g.name);
      rows.show(items, m.hosts.size <= many, { g, t: m.groups.get(g), now: m.now, rowClass: 'group', hidden }, this.groupColumns);
      if (rows.node === next) next = next.nextElementSibling;
      else table.insertBefore(rows.node, next);
    }
    for (const n of gone) {
      this.groups.get(n).remove();
      this.groups.delete(n);
    }
    this.tally(shown === all ? `${count(all)} in ${plural(m.status.groups.length, 'group')}` : `${count(shown)} of ${count(all)} shown`);
  }
}

/** A section of one table. items(m, words) returns its items; tally(items, m) returns the text beside its title. */
class Section {
  constructor(id, columns, nothing, items, tally) {
    head($(`${id}-table`), columns);
    this.rows = new Rows(columns, nothing);
    $(`${id}-table`).append(this.rows.node);
    this.items = items;
    this.tallied = tally;
    this.tally = writer($(`${id}-tally`));
  }

  show(m, words) {
    const items = this.items(m, words);
    this.rows.show(items, items.length <= many);
    const shown = sum(items, (i) => i.hidden ? 0 : 1);
    this.tally(shown < items.length ? `${count(shown)} of ${count(items.length)} shown` : this.tallied(items, m));
  }
}

const code = (s, t, c) => s.mode === 'stream' ? none : rate(t[c].rate);

const listeners = () => new Section('listeners', [
  name('Server', ({ s }) => [s.name, s.mode]),
  text('Listens on', '', 'wide mono', ({ s }) => s.listen.join('  ')),
  number('Active', ({ s }) => count(s.active), { title: 'Connections open now' }),
  number('Conn/s', ({ t }) => rate(t.connections.rate), { title: 'Connections accepted per second' }),
  number('Req/s', ({ t }) => rate(t.requests.rate)),
  spark('Last 5 min', ({ t }) => [t.requests, t.errors]),
  text('In/s', 'w-nn', 'n', ({ t }) => bytes(t.received.rate), { title: 'Bytes per second from clients' }),
  text('Out/s', 'w-nn', 'n', ({ t }) => bytes(t.sent.rate), { title: 'Bytes per second to clients' }),
  number('4xx/s', ({ s, t }) => code(s, t, 'c4')),
  number('5xx/s', ({ s, t }) => code(s, t, 'c5')),
  counterColumn('Refused', ({ s, t }) => [s.refused, t.refused.rate]),
  text('TLS, failed', 'w-nn', 'n c-extra', ({ s }) => `${count(s.tls_handshakes)}, ${count(s.tls_failed)}`, { title: 'TLS handshakes, and failed ones' }),
], 'No servers.', (m, words) => m.status.servers.map((s, i) => ({
  key: `${i} ${s.name}`, s, t: m.servers.get(s), hidden: !matches(words, s.name, s.mode, ...s.listen),
})), (items) => count(items.length));

const routes = () => new Section('routes', [
  name('Route', ({ r, s }) => [r.name, s.name]),
  text('To', '', 'wide', ({ r }) => r.to),
  number('Req/s', ({ t }) => rate(t.requests.rate)),
  spark('Last 5 min', ({ t }) => [t.requests, t.errors]),
  number('4xx/s', ({ s, t }) => code(s, t, 'c4')),
  number('5xx/s', ({ s, t }) => code(s, t, 'c5')),
  number('p50', ({ r }) => latency(r.p50_ms), { title: 'Recent duration of requests, median; for streams, of sessions' }),
  number('p99', ({ r }) => latency(r.p99_ms), { title: 'Recent duration of requests, 99th percentile; for streams, of sessions' }),
  counterColumn('Failures', ({ r, t }) => [r.failures, t.failures.rate]),
  counterColumn('Retries', ({ r, t }) => [r.retries, t.retries.rate]),
  text('Bytes/s', 'w-nn', 'n c-extra', ({ t }) => bytes(t.received.rate + t.sent.rate)),
  extra('Requests', ({ r }) => count(r.requests)),
], 'No routes.', (m, words) => m.status.servers.flatMap((s, i) => s.routes.map((r, j) => ({
  key: `${i} ${j} ${r.name}`, s, r, t: m.routes.get(r), hidden: !matches(words, r.name, s.name, r.to),
}))), (items) => count(items.length));

const certificates = () => new Section('certificates', [
  name('Names', ({ c }) => [c.names.join(', ') || none]),
  state('Expires', ({ left, day }) => [left < 0 ? 'down' : left < expiryWarningDays ? 'warn' : '', left < 0 ? `expired ${day}` : day]),
  text('In', 'w-nn', '', ({ left }) => left < 0 ? none : left < 3 ? duration(left * 86400) : plural(Math.floor(left), 'day')),
  text('File', '', 'wide mono quiet', ({ c }) => c.path),
], 'None.', (m, words) => m.status.certificates.map((c, i) => ({
  key: `${i} ${c.path}`, c, day: day(moment(c.not_after)), left: (moment(c.not_after) - m.now) / 86400e3, hidden: !matches(words, c.path, ...c.names),
})), (items) => count(items.length));

const workers = () => new Section('workers', [
  text('Slot', 'w-short', '', ({ w }) => String(w.slot)),
  text('PID', 'w-n', 'n', ({ w }) => w.pid ? String(w.pid) : none),
  state('State', ({ w, now }) => [w.state === 'serving' ? 'up' : w.state === 'restarting' ? 'down' : 'warn', w.state, moment(w.since), now]),
  number('Restarts', ({ w }) => count(w.restarts)),
], 'There are no worker processes.', (m) => m.status.workers.map((w) => ({ key: String(w.slot), w, now: m.now })),
(items) => items.length ? count(items.length) : '');

const reloads = () => new Section('reloads', [
  text('When', 'w-mid', '', ({ at }) => `${day(at)} ${clock(at)}`),
  state('Outcome', ({ r }) => r.ok ? [r.warnings.length ? 'warn' : 'up', 'applied'] : ['down', 'failed']),
  text('By', 'w-nn', '', ({ r }) => r.by),
  text('What', '', 'wide wrap', ({ r }) => [r.error, ...r.changes, ...r.warnings.map((w) => `warning: ${w}`)].filter(Boolean).join('; ')),
], 'None since the start.', (m) => m.status.reloads.map((r) => ({ key: `${r.time} ${r.by}`, r, at: moment(r.time) })),
(items) => items.length ? `last ${count(items.length)}` : '');

/** The totals at the top. */
class Tiles {
  constructor() {
    this.tiles = [
      this.tile('Requests', (m) => [rate(m.all.requests.rate), '/s'], (m) => [m.all.requests], (p) => `peak ${rate(p)}/s`),
      this.tile('Errors', (m) => [rate(m.all.errors.rate), m.all.errors.rate > 0 ? `/s · ${(100 * m.all.errors.rate / Math.max(m.all.requests.rate, m.all.errors.rate)).toFixed(1)}%` : '/s'],
        (m) => [m.all.errors], (p) => `peak ${rate(p)}/s`, (m) => m.all.errors.rate > 0, '5xx responses and failed stream sessions'),
      this.tile('From clients', (m) => [bytes(m.all.received.rate), '/s'], (m) => [m.all.received], (p) => `peak ${bytes(p)}/s`),
      this.tile('To clients', (m) => [bytes(m.all.sent.rate), '/s'], (m) => [m.all.sent], (p) => `peak ${bytes(p)}/s`),
      this.tile('Connections', (m) => [count(m.all.active.now), ''], (m) => [m.all.active], (p) => `peak ${count(p)}`),
      this.tile('Hosts up', (m) => [count(m.all.up.now), `of ${count(m.hosts.size)}`], (m) => [m.all.up], () => '', (m) => m.down > 0),
    ];
  }

  tile(title, value, tracks, peak, bad = () => false, more = '') {
    const box = make('div', 'tile');
    const h = make('h3', '', title);
    if (more) h.title = more;
    const line = make('p', 'value');
    const big = make('span');
    const small = make('small');
    line.append(big, ' ', small);
    const s = new Spark(28);
    const foot = make('p', 'peak');
    box.append(h, line, s.node, foot);
    $('tiles').append(box);
    const writeBig = writer(big), writeSmall = writer(small), writeFoot = writer(foot);
    return (m) => {
      const [b, unit] = value(m);
      const of = tracks(m);
      writeBig(b);
      writeSmall(unit);
      s.draw(...of);
      writeFoot(of[0].head < 0 ? '' : peak(of[0].peak));
      box.classList.toggle('bad', bad(m));
    };
  }

  show(m) {
    for (const t of this.tiles) t(m);
  }
}

/** Facts about the process, in one line. */
class Facts {
  constructor() {
    const fact = (term, of, mono = false) => {
      const div = make('div');
      const dd = make('dd', mono ? 'mono' : '');
      div.append(make('dt', '', term), dd);
      $('facts').append(div);
      const write = writer(dd, true);
      return (s, now) => write(of(s, now));
    };
    this.facts = [
      fact('Version', (s) => s.version),
      fact('PID', (s) => String(s.pid)),
      fact('Up', (s) => duration(s.uptime)),
      fact('State', (s) => s.workers.length ? `${s.state}, ${plural(s.workers.length, 'worker')}` : s.state),
      fact('Configuration', (s) => s.config || none, true),
      fact('Hash', (s) => s.hash.slice(0, 12) || none, true),
      fact('Last reload', (s, now) => s.last_reload ? `${s.last_reload.ok ? 'applied' : 'failed'}, ${duration((now - moment(s.last_reload.time)) / 1000)} ago` : none),
    ];
  }

  show(m) {
    for (const f of this.facts) f(m.status, m.now);
  }
}

/** The problems that need attention, as [state, text], the worst first. */
export function troubles(m) {
  const s = m.status;
  const said = [];
  const dead = s.groups.filter((g) => g.usable === 0);
  if (dead.length === 1) said.push(['down', `no usable host in ${dead[0].name}`]);
  if (dead.length > 1) said.push(['down', `no usable host in ${count(dead.length)} groups`]);
  if (m.down > 0) said.push(['down', `${count(m.down)} of ${plural(m.hosts.size, 'host')} ${m.down === 1 ? 'is' : 'are'} down`]);
  if (s.last_reload && !s.last_reload.ok) said.push(['down', 'the last reload failed']);
  const left = s.certificates.map((c) => (moment(c.not_after) - m.now) / 86400e3);
  const ended = left.filter((l) => l < 0).length;
  const ending = left.filter((l) => l >= 0 && l < expiryWarningDays).length;
  if (ended > 0) said.push(['down', `${plural(ended, 'certificate')} expired`]);
  if (ending > 0) said.push(['warn', `${plural(ending, 'certificate')} ${ending === 1 ? 'expires' : 'expire'} within ${expiryWarningDays} days`]);
  const queued = sum(s.groups, (g) => g.queued);
  if (queued > 0) said.push(['warn', `${plural(queued, 'client')} in queues`]);
  const restarting = s.workers.filter((w) => w.state === 'restarting').length;
  if (restarting > 0) said.push(['down', `${plural(restarting, 'worker')} down`]);
  if (s.state === 'stopping') said.push(['warn', 'the proxy is stopping']);
  const drained = sum(s.groups, (g) => g.hosts.filter((h) => h.state === 'drain').length);
  if (drained > 0) said.push(['warn', `${plural(drained, 'host')} draining`]);
  return said;
}

/** Makes the model that the sections show from a status. */
export function model(status, history) {
  history.begin(status.uptime);
  const m = {
    status, history, now: moment(status.started) + status.uptime * 1000, down: 0,
    servers: new Map(), routes: new Map(), groups: new Map(), hosts: new Map(),
    key: (g, h, i) => `${h.host} ${h.name} ${g.hosts.findIndex((o) => o.host === h.host && o.name === h.name) === i ? '' : i}`,
  };
  const total = { requests: 0, errors: 0, received: 0, sent: 0 };
  for (const s of status.servers) {
    const counters = { ...traffic(s), errors: errors(s), connections: s.connections, refused: s.refused, c4: s.codes['4xx'] ?? 0, c5: s.codes['5xx'] ?? 0 };
    for (const n in total) total[n] += counters[n];
    m.servers.set(s, history.feed(`server ${s.name}`, counters, {}, ['requests', 'errors']));
    for (const r of s.routes) {
      m.routes.set(r, history.feed(`route ${s.name} ${r.name}`, {
        ...traffic(r), errors: s.mode === 'stream' ? r.failures : r.codes['5xx'] ?? 0, failures: r.failures, retries: r.retries,
        c4: r.codes['4xx'] ?? 0, c5: r.codes['5xx'] ?? 0,
      }, {}, ['requests', 'errors']));
    }
  }
  for (const g of status.groups) {
    m.groups.set(g, history.feed(`group ${g.name}`, { ...traffic(g), failed: g.failures }, {}, ['requests', 'failed']));
    g.hosts.forEach((h, i) => {
      if (h.state === 'down') m.down++;
      m.hosts.set(h, history.feed(`host ${g.name} ${m.key(g, h, i)}`, { ...traffic(h), failed: h.failed }, {}, ['requests', 'failed']));
    });
  }
  let up = 0;
  for (const h of m.hosts.keys()) if (h.state === 'up') up++;
  m.all = history.feed('all', total, { active: sum(status.servers, (s) => s.active), up }, ['requests', 'errors', 'received', 'sent', 'active', 'up']);
  history.end();
  return m;
}

/** All sections. orders(td) makes the controls of a host in td and returns a function that shows an item there. */
export class Page {
  constructor(orders) {
    this.parts = [new Facts(), new Tiles(), new Hosts(orders), listeners(), routes(), certificates(), workers(), reloads()];
    this.summary = writer($('summary-text'), true);
    this.mark = icon('note');
    $('summary').querySelector('.icon').replaceWith(this.mark);
  }

  show(m, words, trouble) {
    round();
    for (const p of this.parts) p.show(m, words, trouble);
    const said = troubles(m);
    const worst = said.some(([k]) => k === 'down') ? 'down' : said.length ? 'warn' : 'up';
    attribute($('summary'), 'data-state', worst);
    this.mark.change(shapes[worst]);
    const well = m.hosts.size === 0 ? 'All is well.' : m.hosts.size === 1 ? 'The host is up.' : `All ${count(m.hosts.size)} hosts are up.`;
    const line = said.map(([, t]) => t).join(' · ');
    this.summary(said.length ? line[0].toUpperCase() + line.slice(1) + '.' : well);
    const title = m.down > 0 ? `${m.down} down · kroxy-ev` : worst === 'up' ? 'kroxy-ev' : '! · kroxy-ev';
    if (document.title !== title) document.title = title;
  }
}
