/** Limits, each inside the next, so that what HTTP accepted never fails for its size later. */

/** What one JSON or MessagePack value may be: bytes on the wire, levels of nesting, values in all. */
export interface ValueLimits {
  readonly bytes: number;
  readonly depth: number;
  readonly nodes: number;
}

const MIB = 1_048_576;

/** A request body at any service. */
export const HTTP_LIMITS: ValueLimits = { bytes: 1 * MIB, depth: 32, nodes: 20_000 };
/** An AMQP message, a spool record. */
export const MESSAGE_LIMITS: ValueLimits = { bytes: 4 * MIB, depth: 40, nodes: 40_000 };
/** An RPC frame, its length prefix not counted. */
export const RPC_LIMITS: ValueLimits = { bytes: 4 * MIB, depth: 48, nodes: 50_000 };
