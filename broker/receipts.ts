/**
 * Where something is that the platform accepted, by its id alone: what spool, queues, logger and mail service say of it.
 * Nothing is kept here.
 *
 * What was accepted moves one way only: spool → RabbitMQ → logger or mail service. They are asked in that order, one after
 * the other, so that whatever moves on between two questions is met at the next: it is never told as less than it is. The
 * last of them is also asked first, since nearly everything is there, and what has ended moves no more: the listener has
 * to look through queues.
 */
import type { DeadLetter } from "#contracts/dead-letters";
import { EventId, type FoundEntry } from "#contracts/logs";
import type { MailView } from "#contracts/mail";
import type { Receipt, ReceiptKind, ReceiptState, ReceiptStep } from "#contracts/receipts";
import { fail, ok, type Result } from "#shared/errors";
import { type CallContext, within } from "#shared/telemetry";
import { isUuid } from "#shared/ids";
import { makeValidator } from "#shared/validation";
import type { Ids } from "./ids.ts";

/** What the listener knows of a message. */
export interface Whereabouts {
  /** Where it is parked. */
  readonly found: DeadLetter | null;
  /** In a queue that is worked on, or in hand. */
  readonly queued: boolean;
  /** All that could be looked at was looked at. */
  readonly complete: boolean;
}

/** Who is asked. A failure: he did not answer. */
export interface Owners {
  /** When it was accepted, if it waits in a spool of this broker. */
  spooledAt(id: string): Date | undefined;
  inQueues(id: string, context: CallContext): Promise<Result<Whereabouts>>;
  inLogger(id: string, context: CallContext): Promise<Result<FoundEntry | undefined>>;
  inMail(id: string, context: CallContext): Promise<Result<MailView | undefined>>;
}

/**
 * @returns failure `not_found` where nobody knows the id and it is none of ours; `invalid` for text that can be none;
 * `unavailable` where it is none of ours, and somebody who could know it did not answer.
 */
export type Receipts = (id: string, context: CallContext) => Promise<Result<Receipt>>;

/** For all questions together (ms): each has its own limit, on its edge. */
const WITHIN_MS = 2_500;

const ENDS: readonly ReceiptState[] = [
  "stored",
  "sent",
  "refused",
  "bounced",
  "cancelled",
  "partial",
  "expired",
  "ambiguous",
  "dead-lettered",
  "unrouted",
];
const MAIL_STATES = {
  queued: "queued",
  sending: "queued",
  deferred: "queued",
  sent: "sent",
  failed: "refused",
  expired: "expired",
  ambiguous: "ambiguous",
  cancelled: "cancelled",
  bounced: "bounced",
  partial: "partial",
} as const satisfies Record<MailView["state"], ReceiptState>;

const idOf = makeValidator(EventId, { name: "the id" });

/** What the last owner says: nothing, or the steps there; `accepted_at` where he knows that. */
interface Arrival {
  readonly steps: readonly ReceiptStep[];
  readonly acceptedAt?: string;
}

