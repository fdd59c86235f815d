/** Wakes a loop that otherwise looks around by the clock. */

/** Between a ring and the look (ms), where events that come within it are to go as one batch. */
export const GATHER_MS = 30;

export interface Bell {
  /** Ends the wait that is under way, or the next one at once. */
  ring(): void;
  /** Until it rings or about `ms` have passed: a quarter more or less, so that replicas do not look at the same moment. */
  wait(ms: number): Promise<void>;
}

export function makeBell(): Bell {
  let rung = Promise.withResolvers<void>();
  return {
    ring: () => rung.resolve(),
    async wait(ms) {
      const timer = setTimeout(rung.resolve, ms * (0.75 + Math.random() / 2));
      await rung.promise;
      clearTimeout(timer);
      rung = Promise.withResolvers();
    },
  };
}
