/** The wire of the RPC misbehaves: no caller ever gets an answer that was not his. */
import { RPC_LOG_BATCH, RPC_LOG_INFO } from "#contracts/logs";
import { makeLog } from "#shared/log";
import type { Result } from "#shared/errors";
import { makeRpcClient, type RpcClient } from "#shared/rpc";
import { makeMetrics, newContext } from "#shared/telemetry";
import { until } from "../../kit.ts";
import type { FaultCase, Measured } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { type Proxy, startProxy } from "../../../dev/chaos/proxy.ts";
import { between } from "../../../dev/chaos/random.ts";
import { concluded } from "../verdicts.ts";

const RECONNECT_MS = 1_000;
/** A connection that lasted so long counts as good (shared/rpc). */
const GOOD_MS = 1_100;
const CALL_MS = 2_000;
const AT_ONCE = 64;

/** A call whose right answer is known and differs from that of most others. */
interface Question {
  readonly method: string;
  readonly params: readonly unknown[];
  /** The answer in one line, or the code of its failure. */
  readonly right: string;
  /** Whether it came true: names that are stored for sure then. */
  readonly names: readonly string[];
}

/** Failures that say that there was no answer. */
const NO_ANSWER = new Set(["unavailable", "deadline", "exhausted"]);

function question(random: () => number, nextName: () => string): Question {
  const kind = between(random, 0, 3);
  if (kind === 0) return { method: "RPCServer.Ping", params: [], right: '"OK"', names: [] };
  if (kind === 1) return { method: `RPCServer.Nothing`, params: [], right: "not_found", names: [] };
  if (kind === 2) {
    const name = nextName();
    return { method: RPC_LOG_INFO, params: [{ name, data: name }], right: '"Processing succeeded"', names: [name] };
  }
  // Which of its entries are refused tells one batch from another.
  const entries = Array.from({ length: between(random, 1, 8) }, () => (random() < 0.5 ? nextName() : ""));
  return {
    method: RPC_LOG_BATCH,
    params: [entries.map((name) => ({ name, data: name }))],
    right: listOf(entries.map((name) => (name === "" ? "invalid" : "ok"))),
    names: entries.filter((name) => name !== ""),
  };
}

function answerOf(result: Result<unknown>): string {
  if (!result.ok) return result.error.code;
  if (!Array.isArray(result.value)) return JSON.stringify(result.value);
  const items = result.value as readonly { ok?: true; error?: { code: string } }[];
  return listOf(items.map((item) => item.error?.code ?? "ok"));
}

/** Told apart from a failure of the whole call also where it is of one. */
function listOf(items: readonly string[]): string {
  return `[${items.join()}]`;
}

/** What an answer can be told apart by where its content may have been altered: a failure, a text, a list of so many. */
function kindOf(answer: string): string {
  if (answer.startsWith('"')) return answer;
  return answer.startsWith("[") ? `list of ${answer.split(",").length}` : "failure";
}

/** The right text with a bit or two turned over: still the answer to this question. */
function isAltered(answer: string, right: string): boolean {
  if (!answer.startsWith('"') || !right.startsWith('"')) return false;
  // As JSON, where a control character is longer than the one that it was.
  const [is, was] = [JSON.parse(answer) as string, JSON.parse(right) as string];
  return is.length === was.length && was.split("").filter((character, at) => character !== is[at]).length <= 2;
}

interface Tally {
  answered: number;
  unanswered: number;
  readonly wrong: string[];
  /** Of these, the ones that are of another kind than what was asked for: no answer to this question, however altered. */
  readonly foreign: string[];
  readonly names: string[];
}

