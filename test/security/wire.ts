/** HTTP as bytes on a socket, for requests that no HTTP client would send, and every answer that comes back. */
import { connect } from "node:net";

/** Long enough that two writes are two reads (ms). */
const SPLIT_MS = 5;

export interface RawAnswer {
  readonly status: number;
  /** Names in lower case; of a header that comes twice, both values with a comma between. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface Exchange {
  readonly answers: readonly RawAnswer[];
  /** Whether the server ended the connection. */
  readonly closed: boolean;
  /** Bytes that are no answer, where there are any. */
  readonly rest: string;
}

export interface ExchangeOptions {
  /** Longest wait for the first answer (ms; default 5,000). */
  withinMs?: number;
  /** How long it is listened on after an answer, for one more that nobody asked for (ms; default 60). */
  quietMs?: number;
  /** Where the bytes are cut into two writes, the second a moment later. Default: one write. */
  splitAt?: number;
  /** Answers to HEAD have no body, whatever their headers say. */
  head?: boolean;
}

/** Cuts the answers out of what a server sent, one character a byte (RFC 9112 §6.3, as far as ours uses it). */
export function parseAnswers(text: string, head = false): { answers: RawAnswer[]; rest: string } {
  const answers: RawAnswer[] = [];
  let at = 0;
  for (;;) {
    const headEnd = text.indexOf("\r\n\r\n", at);
    const [statusLine = "", ...lines] = headEnd < 0 ? [] : text.slice(at, headEnd).split("\r\n");
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1] ?? Number.NaN);
    if (Number.isNaN(status)) return { answers, rest: text.slice(at) };
    const headers = new Map<string, string>();
    for (const line of lines) {
      const colon = line.indexOf(":");
      const name = line.slice(0, colon).toLowerCase();
      const value = line.slice(colon + 1).trim();
      headers.set(name, headers.has(name) ? `${headers.get(name)}, ${value}` : value);
    }
    const bodyAt = headEnd + 4;
    const hasBody = !head && status >= 200 && status !== 204 && status !== 304;
    const length = hasBody ? Number(headers.get("content-length") ?? 0) : 0;
    if (text.length < bodyAt + length) return { answers, rest: text.slice(at) };
    const body = Buffer.from(text.slice(bodyAt, bodyAt + length), "latin1").toString("utf8");
    answers.push({ status, headers, body });
    at = bodyAt + length;
  }
}

/** Sends `bytes` at once and collects what comes back until the server closes or has said nothing more for a while. */
export function exchange(url: string, bytes: string | Uint8Array, options: ExchangeOptions = {}): Promise<Exchange> {
  const { withinMs = 5_000, quietMs = 60, head = false, splitAt = 0 } = options;
  const all = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes;
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let closed = false;
    let left = false;
    const leave = () => {
      left = true;
      socket.destroy();
    };
    const read = () => parseAnswers(Buffer.concat(chunks).toString("latin1"), head);
    const socket = connect(Number(port), hostname, () => {
      if (splitAt > 0) socket.write(all.subarray(0, splitAt));
      setTimeout(() => left || socket.write(all.subarray(splitAt)), splitAt > 0 ? SPLIT_MS : 0);
    });
    socket.setNoDelay(true);
    let timer = setTimeout(leave, withinMs);
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      if (read().answers.length === 0) return;
      clearTimeout(timer);
      timer = setTimeout(leave, quietMs);
    });
    // A reset is an end too: what was answered before it counts.
    socket.on("error", () => undefined);
    socket.on("close", () => {
      closed = !left;
      clearTimeout(timer);
      resolve({ ...read(), closed });
    });
  });
}
