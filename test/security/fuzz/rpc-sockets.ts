/** RPC frames over sockets against the real logger: beside good calls on the same connection, in pieces, half, too many. */
import { connect, type Socket } from "node:net";
import { Packr, Unpackr } from "msgpackr";
import { between, oneOf } from "../../../dev/chaos/random.ts";
import { WireError } from "../../../shared/rpc/check.ts";
import { decodeMessage, emptyMessage } from "../../../shared/rpc/decode.ts";
import { Broken, type Campaign } from "./campaign.ts";
import { makeFrame } from "./frames.ts";
import { pieces } from "./mutate.ts";
import type { Target } from "./target.ts";

const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false, int64AsType: "number" });
/** Longest wait for an answer or an end that is owed (ms). */
const OWED_MS = 12_000;
const PING_BEFORE = 4_000_000_001;
const PING_AFTER = 4_000_000_002;
/** Lengths that a prefix may lie with. */
const LIES = [0, 1, 3, 4_194_304, 4_194_305, 0x7fff_ffff, 0xffff_ffff];

export const rpcSockets: Campaign = {
  id: "rpc",
  what: "RPC frames over sockets against the logger",
  full: 10_000,
  short: 600,
  width: 16,
  needsPlatform: true,
  open(target) {
    if (target === undefined) throw new Error("the platform is needed");
    const refused: string[] = [];
    return Promise.resolve({
      reaches: ["answered, and stays", "closed"],
      attempt: (random, index) => attempt(target, random, `fuzz-rpc-${index}-${Bun.randomUUIDv7()}`, refused),
      async finish() {
        const stored = await target.platform.entries.countDocuments({ name: { $in: refused } });
        return stored === 0 ? [] : [`${stored} entries of frames that were refused are stored`];
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  },
};

function framed(body: Uint8Array, length = body.length): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(length);
  return Buffer.concat([head, body]);
}

const ping = (id: number): Buffer => framed(packr.pack([0, id, "RPCServer.Ping", []]));

/** Whether the connection survives the frame. */
function survives(body: Buffer): boolean {
  const message = emptyMessage();
  try {
    decodeMessage(body, 0, body.length, message);
    // A response is nothing that a server asked for.
    return message.type !== 1;
  } catch (error) {
    return error instanceof WireError && !error.fatal;
  }
}

async function attempt(target: Target, random: () => number, name: string, refused: string[]): Promise<string> {
  const body = makeFrame(random, { name, data: "x".repeat(between(random, 0, 60)) });
  const lie = random() < 0.15 ? oneOf(random, LIES) : body.length;
  const isWhole = lie === body.length;
  const lives = isWhole && survives(body);
  if (!lives) refused.push(name);
  const what = `${isWhole ? "" : `said to be ${lie} bytes long: `}${body.toString("hex").slice(0, 400)}`;
  const connection = await open(target.platform.stack.rpcUrl);
  const stream = Buffer.concat([ping(PING_BEFORE), framed(body, lie), ...(lives ? [ping(PING_AFTER)] : [])]);
  for (const piece of pieces(random, stream, 4)) {
    connection.write(piece);
    if (random() < 0.3) await Bun.sleep(between(random, 0, 2));
  }
  await connection.answerOrEnd(PING_BEFORE, what);
  if (lives) {
    await connection.answerOrEnd(PING_AFTER, what);
    connection.leave();
    if (!connection.has(PING_AFTER)) throw new Broken(`closed by a frame that is no reason to: ${what}`);
    return "answered, and stays";
  }
  // A prefix that promises more than comes is waited for: our end is an end.
  if (!isWhole) connection.end();
  await connection.closed(what);
  return "closed";
}

interface Connection {
  write(bytes: Uint8Array): void;
  has(id: number): boolean;
  answerOrEnd(id: number, what: string): Promise<void>;
  closed(what: string): Promise<void>;
  end(): void;
  leave(): void;
}

async function open(address: string): Promise<Connection> {
  const { hostname, port } = new URL(address);
  let bytes = Buffer.alloc(0);
  let isClosed = false;
  const answered = new Set<number>();
  let odd: string | undefined;
  const socket = await new Promise<Socket>((resolve, reject) => {
    const made = connect(Number(port), hostname, () => resolve(made));
    made.once("error", reject);
  });
  socket.on("error", () => undefined);
  socket.on("close", () => (isClosed = true));
  socket.on("data", (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE(0)) {
      const length = bytes.readUInt32BE(0);
      const message: unknown = unpackr.unpack(bytes.subarray(4, 4 + length));
      bytes = bytes.subarray(4 + length);
      if (!Array.isArray(message) || message.length !== 4 || message[0] !== 1) odd = JSON.stringify(message);
      else answered.add(message[1] as number);
    }
  });
  const wait = async (what: string, isThere: () => boolean): Promise<void> => {
    const endsAt = performance.now() + OWED_MS;
    while (!isThere()) {
      if (odd !== undefined) throw new Broken(`answered with what is no response (${odd}): ${what}`);
      if (performance.now() > endsAt) throw new Broken(`neither answered nor closed within ${OWED_MS} ms: ${what}`);
      await Bun.sleep(2);
    }
  };
  return {
    write: (piece) => void (isClosed || socket.write(piece)),
    has: (id) => answered.has(id),
    answerOrEnd: (id, what) => wait(what, () => isClosed || answered.has(id)),
    closed: (what) => wait(what, () => isClosed),
    end: () => void socket.end(),
    leave: () => void socket.destroy(),
  };
}