/** Asks so many questions, 64 at a time, and compares each answer with the right one. */
async function ask(client: RpcClient, questions: number, random: () => number, next: () => string): Promise<Tally> {
  const tally: Tally = { answered: 0, unanswered: 0, wrong: [], foreign: [], names: [] };
  let asked = 0;
  const asking = async (): Promise<void> => {
    while (asked < questions) {
      asked += 1;
      const { method, params, right, names } = question(random, next);
      const answer = answerOf(await client.call(method, params, newContext(CALL_MS)));
      if (NO_ANSWER.has(answer)) {
        tally.unanswered += 1;
        // A lost connection is opened again in a moment.
        await Bun.sleep(5);
        continue;
      }
      tally.answered += 1;
      if (answer === right) tally.names.push(...names);
      else {
        tally.wrong.push(`${method}: ${answer} instead of ${right}`);
        const isOther = kindOf(answer) !== "failure" && kindOf(answer) !== kindOf(right);
        if (isOther && !isAltered(answer, right)) tally.foreign.push(tally.wrong.at(-1)!);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, asking));
  return tally;
}

/** Does `misbehave` now and then until stopped. */
function keepAt(misbehave: () => Promise<void> | void, everyMs: () => number): () => Promise<void> {
  const ending = new AbortController();
  const going = (async () => {
    while (!ending.signal.aborted) {
      await Bun.sleep(everyMs());
      await misbehave();
    }
  })();
  return () => {
    ending.abort();
    return going;
  };
}

async function reconnected(client: RpcClient): Promise<number> {
  const began = performance.now();
  await until("an answer", async () => (await client.call("RPCServer.Ping", [], newContext(500))).ok, 15_000);
  return performance.now() - began;
}

const wire: FaultCase = {
  id: "F3",
  fault: "RPC wire: resets, black holes, slices of one byte, bits turned over",
  promise: "no wrong answer and none that is another call's; connected again at once",
  bar: `wrong answers 0 (where bits are turned over: none of another call), connected again ≤ ${RECONNECT_MS} ms, acknowledged entries lost 0, twice 0`,
  inTests: true,
  async run({ full, random, platform: start, say }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    let next = (): string => history.nextName("log");
    const questions = full ? 25_000 : 400;
    const { pid } = platform.stack.part("logger");
    await using proxy: Proxy = await startProxy(random);
    using metrics = makeMetrics("faults", "0");
    await using client = makeRpcClient({
      url: proxy.through(platform.stack.rpcUrl),
      client: "faults",
      log: makeLog({ service: "faults", level: "silent" }),
      metrics,
    });
    await reconnected(client);
    const figures: Record<string, number> = {};
    const broken: string[] = [];
    const round = async (what: string, fault: () => Promise<() => Promise<void>>): Promise<Tally> => {
      const end = await fault();
      const tally = await ask(client, questions, random, next);
      await end();
      await reconnected(client);
      figures[`${what}_answered`] = tally.answered;
      figures[`${what}_unanswered`] = tally.unanswered;
      figures[`${what}_wrong`] = tally.wrong.length;
      say(`${what}: ${tally.answered} answered, ${tally.unanswered} not, ${tally.wrong.length} wrong`);
      for (const wrong of tally.wrong.slice(0, 9)) say(wrong);
      return tally;
    };
    const mustBeRight = async (what: string, fault: () => Promise<() => Promise<void>>): Promise<void> => {
      const { wrong, names } = await round(what, fault);
      for (const name of names) history.accept("log", name);
      if (wrong.length > 0) broken.push(`${what}: ${wrong.length} wrong answers, e.g. ${wrong[0]}`);
    };

    await mustBeRight("resets", () =>
      Promise.resolve(
        keepAt(
          () => proxy.cut(),
          () => between(random, 20, 200),
        ),
      ),
    );
    await mustBeRight("half_closes", () =>
      Promise.resolve(
        keepAt(
          () => proxy.halfClose(random() < 0.5 ? "up" : "down"),
          () => between(random, 50, 300),
        ),
      ),
    );
    await mustBeRight("slices", async () => {
      await proxy.misbehave({ sliceBytes: 1 });
      return () => proxy.heal();
    });
    await mustBeRight("blackhole", async () => {
      await proxy.misbehave({ blackhole: true });
      const healing = Bun.sleep(full ? 6_000 : 1_500).then(() => proxy.heal());
      return () => healing;
    });
    // Without TLS nothing but TCP's checksum guards the bytes: a question that arrives altered is answered as it arrived.
    // Names of their own: a digit that is turned over makes another one's name, which is no entry stored twice.
    let flips = 0;
    next = () => `flipped-${history.tag}-${(flips += 1)}`;
    const flipped = await round("flips", async () => {
      await proxy.misbehave({ flips: { up: 0.0002, down: 0.0002 } });
      return () => proxy.heal();
    });
    const { foreign } = flipped;
    if (foreign.length > 0) broken.push(`flips: ${foreign.length} answers of another call, e.g. ${foreign[0]}`);
    const intact = await platform.entries.distinct("name", { name: { $in: flipped.names } });
    figures["flips_stored_altered"] = flipped.names.length - intact.length;
    // A connection that has just begun is opened again with a pause, one that was good at once.
    let worstMs = 0;
    for (let n = 0; n < (full ? 20 : 1); n += 1) {
      await Bun.sleep(GOOD_MS);
      proxy.cut();
      worstMs = Math.max(worstMs, await reconnected(client));
    }
    if (worstMs > RECONNECT_MS) broken.push(`connected again only after ${Math.round(worstMs)} ms`);
    if (platform.stack.part("logger").pid !== pid) broken.push("the logger ended");
    figures["bits_flipped"] = proxy.counts.bitsFlipped;
    const verdict = await history.verdict();
    return concluded(verdict, { healMs: worstMs, figures, broken });
  },
};

export const cases: readonly FaultCase[] = [wire];
