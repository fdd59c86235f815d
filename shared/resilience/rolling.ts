/** What a circuit knows of the recent past. */
import { CircuitState, type IBreaker } from "cockatiel";

const SLOT_MS = 1_000;
const SLOTS = 10;

interface Slot {
  /** Which second it counts, by `performance.now()`. */
  second: number;
  calls: number;
  failures: number;
}

/**
 * Opens the circuit when more than half of at least `minimumCalls` calls of the last 10 s failed, or as many in a row:
 * after seconds of many successes, half would be a matter of seconds of failures. Cockatiel's own
 * `SamplingBreaker` forgets a second only when a call follows in a later one, so that after a quiet hour the failures
 * before it still count.
 */
export class RollingBreaker implements IBreaker {
  readonly #minimumCalls: number;
  readonly #now: () => number;
  #slots: Slot[] = [];
  /** Failures since the last success, none of them 10 s after the one before it. */
  #streak = 0;

  /** @param now milliseconds of a clock that never steps (default `performance.now`). */
  constructor(minimumCalls: number, now: () => number = () => performance.now()) {
    this.#minimumCalls = minimumCalls;
    this.#now = now;
  }

  get state(): unknown {
    return this.#slots;
  }

  set state(value: unknown) {
    this.#slots = structuredClone(value) as Slot[];
  }

  success(state: CircuitState): void {
    if (state === CircuitState.HalfOpen) this.#slots = [];
    this.#streak = 0;
    this.#slot().calls += 1;
  }

  failure(state: CircuitState): boolean {
    const before = this.#slots.at(-1)?.second ?? Number.NEGATIVE_INFINITY;
    const slot = this.#slot();
    slot.calls += 1;
    slot.failures += 1;
    this.#streak = slot.second - before < SLOTS ? this.#streak + 1 : 1;
    if (state !== CircuitState.Closed || this.#streak >= this.#minimumCalls) return true;
    let calls = 0;
    let failures = 0;
    for (const recent of this.#slots) {
      if (recent.second <= slot.second - SLOTS) continue;
      calls += recent.calls;
      failures += recent.failures;
    }
    return calls >= this.#minimumCalls && failures > calls / 2;
  }

  #slot(): Slot {
    const second = Math.floor(this.#now() / SLOT_MS);
    const last = this.#slots.at(-1);
    if (last?.second === second) return last;
    const slot = { second, calls: 0, failures: 0 };
    this.#slots.push(slot);
    if (this.#slots.length > SLOTS) this.#slots.shift();
    return slot;
  }
}
