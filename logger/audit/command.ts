/** `logger audit verify`: the audit trail from its beginning to its end, at the terminal. */
import type { AuditReport } from "#contracts/audit";
import { messageOf } from "#shared/errors";
import { EXIT } from "#shared/lifecycle";
import { withoutCredentials } from "#shared/log";
import { auditKeysOf, type Config } from "../config.ts";
import { withLogs } from "../mongo.ts";
import { auditSource } from "./source.ts";
import { type KeptHead, verify } from "./verify.ts";

/** Exit codes: 0 nothing is wrong, 1 the trail is broken, 2 it could not be verified. */
const BROKEN = 1;
const PROGRESS_MS = 1_000;

function placeOf({ chain, from, to, event_id: eventId }: AuditReport["items"][number]): string {
  const numbers = from === undefined ? "" : from === to ? `, entry ${from}` : `, entries ${from} to ${to}`;
  return [
    ...(chain === undefined ? [] : [`chain ${chain}${numbers}`]),
    ...(eventId === undefined ? [] : [`(${JSON.stringify(eventId)})`]),
  ].join(" ");
}

function told(report: AuditReport): string {
  const { chains, entries, unsealed, older, breaks, items, heads } = report;
  const counted = `${entries} entries of ${chains} chains; ${unsealed} not sealed yet, ${older} from before the first chain`;
  const listed = items.map((found) => `  ${[placeOf(found), found.what].filter(Boolean).join(": ")}`);
  const more = breaks > items.length ? [`  and ${breaks - items.length} more`] : [];
  const last = heads.map(({ chain, sequence, mac }) => `  --head ${chain}:${sequence}:${mac}`);
  return [
    breaks === 0 ? `intact: ${counted}` : `BROKEN in ${breaks} places: ${counted}`,
    ...listed,
    ...more,
    "heads, newest first (keep them elsewhere, and give them to a later verification):",
    ...last,
    "",
  ].join("\n");
}

const HEAD = /^(\d{1,15}):(\d{1,15}):([\w-]{22})$/;

/** `verify [--head chain:sequence:mac]…`; undefined for anything else. */
function keptOf([word, ...rest]: readonly string[]): KeptHead[] | undefined {
  if (word !== "verify" || rest.length % 2 !== 0) return undefined;
  const kept: KeptHead[] = [];
  for (let at = 0; at < rest.length; at += 2) {
    const [, chain, sequence, mac] = HEAD.exec(rest[at + 1] ?? "") ?? [];
    if (rest[at] !== "--head" || mac === undefined) return undefined;
    kept.push({ chain: Number(chain), sequence: Number(sequence), mac });
  }
  return kept;
}

/** @returns the exit code. */
export async function auditCommand(config: Config, args: readonly string[]): Promise<number> {
  const kept = keptOf(args);
  if (kept === undefined) {
    process.stderr.write("Usage: logger audit verify [--head <chain>:<sequence>:<mac>]…\n");
    return EXIT.configuration;
  }
  let shownAt = performance.now();
  const onProgress = ({ entries, breaks }: AuditReport): void => {
    if (performance.now() - shownAt < PROGRESS_MS) return;
    shownAt = performance.now();
    const line = `${entries} entries, ${breaks} breaks`;
    process.stderr.write(process.stderr.isTTY ? `\r${line}` : `${line}\n`);
  };
  const stopping = new AbortController();
  process.once("SIGINT", () => stopping.abort(new Error("stopped")));
  try {
    const report = await withLogs(config.MONGODB_URL.reveal(), (logs) =>
      verify({ source: auditSource(logs, stopping.signal), keys: auditKeysOf(config), kept, onProgress }),
    );
    if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
    process.stdout.write(told(report));
    return report.breaks === 0 ? EXIT.drained : BROKEN;
  } catch (error) {
    process.stderr.write(`the audit trail could not be verified: ${withoutCredentials(messageOf(error))}\n`);
    return EXIT.configuration;
  }
}