export function makeReceipts(ids: Pick<Ids, "verify">, owners: Owners): Receipts {
  /** Of the id's kind where that is known, else by asking both. */
  async function arrivalOf(id: string, kind: ReceiptKind, context: CallContext): Promise<Result<Arrival | undefined>> {
    if (kind === "mail") {
      const view = await owners.inMail(id, context);
      return view.ok ? ok(view.value === undefined ? undefined : mailArrival(view.value)) : view;
    }
    const found = await owners.inLogger(id, context);
    return found.ok ? ok(found.value === undefined ? undefined : logArrival(found.value)) : found;
  }

  /** What logger and mail service, both asked, know of an id of neither kind. */
  async function foreignArrival(id: string, context: CallContext) {
    const asked = await Promise.all(
      (["log", "mail"] as const).map(async (kind) => ({
        kind,
        arrival: kind === "mail" && !isUuid(id.toLowerCase()) ? ok(undefined) : await arrivalOf(id, kind, context),
      })),
    );
    for (const { kind, arrival } of asked) {
      if (arrival.ok && arrival.value !== undefined) {
        return { receipt: receiptOf(id, kind, arrival.value.steps, []), silent: [] };
      }
    }
    return { receipt: undefined, silent: asked.filter(({ arrival }) => !arrival.ok).map(({ kind }) => partOf(kind)) };
  }

  /** Foreign producers and clients of the services behind choose their own ids. */
  async function ofForeign(id: string, context: CallContext): Promise<Result<Receipt>> {
    const early = await foreignArrival(id, context);
    if (early.receipt !== undefined) return ok(early.receipt);
    const queues = await owners.inQueues(id, context);
    const { receipt, silent } = await foreignArrival(id, context);
    if (receipt !== undefined) return ok(receipt);
    if (queues.ok && queues.value.found !== null) {
      const kind = queues.value.found.parked === "jobs" ? "mail" : "log";
      return ok(receiptOf(id, kind, queueSteps(queues.value), silent));
    }
    // Whether others wait in a queue says nothing of an id that may never have been.
    const unasked = [...(queues.ok && queues.value.complete ? [] : ["listener"]), ...silent];
    if (unasked.length === 0) return fail("not_found", "nothing with this id was accepted");
    return fail(
      "unavailable",
      `${unasked.join(" and ")} could not be asked: it is not known whether there is such an id`,
      {
        retryAfterS: 1,
      },
    );
  }

  async function ofOurs(id: string, kind: ReceiptKind, at: Date | undefined, context: CallContext): Promise<Receipt> {
    const accepted = (time?: string) => step("accepted", "broker", at?.toISOString() ?? time);
    const arrived = ({ acceptedAt, steps }: Arrival, before: readonly ReceiptStep[] = []) =>
      receiptOf(id, kind, [accepted(acceptedAt), ...before, ...steps], []);
    const early = await arrivalOf(id, kind, context);
    if (early.ok && early.value !== undefined) return arrived(early.value);

    const spooledAt = owners.spooledAt(id)?.toISOString();
    const queues = await owners.inQueues(id, context);
    const last = await arrivalOf(id, kind, context);
    const steps = [
      ...(spooledAt === undefined ? [] : [step("spooled", "spool", spooledAt)]),
      ...(queues.ok ? queueSteps(queues.value) : []),
    ];
    // Nothing is further than where it has arrived.
    if (last.ok && last.value !== undefined) return arrived(last.value, steps);
    const unasked = [
      ...(queues.ok && (queues.value.complete || queues.value.found !== null) ? [] : ["listener"]),
      ...(last.ok ? [] : [partOf(kind)]),
    ];
    return receiptOf(id, kind, [accepted(spooledAt), ...steps], unasked);
  }

  return async (given, context) => {
    const valid = idOf(given);
    if (!valid.ok) return valid;
    const bounded = within(context, WITHIN_MS);
    const id = isUuid(given.toLowerCase()) ? given.toLowerCase() : given;
    const signed = ids.verify(id);
    return signed === undefined ? ofForeign(given, bounded) : ok(await ofOurs(id, signed.kind, signed.at, bounded));
  };
}

function step(state: ReceiptState, where: string, at?: string, reason?: string): ReceiptStep {
  return { state, where, ...(at === undefined ? {} : { at }), ...(reason === undefined ? {} : { reason }) };
}

function isEnd({ state }: ReceiptStep): boolean {
  return ENDS.includes(state);
}

function partOf(kind: ReceiptKind): string {
  return kind === "mail" ? "mail" : "logger";
}

/** Parked and in a queue at once: it is being parked or replayed, so that more will happen. */
function queueSteps({ found, queued }: Whereabouts): ReceiptStep[] {
  const steps: ReceiptStep[] = [];
  if (found !== null) {
    steps.push(step(found.parked === "unrouted" ? "unrouted" : "dead-lettered", "rabbitmq", found.at, found.error));
  }
  if (queued) steps.push(step("queued", "rabbitmq"));
  return steps;
}

function logArrival({ created_at, stored_at }: FoundEntry): Arrival {
  return { steps: [step("stored", "logger", stored_at)], acceptedAt: created_at };
}

function mailArrival(view: MailView): Arrival {
  const { state, created_at, updated_at, reply } = view;
  const steps = [step("queued", "mail", created_at)];
  const reached = MAIL_STATES[state];
  if (reached !== "queued") steps.push(step(reached, "mail", updated_at, reasonOf(view)));
  else if (reply !== undefined) steps.push(step("queued", "mail", updated_at, reply.text));
  return { steps, acceptedAt: created_at };
}

/** Why it ended as it did. What the server said last says nothing of a mail that was sent, or taken back. */
function reasonOf({ state, reply, recipients }: MailView): string | undefined {
  if (state === "sent" || state === "cancelled") return undefined;
  if (state !== "partial") return reply?.text;
  const sent = recipients.filter((recipient) => recipient.state === "sent").length;
  return `sent to ${sent} of ${recipients.length} recipients`;
}

function receiptOf(id: string, kind: ReceiptKind, steps: readonly ReceiptStep[], unasked: readonly string[]): Receipt {
  const last = steps.at(-1) ?? step("accepted", "broker");
  const final = isEnd(last) && unasked.length === 0;
  return { id, kind, ...last, final, steps: [...steps], unasked: [...unasked] };
}
