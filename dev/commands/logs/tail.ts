import { LAST_EVENT_ID_HEADER, type TailGap, type TailItem } from "#contracts/log-tail";
import { exponential, pause } from "#shared/resilience";
import { eventsOf, type ReceivedEvent } from "#shared/sse";
import { CommandError } from "../../command.ts";
import { type Paint, paintFor } from "../../terminal.ts";
import { askBroker, FILTER_OPTIONS, filterQuery, type LogsWord, printLine, readableEntry } from "./word.ts";

/** Longest silence: the broker sends a heartbeat every 5 s (ms). */
const SILENCE_MS = 15_000;
const backoff = exponential({ firstMs: 500, maxMs: 5_000 });

/** What is not an entry, as a person reads it. */
function noteOf({ event, data }: ReceivedEvent): string | undefined {
  const told = JSON.parse(data) as Partial<TailGap> & {
    count?: number;
    missing?: number;
    loggers?: number;
    reason?: string;
  };
  if (event === "dropped") return `${told.count} entries were left out: this terminal is too slow for them`;
  if (event === "gap")
    return `entries from ${told.from} to ${told.to} may be missing here (${told.reason}): logs query has them`;
  if (event === "partial") return `${told.missing} of ${told.loggers} loggers cannot be followed just now`;
  if (event === "whole") return "all loggers are followed again";
  return event === "bye" ? `the broker ends it: ${told.reason}` : undefined;
}

export const tail: LogsWord = {
  name: "logs tail",
  summary: "log entries of the running platform as they are stored, until Ctrl-C",
  details: `  bun run logs tail --severity ERROR
  bun run logs tail --from 5m --name payment --json
--from begins with what was stored since then, at most 10 minutes ago. When the connection is lost it comes back by itself, and
goes on where it was. What is no entry is told on the standard error.`,
  options: {
    ...FILTER_OPTIONS,
    from: { type: "string", value: "TIME", about: "begin with what was stored since then: RFC 3339, or an age as 5m" },
    json: { type: "boolean", about: "a line of JSON for each entry" },
  },
  async run(args) {
    const query = filterQuery(args);
    const from = query.get("from");
    query.delete("from");
    if (from !== null) query.set("after", from);
    const paint = paintFor(process.stdout);
    const notes = paintFor(process.stderr);
    const stopping = new AbortController();
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => stopping.abort());
    const note = (text: string): void => void process.stderr.write(`${notes.dim(`-- ${text}`)}\n`);
    let lastId = "";
    let isFirst: boolean = true;

    async function once(): Promise<void> {
      const headers = lastId === "" ? {} : { [LAST_EVENT_ID_HEADER]: lastId };
      if (lastId !== "") query.delete("after");
      const answer = await askBroker(args, "/v1/logs/tail", { query, headers, signal: stopping.signal });
      if (!isFirst) note("connected again");
      isFirst = false;
      if (answer.body === null) return;
      for await (const { events, lastId: place } of eventsOf(answer.body, SILENCE_MS)) {
        for (const event of events) await print(event, paint);
        lastId = place || lastId;
      }
    }

    async function print(event: ReceivedEvent, painted: Paint): Promise<void> {
      if (event.event !== "entry") {
        const text = noteOf(event);
        if (text !== undefined) note(text);
        return;
      }
      const item = JSON.parse(event.data) as TailItem;
      await printLine(args.flag("json") ? event.data : readableEntry(item, painted));
    }

    for (let attempt = 0; !stopping.signal.aborted; attempt += 1) {
      const wasFirst: boolean = isFirst;
      try {
        await once();
        attempt = 0;
      } catch (error) {
        if (stopping.signal.aborted) break;
        // Nothing was there to come back to, or it is refused for good.
        if (error instanceof CommandError && (wasFirst || /answered 4(?!29)\d\d/.test(error.message))) throw error;
        if (wasFirst !== isFirst) attempt = 0;
      }
      if (stopping.signal.aborted) break;
      note("the connection was lost: trying again");
      await pause(backoff(attempt), stopping.signal);
    }
    return 0;
  },
};
