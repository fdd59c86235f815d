/** RPC frames into the decoder, in this process. */
import { Packr, Unpackr } from "msgpackr";
import { RPC_LIMITS } from "#contracts/limits";
import { between, oneOf } from "../../../dev/chaos/random.ts";
// Its inside is attacked here: a socket in between would make of 200,000 frames a few thousand.
import { WireError } from "../../../shared/rpc/check.ts";
import { decodeMessage, emptyMessage } from "../../../shared/rpc/decode.ts";
import { Broken, type Campaign } from "./campaign.ts";
import { mutateBytes, mutateValue } from "./mutate.ts";

type Random = () => number;

const packr = new Packr({ useRecords: false });
const reference = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });
/** What the heap may have grown by in the end (bytes). */
const LEFT_BYTES = 48 * 1_048_576;
/** Longest that one frame may take, on a machine that is busy (ms). */
const FRAME_MS = 2_000;
/** First bytes of all forms of values, those that nobody may send too. */
const TOKENS = [
  0x00, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x91, 0x94, 0x9f, 0xa0, 0xa1, 0xbf, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6,
  0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9,
  0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xff,
];
const METHODS = ["RPCServer.LogInfo", "RPCServer.LogBatch", "RPCServer.Ping", "RPCServer.Hello", "__proto__", ""];

function goodMessage(random: Random, entry: Record<string, unknown>): unknown[] {
  const id = oneOf(random, [0, 1, 127, 128, 65_536, 4_294_967_295]);
  const rest = oneOf(random, [[], [null], [{}], [{ deadline_ms: 500, request_id: "r" }], [{ __key: "v" }]]);
  const roll = random();
  if (roll < 0.1) return [1, id, null, entry];
  if (roll < 0.2) return [2, oneOf(random, METHODS), [entry], ...rest];
  return [0, id, oneOf(random, METHODS), random() < 0.2 ? [[entry, entry]] : [entry], ...rest];
}

/** The body of a frame: good, good with places changed, or a heap of tokens. */
export function makeFrame(random: Random, entry: Record<string, unknown>): Buffer {
  if (random() < 0.25) {
    const bytes: number[] = [0x90 | between(random, 3, 5), between(random, 0, 2)];
    for (let left = between(random, 0, 40); left > 0; left -= 1) {
      bytes.push(random() < 0.7 ? oneOf(random, TOKENS) : between(random, 0, 255));
    }
    return Buffer.from(bytes);
  }
  let message: unknown = goodMessage(random, entry);
  for (let times = between(random, 0, 2); times > 0; times -= 1) message = mutateValue(random, message);
  const bytes = packr.pack(message);
  if (random() < 0.2) return bytes;
  const put = oneOf(random, TOKENS);
  return mutateBytes(random, bytes, [Buffer.from([put]).toString("latin1"), "\0\0\0\0", "\u007f\u007f\u007f\u007f"]);
}

export const frames: Campaign = {
  id: "frames",
  what: "RPC frames into the decoder",
  full: 200_000,
  short: 20_000,
  width: 1,
  needsPlatform: false,
  open() {
    Bun.gc(true);
    const before = process.memoryUsage().heapUsed;
    const message = emptyMessage();
    return Promise.resolve({
      reaches: ["decoded", "closes the connection", "an error answer"],
      attempt(random) {
        const body = makeFrame(random, { name: "n", data: { a: [1, "text that is long enough", null] } });
        const startedAt = performance.now();
        const ending = decodeOne(body, message);
        const tookMs = performance.now() - startedAt;
        if (tookMs > FRAME_MS)
          throw new Broken(`${tookMs.toFixed(0)} ms for the frame ${body.toString("hex").slice(0, 400)}`);
        if (({} as Record<string, unknown>)["a"] !== undefined)
          throw new Broken("the prototype of all objects was changed");
        return ending;
      },
      finish() {
        Bun.gc(true);
        const grown = process.memoryUsage().heapUsed - before;
        return Promise.resolve(grown > LEFT_BYTES ? [`the heap grew by ${Math.round(grown / 1_048_576)} MiB`] : []);
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  },
};

function decodeOne(body: Buffer, message: ReturnType<typeof emptyMessage>): string {
  if (body.length > RPC_LIMITS.bytes) return "too large for a frame";
  try {
    decodeMessage(body, 0, body.length, message);
  } catch (error) {
    if (!(error instanceof WireError)) {
      const said = error instanceof Error ? (error.stack ?? error.message) : String(error);
      throw new Broken(
        `the decoder threw what is no WireError: ${said}\n    frame: ${body.toString("hex").slice(0, 400)}`,
      );
    }
    return error.fatal ? "closes the connection" : "an error answer";
  }
  compare(body, message);
  return "decoded";
}

/** What was let in is what msgpackr by itself makes of the bytes, but for what decode.ts does otherwise on purpose. */
function compare(
  body: Buffer,
  { type, id, method, params, meta, error, result }: ReturnType<typeof emptyMessage>,
): void {
  const text = body.toString("latin1");
  // A byte order mark and the key `__proto__` are kept, which msgpackr does not.
  if (text.includes("\xef\xbb\xbf") || text.includes("__proto__")) return;
  const whole = reference.unpack(body) as unknown[];
  const ours =
    type === 1
      ? [1, id, error, result]
      : [
          type,
          ...(type === 0 ? [id] : []),
          method,
          params,
          ...(whole.length === (type === 0 ? 5 : 4) ? [meta ?? null] : []),
        ];
  if (!Bun.deepEquals(ours, whole)) {
    throw new Broken(`read otherwise than msgpackr reads it: ${body.toString("hex").slice(0, 400)}`);
  }
}
