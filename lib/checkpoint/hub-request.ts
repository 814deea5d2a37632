/** One request to the hub: redirects followed by hand, because the facts are in their headers. */
import { downloadError, throwIfAborted, TransientError } from './hub-errors.ts';
import { show } from './messages.ts';

/** A model on a hub. */
export interface Remote {
  /** Base URL without a slash at the end. */
  endpoint: string;
  id: string;
  /** Branch, tag or commit. */
  revision: string;
  token: string | undefined;
  signal: AbortSignal | undefined;
}

/** What the hub says about a file before it hands over to a storage host. */
interface HubFacts {
  commit: string | null;
  /** Names the content: changes whenever the file does. */
  etag: string | null;
  /** Checksum of the content in hex; told of large files only. */
  sha256: string | null;
  /** Bytes; null where not told. */
  size: number | null;
}

export interface HubAnswer {
  response: Response;
  facts: HubFacts;
  /** Method and URL path, for messages; queries are left out, they can hold signatures. */
  label: string;
}

const maxRedirects = 8;

/**
 * Asks for a file, from byte `offset` on. Answers of 200, 206, 404 and 416 are returned; a busy
 * server or a lost connection is a TransientError, every other status ERR_DOWNLOAD.
 */
export async function requestFile(
  remote: Remote,
  file: string,
  options: { method?: 'GET' | 'HEAD'; offset?: number } = {},
): Promise<HubAnswer> {
  const { method = 'GET', offset = 0 } = options;
  const home = new URL(
    `${remote.endpoint}/${remote.id}/resolve/${encodeURIComponent(remote.revision)}/${file}`,
  );
  const facts: HubFacts = { commit: null, etag: null, sha256: null, size: null };
  let url = home;
  for (let hop = 0; hop <= maxRedirects; hop++) {
    const atHome = url.origin === home.origin;
    const label = `${method} ${url.pathname} at ${url.host}`;
    const response = await send(remote, method, url, headersFor(remote, atHome, offset), label);
    if (atHome) noteFacts(facts, response.headers);
    const location = response.headers.get('location');
    if (response.status < 300 || response.status >= 400 || location === null) {
      facts.etag ??= plainEtag(response.headers.get('etag'));
      await checkStatus(remote, response, label);
      return { response, facts, label };
    }
    await response.body?.cancel();
    url = redirectTarget(remote, url, location, label);
    // A storage host may refuse HEAD; what the hub has said is all that is asked for.
    if (method === 'HEAD' && url.origin !== home.origin) return { response, facts, label };
  }
  throw downloadError(remote.id, `${home.pathname} redirects more than ${maxRedirects} times`);
}

function headersFor(remote: Remote, atHome: boolean, offset: number): Headers {
  // Without this the size and the offsets would be those of a compressed body.
  const headers = new Headers({ 'accept-encoding': 'identity', 'user-agent': 'speccascade' });
  if (atHome && remote.token) headers.set('authorization', `Bearer ${remote.token}`);
  if (offset > 0) headers.set('range', `bytes=${offset}-`);
  return headers;
}

async function send(
  remote: Remote,
  method: string,
  url: URL,
  headers: Headers,
  label: string,
): Promise<Response> {
  throwIfAborted(remote.signal);
  try {
    const signal = remote.signal ?? null;
    return await fetch(url, { method, headers, redirect: 'manual', signal });
  } catch (error) {
    throwIfAborted(remote.signal);
    throw new TransientError(`${label} failed: ${reasonOf(error)}`, false, error);
  }
}

/** fetch says "fetch failed" and hides the reason in the cause. */
export function reasonOf(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { message?: string } };
  return cause?.message || message || String(error);
}

function noteFacts(facts: HubFacts, headers: Headers): void {
  const commit = headers.get('x-repo-commit');
  if (commit !== null && /^[0-9a-f]{40}$/.test(commit)) facts.commit = commit;
  const linked = plainEtag(headers.get('x-linked-etag'));
  facts.etag = linked ?? facts.etag;
  // The hub's etag of a stored file is its checksum; a storage host's own can be anything.
  if (linked !== null && /^[0-9a-f]{64}$/.test(linked)) facts.sha256 = linked;
  const size = headers.get('x-linked-size');
  if (size !== null && /^\d{1,15}$/.test(size)) facts.size = Number(size);
}

function plainEtag(value: string | null): string | null {
  return value === null ? null : value.replace(/^W\//, '').replaceAll('"', '') || null;
}

function redirectTarget(remote: Remote, from: URL, location: string, label: string): URL {
  const url = URL.canParse(location, from.href) ? new URL(location, from) : null;
  const safe = url !== null && (url.protocol === 'https:' || url.protocol === from.protocol);
  if (safe) return url;
  // Without its query, which can hold a signature.
  const where = show(location.replace(/[?#].*$/, ''));
  throw downloadError(remote.id, `${label} redirects to ${where}, which is not https`);
}

async function checkStatus(remote: Remote, response: Response, label: string): Promise<void> {
  const { status, statusText } = response;
  if ([200, 206, 404, 416].includes(status)) return;
  await response.body?.cancel();
  const problem = `${label} answered ${status} ${statusText}`.trimEnd();
  if (status >= 500 || status === 429 || status === 408) throw new TransientError(problem, false);
  const hint =
    status === 401 || status === 403
      ? ': no such model, or one that needs an access token in HF_TOKEN'
      : '';
  throw downloadError(remote.id, problem + hint);
}
