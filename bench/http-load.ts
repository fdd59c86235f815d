/** Load over HTTP/1.1 for benches: what a client costs is as little as it can be. */
import { connect } from "node:net";

const CONNECTIONS = 64;

/** Requests that one connection got answered until `ends` (ms, monotonic). An answer here ends with what it begins with a length for. */
function ask(port: number, request: string, ends: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let answered = 0;
    let missing = 0;
    const socket = connect(port, "127.0.0.1", () => socket.write(request));
    socket.setNoDelay(true);
    socket.on("error", reject);
    socket.on("close", () => resolve(answered));
    socket.on("data", (bytes: Buffer) => {
      if (missing > 0) missing -= bytes.byteLength;
      else {
        const head = bytes.indexOf("\r\n\r\n");
        const length = /content-length: (\d+)/i.exec(bytes.toString("latin1", 0, head))?.[1];
        if (head < 0 || length === undefined) return reject(new Error("an answer that this bench cannot read"));
        missing = Number(length) - (bytes.byteLength - head - 4);
      }
      if (missing > 0) return;
      missing = 0;
      answered += 1;
      if (performance.now() < ends) socket.write(request);
      else socket.destroy();
    });
  });
}

/** Answers a second to `request` (its bytes), on 64 connections with one at a time on each, for `ms`. */
export async function rate(port: number, request: string, ms: number): Promise<number> {
  const startedAt = performance.now();
  const counts = await Promise.all(Array.from({ length: CONNECTIONS }, () => ask(port, request, startedAt + ms)));
  return counts.reduce((sum, count) => sum + count, 0) / ((performance.now() - startedAt) / 1_000);
}

export const median = (all: readonly number[]): number =>
  [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0;
