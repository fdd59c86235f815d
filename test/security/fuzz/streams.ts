/**
 * Raw HTTP streams over TCP. Half of them are requests of the corpus cut into pieces, a few on one connection: each
 * gets exactly the answers that it gets whole. The others are changed anywhere: an answer or an end, and nothing else.
 */
import { connect, type Socket } from "node:net";
import { SERVICE_NAMES } from "../../../dev/services.ts";
import { between, oneOf } from "../../../dev/chaos/random.ts";
import { ANY_CASES, BODY_CASES } from "../http-cases.ts";
import { parseAnswers, type RawAnswer } from "../wire.ts";
import { Broken, type Campaign } from "./campaign.ts";
import { mutateBytes, pieces } from "./mutate.ts";
import type { Target } from "./target.ts";

/** How long nothing has to come before the other side is taken to have said all (ms). */
const QUIET_MS = 150;
/** Longest wait for the answers that are owed (ms). */
const OWED_MS = 12_000;
/** Longest that a connection may stay after we have ended our side (ms). */
const CLOSE_MS = 12_000;
/** What a stream may be changed with. */
const ODD = [
  "\r\n",
  "\r\n\r\n",
  "\n",
  "\r",
  "\0",
  " ",
  "\t",
  ":",
  "Content-Length: 5\r\n",
  "Content-Length: -1\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: identity\r\n",
  "Expect: 100-continue\r\n",
  "Upgrade: websocket\r\nConnection: upgrade\r\n",
  "Host: evil.example\r\n",
  "0\r\n\r\n",
  "ffffffffffffffff\r\n",
  "HTTP/1.0",
  "HTTP/2.0",
  "\xff\xfe",
  "%0d%0a",
  "GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n",
];
/** Answered by the runtime, before anything of ours: 505 for what is no HTTP/1.1 is its word for a bad request. */
const BY_RUNTIME = new Set([400, 405, 408, 413, 414, 417, 431, 501, 505]);
const ROUTES: Readonly<Record<string, string>> = {
  broker: "/handle",
  auth: "/authenticate",
  logger: "/log",
  mail: "/send",
  listener: "/nowhere",
};

