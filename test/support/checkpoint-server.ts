/** A hub on 127.0.0.1 for the download tests; it can cut, delay, redirect and lie. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HubFile {
  content: Uint8Array;
  /** Served through a redirect to the storage path, with the checksum in the first answer. */
  stored?: boolean;
  /** What the hub claims the checksum is; by default the true one. */
  sha256?: string;
  /** Bytes after which the connection breaks, one number per request; then none. */
  cuts?: number[];
  /** Statuses answered first, one per request. */
  statuses?: number[];
  /** Waits after the first bytes until the connection is closed. */
  stalls?: boolean;
  /** Answers ranges with the whole file. */
  ignoresRange?: boolean;
  /** Answers ranges from a later byte on than asked for. */
  shiftsRange?: boolean;
}

export interface Seen {
  method: string;
  path: string;
  range: string | undefined;
  authorization: string | undefined;
}

export const commit = '0123456789abcdef0123456789abcdef01234567';

export class TestHub {
  readonly seen: Seen[] = [];
  readonly files: Record<string, HubFile>;
  /** Another origin for stored files; by default the hub's own. */
  storage = '';
  onRequest: (seen: Seen) => void = () => {};
  readonly #server: Server;

  private constructor(files: Record<string, HubFile>) {
    this.files = files;
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  /** Serves `files` as the model `owner/name`, under `main` and under `commit`. */
  static async start(files: Record<string, HubFile>): Promise<TestHub> {
    const hub = new TestHub(files);
    await new Promise<void>((resolve) => hub.#server.listen(0, '127.0.0.1', resolve));
    return hub;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Requests for a file so far, redirected ones once. */
  requests(name: string): Seen[] {
    return this.seen.filter(({ path }) => path.startsWith('/owner/') && path.endsWith(`/${name}`));
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? '';
    const { range, authorization } = request.headers;
    const seen = { method: request.method ?? '', path, range, authorization };
    this.seen.push(seen);
    this.onRequest(seen);
    const match = /^\/(?:owner\/name\/resolve\/([^/]+)|store)\/(.+)$/.exec(path);
    const revision = match?.[1];
    const file = this.files[match?.[2] ?? ''];
    const known = revision === undefined || revision === 'main' || revision === commit;
    if (file === undefined || !known) {
      response.writeHead(404).end('Entry not found');
      return;
    }
    const status = file.statuses?.shift();
    if (status !== undefined) {
      response.writeHead(status).end('busy');
      return;
    }
    if (revision !== undefined) {
      response.setHeader('x-repo-commit', commit);
      if (file.stored) {
        const sha256 = file.sha256 ?? createHash('sha256').update(file.content).digest('hex');
        response.setHeader('x-linked-etag', `"${sha256}"`);
        response.setHeader('x-linked-size', file.content.length);
        response.writeHead(302, { location: `${this.storage}/store/${match?.[2]}` }).end();
        return;
      }
    }
    serve(file, request, response);
  }
}

function serve(file: HubFile, request: IncomingMessage, response: ServerResponse): void {
  const { content } = file;
  const asked = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const start = asked > 0 && file.shiftsRange ? asked + 7 : asked;
  const etag = createHash('sha1').update(content).digest('hex');
  response.setHeader('etag', `W/"${etag}"`);
  if (start > 0 && start >= content.length) {
    response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end();
    return;
  }
  const ranged = start > 0 && !file.ignoresRange;
  const body = ranged ? content.subarray(start) : content;
  if (ranged) {
    const last = content.length - 1;
    response.setHeader('content-range', `bytes ${start}-${last}/${content.length}`);
  }
  response.writeHead(ranged ? 206 : 200, { 'content-length': body.length });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  const cut = file.stalls ? 1000 : file.cuts?.shift();
  if (cut === undefined) {
    response.end(body);
    return;
  }
  response.write(body.subarray(0, cut), () => {
    // A little later, so that the bytes are on the other side before the connection breaks.
    if (!file.stalls) setTimeout(() => response.destroy(), 50);
  });
}
