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
  /**
   * What is dealt with and cannot go together, because something before it is open: to be acknowledged one by one.
   * Each is named once; `advance` first.
   */
  stragglers(): number[];
  readonly hasStragglers: boolean;
  /** Deliveries that are not dealt with. */
  readonly unsettled: number;
}

export function makeAckWindow(): AckWindow {
  /** Every delivery up to this one is acknowledged. */
  let acknowledged: number | undefined;
  let last = 0;
  const settled = new Set<number>();
  /** Acknowledged one by one: a tag that is acknowledged twice is an error to RabbitMQ, and costs the channel. */
  const single = new Set<number>();

  return {
    open(tag) {
      acknowledged ??= tag - 1;
      last = tag;
    },
    settle(tag) {
      if (acknowledged === undefined || tag <= acknowledged || tag > last) return;
      if (!single.has(tag)) settled.add(tag);
    },
    advance() {
      if (acknowledged === undefined) return undefined;
      let upTo: number | undefined;
      for (let next = acknowledged + 1; ; next += 1) {
        if (settled.delete(next)) upTo = next;
        else if (!single.delete(next)) return upTo;
        acknowledged = next;
      }
    },
    stragglers() {
      const tags = [...settled];
      for (const tag of tags) single.add(tag);
      settled.clear();
      return tags;
    },
    get hasStragglers() {
      return settled.size > 0;
    },
    get unsettled() {
      return acknowledged === undefined ? 0 : last - acknowledged - settled.size - single.size;
    },
  };
}
