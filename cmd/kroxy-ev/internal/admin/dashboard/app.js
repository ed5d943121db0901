// Reads the status each second, shows it, and sends commands.

import * as api from './api.js';
import { changes } from './changes.js';
import { attribute, icon, make, writer } from './draw.js';
import { clock, duration, plural } from './format.js';
import { History } from './history.js';
import { model, Page } from './views.js';

const $ = (id) => document.getElementById(id);
const normal = 1000, seldom = 2000, hidden = 5000; // ms between reads: normally; if reads are slow; if the page is hidden
const large = 300; // with more hosts, reads count as slow
const kept = 100; // changes

const history = new History();
const page = new Page(orders);
let last = null; // the displayed model
let answered = performance.now(); // when the last answer came
let trouble = null; // the Failure of the last read, or null

// --- messages

const live = writer($('live-text'));
const liveMark = icon('note');
$('live').querySelector('.icon').replaceWith(liveMark);

/** Adds a line to the list of changes, which screen readers announce. */
function say(state, text) {
  const li = make('li');
  attribute(li, 'data-state', state);
  const t = Date.now();
  const time = make('time', '', clock(t));
  time.dateTime = new Date(t).toISOString();
  li.append(time, icon(state), make('span', '', text));
  $('log').prepend(li);
  while ($('log').childElementCount > kept) $('log').lastElementChild.remove();
}

function toast(text) {
  $('toast-text').textContent = text;
  $('toast').hidden = false;
}

$('toast-close').addEventListener('click', () => {
  $('toast').hidden = true;
});

/** Shows whether the proxy answers, and if not, for how long. */
function showLive() {
  const since = (performance.now() - answered) / 1000;
  let state = 'up', text = 'live', stale = false;
  if (trouble?.status === 401) [state, text, stale] = ['warn', 'token required', true];
  else if (trouble || since > 5) [state, text, stale] = ['down', `no answer for ${duration(since)}`, true];
  else if (!last) [state, text] = ['waiting', 'connecting'];
  attribute($('live'), 'data-state', state);
  liveMark.change({ up: 'up', down: 'down', warn: 'warn', waiting: 'note' }[state]);
  live(text);
  attribute($('live'), 'title', trouble ? trouble.text : '');
  $('main').classList.toggle('stale', stale);
  $('token-open').hidden = trouble?.status !== 401;
}

setInterval(showLive, 1000);

// --- reading

let timer = 0;
let reading = null;

/** Reads now. A call during a read waits for it and reads again, so the answer reflects all earlier commands. */
async function read() {
  while (reading) await reading;
  clearTimeout(timer);
  let done;
  reading = new Promise((resolve) => { done = resolve; });
  const began = performance.now();
  try {
    take(await api.status());
  } catch (e) {
    fail(e);
  }
  const took = performance.now() - began;
  reading = null;
  done();
  const slow = took > 300 || (last?.hosts.size ?? 0) > large;
  clearTimeout(timer);
  if (trouble?.status !== 401) timer = setTimeout(read, Math.max((document.hidden ? hidden : slow ? seldom : normal) - took, 200));
}

function take(status) {
  const before = last?.status;
  if (before && before.started !== status.started) history.clear();
  last = model(status, history);
  if (before) for (const [state, text] of changes(before, status)) say(state, text);
  if (trouble) {
    say('up', `the proxy answers again, after ${duration((performance.now() - answered) / 1000)}`);
    trouble = null;
  }
  answered = performance.now();
  show();
  showLive();
}

function fail(e) {
  if (!(e instanceof api.Failure)) {
    console.error(e);
    e = new api.Failure(-1, 'this page cannot read the answer', 'reload the page');
  }
  const first = !trouble || trouble.status !== e.status;
  trouble = e;
  showLive();
  if (first) say(e.status === 401 ? 'warn' : 'down', e.text);
  if (e.status === 401) askToken();
}

document.addEventListener('visibilitychange', () => {
  if (!document.hidden && trouble?.status !== 401) read();
});

function show() {
  if (!last) return;
  page.show(last, $('filter').value.toLowerCase().split(/\s+/).filter(Boolean), $('trouble').checked);
}

$('filter').addEventListener('input', show);
$('trouble').addEventListener('change', show);
$('find').addEventListener('submit', (e) => e.preventDefault());

// --- dialogs

/** Shows a dialog. Resolves to true if it is submitted, to false if it is cancelled. */
function ask(dialog, no) {
  return new Promise((resolve) => {
    // The close event comes later, when the dialog may have been opened again.
    const end = (yes) => {
      dialog.close();
      resolve(yes);
    };
    dialog.querySelector('form').onsubmit = (e) => {
      e.preventDefault();
      end(true);
    };
    no.onclick = () => end(false);
    dialog.onclose = () => dialog.open || resolve(false); // by Escape
    dialog.showModal();
  });
}

let asking = null;

/** Asks for the token, once for all concurrent callers. Resolves to whether a token was entered. */
function askToken() {
  asking ??= (async () => {
    $('token-why').textContent = api.hasToken() ? 'The token was not accepted.' : 'This proxy requires a token. The browser keeps it until this tab is closed.';
    $('token-value').value = '';
    const given = await ask($('token'), $('token-cancel')) && $('token-value').value.trim() !== '';
    if (given) api.setToken($('token-value').value.trim());
    $('token-value').value = '';
    asking = null;
    if (given) read();
    return given;
  })();
  return asking;
}

