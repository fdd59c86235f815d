/** An exchange or a queue of our name that exists with another shape: what no retry mends. */

/** Names what differs, so that somebody can mend it: see docs/migrating-queues.md. */
export class TopologyMismatch extends Error {
  override readonly name = "TopologyMismatch";
  readonly kind: "queue" | "exchange";
  /** The queue's or exchange's name. */
  readonly entity: string;
  /** The argument that differs; the first one, where several do. */
  readonly argument: string;
  /** What we declare, and what stands there, in the server's words. */
  readonly ours: string;
  readonly theirs: string;

  constructor(kind: "queue" | "exchange", entity: string, argument: string, ours: string, theirs: string) {
    super(
      `the ${kind} ${entity} exists with another ${argument}: ours is ${ours}, there it is ${theirs}; ` +
        "nothing was changed or deleted, docs/migrating-queues.md tells how to migrate",
    );
    this.kind = kind;
    this.entity = entity;
    this.argument = argument;
    this.ours = ours;
    this.theirs = theirs;
  }
}

/** As RabbitMQ says it with reply code 406; a reply text is cut at 255 characters, so its end may be missing. */
const INEQUIVALENT =
  /inequivalent arg '([^']+)' for (queue|exchange) '(.+?)' in vhost '.*?': received (.+?) but current is (.+?)"?$/;

/** @returns undefined where `error` is not about another shape. */
export function mismatchOf(error: Error): TopologyMismatch | undefined {
  const [, argument, kind, entity, ours, theirs] = INEQUIVALENT.exec(error.message) ?? [];
  if (argument === undefined || kind === undefined || entity === undefined) return undefined;
  return new TopologyMismatch(
    kind === "queue" ? "queue" : "exchange",
    entity,
    argument,
    plain(ours ?? ""),
    plain(theirs ?? ""),
  );
}

/** `the value '50' of type 'signedint'` as `50`; `none` stays. */
function plain(words: string): string {
  return /^(?:the value )?'(.*?)'(?: of type .*)?$/.exec(words)?.[1] ?? words;
}
