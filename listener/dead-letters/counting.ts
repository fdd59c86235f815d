/** How much is in queues, for whoever asks again and again: on one connection, which stays open while somebody asks. */
import type { ParkedQueues, QueueCount } from "#shared/amqp";
import { fail, type Result } from "#shared/errors";

/** A connection that nobody asks anything is given back (ms): a page, and the broker's figures, ask every 5 s. */
const IDLE_MS = 15_000;
/** A connection that was lost refuses at once: what took longer (ms) was an answer, or RabbitMQ does not give any. */
const AT_ONCE_MS = 500;

export interface Counting extends AsyncDisposable {
  /** What is in each of the queues, without those that do not exist. @returns failure `unavailable`. */
  count(queues: readonly string[]): Promise<Result<ReadonlyMap<string, QueueCount>>>;
}

/** @param idleMs default 15,000. */
export function makeCounting(open: () => Promise<Result<ParkedQueues>>, idleMs: number = IDLE_MS): Counting {
  let kept: Promise<Result<ParkedQueues>> | undefined;
  let idle: ReturnType<typeof setTimeout> | undefined;
  let closed = false;

  /** Only what is still the one in use: another may have been opened meanwhile. */
  async function giveBack(one: typeof kept): Promise<void> {
    if (kept === one) kept = undefined;
    const opened = await one;
    if (opened?.ok === true) await opened.value[Symbol.asyncDispose]();
  }

  async function on(connection: Promise<Result<ParkedQueues>>, queues: readonly string[]) {
    const opened = await connection;
    const counted = opened.ok ? await opened.value.count(queues) : opened;
    if (!counted.ok) await giveBack(connection);
    return counted;
  }

  return {
    async count(queues) {
      if (closed) return fail("unavailable");
      clearTimeout(idle);
      idle = setTimeout(() => void giveBack(kept), idleMs);
      idle.unref();
      const before = kept;
      const startedAt = performance.now();
      const counted = await on((kept ??= open()), queues);
      // Of one that was kept, it says nothing of RabbitMQ now.
      const wasLost = before !== undefined && performance.now() - startedAt < AT_ONCE_MS;
      return counted.ok || !wasLost || closed ? counted : on((kept ??= open()), queues);
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      clearTimeout(idle);
      await giveBack(kept);
    },
  };
}