$('token-open').addEventListener('click', askToken);

/** Asks for confirmation. */
function confirmed(title, text, yes) {
  $('ask-title').textContent = title;
  $('ask-text').textContent = text;
  $('ask-yes').textContent = yes;
  return ask($('ask'), $('ask-no'));
}

/** Runs act, and asks for the token if act needs one. Returns null if none was entered. */
async function order(act) {
  for (;;) {
    try {
      return await act();
    } catch (e) {
      if (e.status !== 401) throw e;
      if (!await askToken()) return null;
    }
  }
}

// --- commands to hosts

/** The controls of a host. */
function orders(td) {
  const box = make('div', 'orders');
  const weight = make('input', 'weight');
  const drain = make('button');
  weight.type = 'text';
  weight.inputMode = 'numeric';
  weight.autocomplete = 'off';
  weight.maxLength = 4;
  drain.type = 'button';
  box.append(weight, drain);
  td.append(box);
  const write = writer(drain);
  let item = null;
  let busy = false;

  async function give(what, control) {
    if (busy) return;
    busy = true;
    attribute(control, 'aria-disabled', 'true');
    const { g, h } = item;
    try {
      const twice = g.hosts.filter((o) => o.host === h.host).length > 1;
      await order(() => api.setHost(g.name, twice && h.name ? h.name : h.host, what));
      await read();
    } catch (e) {
      toast(`${h.host} of ${g.name}: ${e.text ?? e}`);
    }
    busy = false;
    control.removeAttribute('aria-disabled');
    weight.value = String(item.h.weight);
  }

  drain.addEventListener('click', async () => {
    const { g, h } = item;
    const last = !h.drain && h.state === 'up' && g.usable === 1;
    if (last && !await confirmed('Drain the last host?', `${h.host} is the only usable host of ${g.name}. If it is drained, new clients of ${g.name} are refused.`, 'Drain')) return;
    give({ drain: !h.drain }, drain);
  });
  weight.addEventListener('change', () => {
    const n = weight.value.trim();
    if (!/^\d{1,4}$/.test(n) || Number(n) > 1000) {
      attribute(weight, 'aria-invalid', 'true');
      toast(`“${n}” is not a weight. Use a number from 0 to 1000.`);
      return;
    }
    weight.removeAttribute('aria-invalid');
    if (Number(n) !== item.h.weight) give({ weight: Number(n) }, weight);
  });
  weight.addEventListener('keydown', (e) => {
    if (e.key !== 'Escape') return;
    weight.value = String(item.h.weight);
    weight.removeAttribute('aria-invalid');
  });

  return (now) => {
    item = now;
    const { g, h } = now;
    attribute(weight, 'aria-label', `Weight of ${h.host} in ${g.name}`);
    if (document.activeElement !== weight && !busy && weight.getAttribute('aria-invalid') !== 'true') {
      if (weight.value !== String(h.weight)) weight.value = String(h.weight);
    }
    write(h.drain ? 'Undrain' : 'Drain');
    attribute(drain, 'aria-label', `${h.drain ? 'Undrain' : 'Drain'} ${h.host} in ${g.name}`);
  };
}

// --- reload

$('reload-open').addEventListener('click', () => {
  $('reload-path').textContent = last?.status.config || 'the configuration';
  $('reload-outcome').replaceChildren();
  $('reload').showModal();
  $('reload-go').focus();
});
$('reload-close').addEventListener('click', () => $('reload').close());

$('reload').querySelector('form').addEventListener('submit', async (e) => {
  e.preventDefault();
  const go = $('reload-go');
  if (go.getAttribute('aria-disabled') === 'true') return;
  attribute(go, 'aria-disabled', 'true');
  $('reload-outcome').replaceChildren(make('p', '', 'Reloading …'));
  try {
    const outcome = await order(api.reload);
    if (outcome) showOutcome(outcome);
    else $('reload-outcome').replaceChildren();
  } catch (e) {
    const body = e.body?.error ?? {};
    showOutcome({ problems: body.problems ?? [{ message: e.message, remedy: e.remedy }], warnings: body.warnings ?? [], changes: [] });
  }
  go.removeAttribute('aria-disabled');
  read();
});

function showOutcome({ problems = [], warnings = [], changes: different = [] }) {
  const line = make('p', 'outcome');
  attribute(line, 'data-state', problems.length ? 'down' : 'up');
  line.append(icon(problems.length ? 'down' : 'up'), make('span', '', problems.length ? `Not applied. Nothing has changed. ${plural(problems.length, 'problem')}:` : 'Applied.'));
  const parts = [line];
  const list = (title, items, of) => {
    if (items.length === 0) return;
    if (title) parts.push(make('h3', '', title));
    const ol = make('ol');
    ol.append(...items.map((i) => {
      const li = make('li');
      li.append(...of(i));
      return li;
    }));
    parts.push(ol);
  };
  list('', problems, (p) => [
    make('span', 'where', [[p.file, p.line && `line ${p.line}`, p.column && `column ${p.column}`].filter(Boolean).join(', '), p.path].filter(Boolean).join(' · ')),
    make('span', '', p.message),
    make('span', 'remedy', p.remedy ?? ''),
  ]);
  list('Changes', different, (t) => [make('span', '', t)]);
  list('Warnings', warnings, (t) => [make('span', '', t)]);
  $('reload-outcome').replaceChildren(...parts);
}

read();
