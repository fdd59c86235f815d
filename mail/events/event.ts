/** An event as it is told: the same bytes to RabbitMQ and to every webhook, at every try. */
import type { MailEvent } from "#contracts/mail";

/** An event as the outbox keeps it. */
export interface StoredEvent {
  /** UUID: the same event is told under the same id, however often. */
  readonly id: string;
  /** `mail.sent`, … */
  readonly type: string;
  readonly at: Date;
  readonly mailId: string;
  /** Written by the trigger of the outbox, in the shape of the contract. */
  readonly payload: Pick<MailEvent, "recipient" | "state" | "attempts" | "reply">;
}

/** JSON in UTF-8. */
export function bodyOf({ id, type, at, mailId, payload }: StoredEvent): Uint8Array<ArrayBuffer> {
  const { recipient, state, attempts, reply } = payload;
  const event: MailEvent = {
    id,
    type,
    at: at.toISOString(),
    mail_id: mailId,
    recipient,
    state,
    attempts,
    ...(reply === undefined ? {} : { reply }),
  };
  return new TextEncoder().encode(JSON.stringify(event));
}
