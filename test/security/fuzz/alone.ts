/** Turns for what many do at once and somebody has to do alone. */

export interface Turns {
  /** Beside all others that are no `alone`. */
  together<T>(work: () => Promise<T>): Promise<T>;
  /** With nothing else under way. */
  alone<T>(work: () => Promise<T>): Promise<T>;
}

export function makeTurns(): Turns {
  let running = 0;
  let quiet: (() => void) | undefined;
  /** Resolved once nobody works alone. */
  let door: Promise<void> = Promise.resolve();

  return {
    async together(work) {
      for (let seen: Promise<void> | undefined; seen !== door; ) {
        seen = door;
        await seen;
      }
      running += 1;
      try {
        return await work();
      } finally {
        running -= 1;
        if (running === 0) quiet?.();
      }
    },
    async alone(work) {
      const before = door;
      const { promise, resolve } = Promise.withResolvers<void>();
      door = promise;
      await before;
      try {
        if (running > 0) await new Promise<void>((settled) => (quiet = settled));
        quiet = undefined;
        return await work();
      } finally {
        resolve();
      }
    },
  };
}

/** Before what was refused in the crowd is asked again with nobody else there (ms): circuits close meanwhile. */
const AGAIN_MS = 1_500;
const MAX_AGAIN = 3;

/** An answer that is not about the crowd: after a 503 or 504 it is asked again alone, and what comes then is meant. */
export async function askUntilMeant(turns: Turns, ask: () => Promise<Response>): Promise<Response> {
  let answer = await turns.together(ask);
  for (let again = 0; isCrowded(answer) && again < MAX_AGAIN; again += 1) {
    answer = await turns.alone(async () => {
      await Bun.sleep(AGAIN_MS);
      return ask();
    });
  }
  return answer;
}

function isCrowded({ status }: Response): boolean {
  return status === 503 || status === 504;
}
