/** What became of a request, filling in as it happens: its receipts and its trace, asked until both are at their end. */
import { useEffect, useState } from "preact/hooks";
import { ask, type Schema, type Trouble } from "./api.ts";

export interface Followed {
  readonly receipts: readonly Schema<"Receipt">[];
  readonly trace: Schema<"TraceDetail"> | undefined;
  /** Why there is no trace to see, where it is not just late. */
  readonly trouble: Trouble | undefined;
  /** More may come. */
  readonly going: boolean;
}

const NOTHING: Followed = { receipts: [], trace: undefined, trouble: undefined, going: false };

const EVERY_MS = 400;
/** Spans are handed over in batches; what is late in a queue comes later still: then the pages of both have it. */
const LONGEST_MS = 20_000;
/** A trace that is whole is looked at so many times more: what comes by the queue hangs itself on later. */
const SURE = 5;

export function useFollowed(traceId: string | undefined, receiptIds: readonly string[]): Followed {
  const [followed, setFollowed] = useState(NOTHING);
  const ids = receiptIds.join();
  useEffect(() => {
    if (traceId === undefined && ids === "") {
      setFollowed(NOTHING);
      return undefined;
    }
    const ended = new AbortController();
    const { signal } = ended;
    const until = performance.now() + LONGEST_MS;
    let now: Followed = { ...NOTHING, going: true };
    const tell = (change: Partial<Followed>): void => {
      now = { ...now, ...change };
      if (!signal.aborted) setFollowed(now);
    };
    const askReceipts = async (): Promise<void> => {
      const open = ids
        .split(",")
        .filter((id) => id !== "" && now.receipts.find((one) => one.id === id)?.final !== true);
      const replies = await Promise.all(
        open.map((id) => ask<Schema<"Receipt">>("GET", `/v1/receipts/${encodeURIComponent(id)}`, { signal })),
      );
      const news = replies.flatMap((reply) => (reply.ok ? [reply.data] : []));
      const old = now.receipts.filter(({ id }) => !news.some((one) => one.id === id));
      tell({ receipts: [...old, ...news].sort((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id)) });
    };
    const askTrace = async (): Promise<void> => {
      if (traceId === undefined) return;
      const reply = await ask<Schema<"TraceDetail">>("GET", `/v1/traces/${traceId}`, { signal });
      if (reply.ok) tell({ trace: reply.data, trouble: undefined });
      else if (reply.trouble.kind !== "not-found") tell({ trouble: reply.trouble });
    };
    const go = async (): Promise<void> => {
      let sure = 0;
      tell({});
      while (!signal.aborted && performance.now() < until && sure < SURE) {
        await Promise.all([askReceipts(), askTrace()]);
        const hasTrace = traceId === undefined || now.trace?.whole === true || isClosed(now.trouble);
        const hasReceipts = now.receipts.every(({ final }) => final);
        sure = hasTrace && hasReceipts ? sure + 1 : 0;
        if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
      }
      tell({ going: false });
    };
    void go();
    return () => ended.abort();
  }, [traceId, ids]);
  return followed;
}

const isClosed = (trouble: Trouble | undefined): boolean =>
  trouble?.kind === "signed-out" || trouble?.kind === "forbidden";
