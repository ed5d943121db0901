// The requests to the admin endpoint, and their failures.

/** An error response, or no response. status is 0 if there was none. */
export class Failure extends Error {
  constructor(status, message, remedy = '', body = null) {
    super(message);
    this.status = status;
    this.remedy = remedy;
    this.body = body;
  }

  get text() {
    return this.remedy ? `${this.message}: ${this.remedy}` : this.message;
  }
}

const place = 'kroxy-ev token';

// Storage may be forbidden; then the token is kept only as long as the page is open.
let token = '';
try {
  token = sessionStorage.getItem(place) ?? '';
} catch {}

export function setToken(value) {
  token = value;
  try {
    sessionStorage.setItem(place, value);
  } catch {}
}

export const hasToken = () => token !== '';

async function call(method, path, body, patience) {
  const headers = { Accept: 'application/json' };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let response, text;
  try {
    response = await fetch(path, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store', credentials: 'omit', redirect: 'error', signal: AbortSignal.timeout(patience),
    });
    text = await response.text();
  } catch (e) {
    throw new Failure(0, e.name === 'TimeoutError' ? 'the proxy does not answer' : 'the proxy cannot be reached');
  }
  let value = null;
  try {
    value = text === '' ? {} : JSON.parse(text);
  } catch {
    if (response.ok) throw new Failure(response.status, 'the answer is not JSON');
  }
  if (!response.ok) {
    const e = value?.error ?? {};
    throw new Failure(response.status, e.message ?? `the answer is ${response.status} ${response.statusText}`, e.remedy ?? '', value);
  }
  return value;
}

export const status = () => call('GET', 'api/v1/status', undefined, 10000);

export const setHost = (group, host, order) =>
  call('POST', `api/v1/hosts/${encodeURIComponent(group)}/${encodeURIComponent(host)}`, order, 10000);

export const reload = () => call('POST', 'api/v1/reload', {}, 60000);