export const streams: Campaign = {
  id: "streams",
  what: "raw HTTP streams over TCP against all services",
  full: 5_000,
  short: 320,
  width: 24,
  needsPlatform: true,
  open(target) {
    if (target === undefined) throw new Error("the platform is needed");
    return Promise.resolve({
      reaches: ["answered as whole", "answered", "ended"],
      attempt: (random) => (random() < 0.5 ? cut(target, random) : changed(target, random)),
      finish: () => Promise.resolve([]),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  },
};

async function cut(target: Target, random: () => number): Promise<string> {
  const service = oneOf(random, SERVICE_NAMES);
  const path = ROUTES[service] ?? "/";
  const cases = service === "listener" ? ANY_CASES : [...BODY_CASES, ...ANY_CASES];
  const chosen = oneOf(random, cases);
  const bytes = Buffer.from(chosen.bytes(path), "latin1");
  const connection = await open(target.url(service));
  const sent = pieces(random, bytes, 5);
  for (const piece of sent) {
    connection.write(piece);
    if (random() < 0.7) await Bun.sleep(between(random, 0, 4));
  }
  const seen = await connection.answers(chosen.answers.length);
  const statuses = seen.answers.map(({ status }) => status);
  const what = `${chosen.what} at ${service}${path}, in pieces of ${sent.map(({ length }) => length).join(", ")}`;
  if (seen.rest !== "" || !sameStatuses(statuses, chosen.answers, chosen.by !== undefined)) {
    throw new Broken(
      `${what}: answered ${statuses.join(", ") || "nothing"} ${JSON.stringify(seen.rest.slice(0, 200))}, and not ${chosen.answers.join(", ")}`,
    );
  }
  await connection.end(what);
  return "answered as whole";
}

/** What the runtime refuses it may refuse before it has seen all, and then closes: fewer answers, never others or more. */
function sameStatuses(seen: readonly number[], owed: readonly number[], byRuntime: boolean): boolean {
  if (!byRuntime) return Bun.deepEquals(seen, [...owed]);
  return seen.length <= owed.length && seen.every((status, index) => status === owed[index] || BY_RUNTIME.has(status));
}

async function changed(target: Target, random: () => number): Promise<string> {
  const service = oneOf(random, SERVICE_NAMES);
  const path = ROUTES[service] ?? "/";
  const cases = [...BODY_CASES, ...ANY_CASES];
  const count = between(random, 1, 3);
  const whole = Array.from({ length: count }, () => oneOf(random, cases).bytes(path)).join("");
  // A single stream of 100 KB of one header is in the corpus; here it would only make changes miss everything else.
  const bytes = mutateBytes(random, Buffer.from(whole.slice(0, 4_000), "latin1"), ODD);
  if (bytes.length === 0) return "nothing to send";
  const what = `${service} ${JSON.stringify(bytes.toString("latin1").slice(0, 700))}`;
  const connection = await open(target.url(service));
  for (const piece of pieces(random, bytes, 4)) {
    connection.write(piece);
    if (random() < 0.3) await Bun.sleep(between(random, 0, 3));
  }
  const { answers, rest } = await connection.quiet();
  for (const answer of answers) checkAnswer(what, answer);
  if (rest !== "" && !rest.startsWith("HTTP/1.1 "))
    throw new Broken(`no answer, but bytes: ${JSON.stringify(rest.slice(0, 200))}: ${what}`);
  await connection.end(what);
  return answers.length > 0 ? "answered" : "ended";
}

function checkAnswer(what: string, { status, headers, body }: RawAnswer): void {
  if (status < 200) return;
  const isOurs = headers.has("x-request-id");
  if (!isOurs && !BY_RUNTIME.has(status)) throw new Broken(`${status} that is not ours: ${what}`);
  if (!isOurs) return;
  if (status >= 500) throw new Broken(`${status} by input: ${what}: ${body.slice(0, 200)}`);
  if (headers.get("x-content-type-options") !== "nosniff")
    throw new Broken(`${status} without security headers: ${what}`);
}

interface Connection {
  write(bytes: Uint8Array): void;
  /** Waits for so many answers, and a little for one too many. */
  answers(count: number): Promise<{ answers: readonly RawAnswer[]; rest: string }>;
  /** Waits until nothing has come for a while. */
  quiet(): Promise<{ answers: readonly RawAnswer[]; rest: string }>;
  /** Ends our side. @throws Broken where the other side does not end then. */
  end(what: string): Promise<void>;
}

async function open(address: string): Promise<Connection> {
  const { hostname, port } = new URL(address);
  const chunks: Buffer[] = [];
  let lastAt = performance.now();
  let isClosed = false;
  const socket = await new Promise<Socket>((resolve, reject) => {
    const made = connect(Number(port), hostname, () => resolve(made));
    made.once("error", reject);
  });
  socket.on("error", () => undefined);
  socket.setNoDelay(true);
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    lastAt = performance.now();
  });
  const closed = new Promise<void>((resolve) =>
    socket.on("close", () => {
      isClosed = true;
      resolve();
    }),
  );
  const read = () => parseAnswers(Buffer.concat(chunks).toString("latin1"));
  const isQuiet = (): boolean => isClosed || performance.now() - lastAt > QUIET_MS;
  const quiet = async () => {
    lastAt = performance.now();
    while (!isQuiet()) await Bun.sleep(10);
    return read();
  };
  return {
    write: (bytes) => void (isClosed || socket.write(bytes)),
    quiet,
    async answers(count) {
      const endsAt = performance.now() + OWED_MS;
      const isOwed = (): boolean => !isClosed && read().answers.length < count && performance.now() < endsAt;
      while (isOwed()) await Bun.sleep(5);
      return quiet();
    },
    async end(what) {
      if (isClosed) return;
      socket.end();
      const timer = Bun.sleep(CLOSE_MS).then(() => "open" as const);
      const how = await Promise.race([closed, timer]);
      socket.destroy();
      if (how === "open") throw new Broken(`still open ${CLOSE_MS} ms after our side was ended: ${what}`);
    },
  };
}
