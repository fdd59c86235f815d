/**
 * Which deliveries of one channel may be acknowledged together: `basic.ack` with `multiple` takes all up to a
 * tag, so it may name only a tag before which nothing is open.
 */
export interface AckWindow {
  /** A delivery came. Tags of a channel count up by one. */
  open(tag: number): void;
  /** It is dealt with, in whatever order. */
  settle(tag: number): void;
  /** @returns the highest tag that may be acknowledged with all before it, or undefined when that is not more than last time. */
  advance(): number | undefined;
  /** Deliveries that are not dealt with. */
  readonly unsettled: number;
}

export function makeAckWindow(): AckWindow {
  /** Every delivery up to this one is acknowledged. */
  let acknowledged: number | undefined;
  let last = 0;
  const settled = new Set<number>();

  return {
    open(tag) {
      acknowledged ??= tag - 1;
      last = tag;
    },
    settle(tag) {
      if (acknowledged !== undefined && tag > acknowledged && tag <= last) settled.add(tag);
    },
    advance() {
      if (acknowledged === undefined) return undefined;
      const before = acknowledged;
      while (settled.delete(acknowledged + 1)) acknowledged += 1;
      return acknowledged > before ? acknowledged : undefined;
    },
    get unsettled() {
      return acknowledged === undefined ? 0 : last - acknowledged - settled.size;
    },
  };
}
