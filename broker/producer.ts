/**
 * The broker numbers what it accepts, so that the store can tell what is missing (`GET /v1/logs/gaps`): producer
 * `broker-<UUIDv7 of this process's start>`, sequence from 1.
 *
 * A number is taken before its entry is handed to anybody, since it travels with it. Where the entry came to nothing
 * (refused, answered 503, or stored before under its key) a later entry voids the number. Where that is not certain, an
 * answer being lost, the number is voided all the same: one that is voided and stored is no gap either.
 * Numbers say nothing about order: entries overtake each other on their ways.
 *
 * What has an Idempotency-Key can be under way twice, from two brokers, or from this one before and after a restart, under
 * two numbers: the logger stores one of them and voids the number of the other.
 */
import type { Producer } from "#contracts/logs";
import type { Metrics } from "#shared/telemetry";

/** Numbers that one entry voids: as the contract has it. */
const VOIDED_AN_ENTRY = 100;
/** Numbers that wait for an entry to void them (8 bytes each): some minutes of refusing everything. */
const VOIDED_MAX = 100_000;

export interface Numbers {
  /** The next number, with what it voids: to be handed on with the entry on each of its ways. */
  take(): Producer;
  /** What was numbered so came to nothing: the number, and those that it should have voided, wait for a later entry. */
  giveBack(numbered: Producer): void;
}

/**
 * @param metrics counts numbers that could not be kept for voiding (100,000 wait already): the store reports these as
 * missing though nothing was lost.
 */
export function makeNumbers(metrics: Metrics, id = `broker-${Bun.randomUUIDv7()}`, max = VOIDED_MAX): Numbers {
  const forgotten = metrics.counter(
    "broker_numbers_forgotten_total",
    "Numbers given to nothing that could not be kept for a later entry to void: reported as missing by /v1/logs/gaps.",
  );
  let last = 0;
  let waiting: number[] = [];
  metrics.gauge("broker_numbers_to_void", "Numbers given to nothing that no entry has voided yet.", [], (gauge) =>
    gauge.set(waiting.length),
  );

  return {
    take() {
      last += 1;
      if (waiting.length === 0) return { id, sequence: last };
      const voided = waiting.slice(0, VOIDED_AN_ENTRY);
      waiting = waiting.slice(VOIDED_AN_ENTRY);
      return { id, sequence: last, voided };
    },
    giveBack({ sequence, voided = [] }) {
      for (const number of [...voided, sequence]) {
        if (waiting.length < max) waiting.push(number);
        else forgotten.inc();
      }
    },
  };
}
