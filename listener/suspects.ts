/** What the main thread knows of messages that ended their workers, and its verdict on them. */

/** A message that was alone in the hands of so many workers when they ended is what ended them. */
const DEATHS = 3;
/**
 * So many verdicts in a row, with no message handled between them, say that it is our code that is broken rather
 * than the messages: each then has to end more workers, so that a bad release does not empty the queues in no time.
 */
const VERDICTS_IN_A_ROW = 20;
const DEATHS_IF_BROKEN = 20;
/** More suspects than that are not remembered: the oldest are forgotten, and have to be found out again. */
const MEMORY = 1_000;

export interface Suspects {
  /** To be dead-lettered without being handled: fingerprint and reason. */
  readonly condemned: ReadonlyMap<string, string>;
  /** A worker ended while it handled this message alone. @returns the reason, where that makes it guilty now. */
  ended(fingerprint: string, why: string): string | undefined;
  /** It is dealt with. */
  acquit(fingerprint: string): void;
  /** Messages were handled: the workers' code works. */
  handled(): void;
  /** Whether messages keep ending workers and nothing else happens. */
  readonly hopeless: boolean;
}

export function makeSuspects(): Suspects {
  const deaths = new Map<string, number>();
  const condemned = new Map<string, string>();
  let inARow = 0;

  return {
    condemned,
    ended(fingerprint, why) {
      const count = (deaths.get(fingerprint) ?? 0) + 1;
      remember(deaths, fingerprint, count);
      if (count < (inARow >= VERDICTS_IN_A_ROW ? DEATHS_IF_BROKEN : DEATHS)) return undefined;
      if (!condemned.has(fingerprint)) inARow += 1;
      const reason = `it ended the worker ${count} times: ${why}`;
      remember(condemned, fingerprint, reason);
      return reason;
    },
    acquit(fingerprint) {
      deaths.delete(fingerprint);
      condemned.delete(fingerprint);
    },
    handled() {
      inARow = 0;
    },
    get hopeless() {
      return inARow >= VERDICTS_IN_A_ROW;
    },
  };
}

function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > MEMORY && oldest !== undefined) map.delete(oldest);
}
