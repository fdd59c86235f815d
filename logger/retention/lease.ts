/**
 * Who does the work of this minute: whoever writes its document first. Only inserting under a unique id decides between
 * replicas on every server that speaks MongoDB's protocol: FerretDB's updates are not atomic.
 */
import { Deadline } from "#shared/resilience";
import { isDuplicateKey } from "../driver.ts";
import type { Logs } from "../mongo.ts";
import { retentionOf } from "./documents.ts";

const WINDOW_MS = 60_000;
/** Nothing is begun so short before its end, so that clocks may differ. */
const MARGIN_MS = 10_000;
const ASK_MS = 2_000;

export interface Lease {
  /** Whether it is ours, taking it where it is nobody's. @throws what the driver throws, and Failure `deadline`. */
  take(logs: Logs): Promise<boolean>;
  /** Whether something may be begun under it. */
  readonly held: boolean;
}

/** @param owner for people who look. */
export function makeLease(owner: string, now: () => number = Date.now): Lease {
  let mine = -1;
  let asked = -1;
  const windowOf = (ms: number): number => Math.floor(ms / WINDOW_MS);
  const isHeld = (): boolean => mine === windowOf(now() + MARGIN_MS) && mine === windowOf(now());

  return {
    get held() {
      return isHeld();
    },
    async take(logs) {
      const window = windowOf(now());
      if (mine === window) return isHeld();
      // It was somebody else's when it was asked for, and stays so.
      if (asked === window || windowOf(now() + MARGIN_MS) !== window) return false;
      const { state } = retentionOf(logs);
      const deadline = Deadline.after(ASK_MS);
      try {
        await deadline.bound(state.insertOne({ _id: `lease/${window}`, window, owner }), "MongoDB");
      } catch (error) {
        if (!isDuplicateKey(error)) throw error;
        asked = window;
        return false;
      }
      mine = window;
      // Those before it say nothing any more; a few of them lie there at most.
      await deadline.bound(state.deleteMany({ window: { $lt: window } }), "MongoDB");
      return isHeld();
    },
  };
}
