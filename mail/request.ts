/** From what a caller asks for to what is kept of it. Checks what the contract's schema cannot say; knows no HTTP and no SQL. */
import type { TObject } from "@sinclair/typebox";
import { Attachment, faultOf, MailMessage, PRIORITIES, TemplateChoice } from "#contracts/mail";
import { fail, ok, type Result } from "#shared/errors";
import { timeOf } from "#shared/validation";
import { makeAllowed, mailboxOf, type NamedAddress, plainAddresses } from "./address.ts";
import { allowedAttachments } from "./attachments.ts";
import { type Content, SENDER_HEADER } from "./message/content.ts";
import type { NewMail, NewRecipient } from "./outbox/rows.ts";
import type { Templates } from "./template/templates.ts";

/** @returns failure `invalid` that names the field, also for a template that is not there. */
type Render = Templates["render"];

/** What is kept of a request. */
export interface Prepared extends Pick<NewMail, "sender" | "subject" | "content" | "list" | "priority" | "sendAt"> {
  /** Each mailbox once, `to` before `cc` before `bcc`. */
  readonly recipients: readonly Omit<NewRecipient, "id">[];
}

export interface RequestOptions {
  /** `*`, `@domain`, or addresses. */
  readonly allowedSenders: readonly string[];
  readonly allowedRecipients: readonly string[];
  /** Recipients that a sender may write to within an hour; 0: any number. */
  readonly quotaPerHour: number;
  readonly render: Render;
  /** Whether mails to a list can be taken; failure `invalid`, in words for who sends them. */
  readonly listsReady: Result<void>;
  /** Milliseconds since 1970; default `Date.now`. */
  readonly now?: () => number;
}

/**
 * A template is rendered here and now: what is kept is what comes out, and later changes of it change nothing.
 * @returns failures: `invalid` (names the field), `forbidden` (names the field) for an address that is not allowed by
 *   configuration, and those of `render`.
 */
export type Prepare = (message: MailMessage) => Promise<Result<Prepared>>;

/** How far ahead `send_at` may be (ms). */
export const SEND_AT_MAX_MS = 30 * 86_400_000;
/** Of a subject, as the contract has it: a rendered one has not been checked by it. */
const SUBJECT_MAX = 998;

function named(message: MailMessage): { sender: NamedAddress; replyTo: NamedAddress[]; recipients: Named[] } {
  const { from, to, cc = [], bcc = [], reply_to } = message;
  const each = (kind: Named["kind"], addresses: readonly string[]): Named[] =>
    addresses.map((address, index) => ({ address, kind, field: `${kind}[${index}]` }));
  return {
    sender: { address: from, field: "from" },
    replyTo: reply_to === undefined ? [] : [{ address: reply_to, field: "reply_to" }],
    recipients: [
      ...(typeof to === "string" ? [{ address: to, kind: "to" as const, field: "to" }] : each("to", to)),
      ...each("cc", cc),
      ...each("bcc", bcc),
    ],
  };
}
interface Named extends NamedAddress {
  readonly kind: NewRecipient["kind"];
}

/** Headers that we write ourselves and whose names begin like those that a sender may give. */
const OUR_HEADERS = new Set(["x-request-id", "x-priority", "x-msmail-priority", "x-mailer"]);
function allowedHeaders(headers: Readonly<Record<string, string>>): Result<void> {
  const seen = new Set<string>();
  for (const name of Object.keys(headers)) {
    const lower = name.toLowerCase();
    if (!SENDER_HEADER.test(name) || OUR_HEADERS.has(lower)) {
      const shown = JSON.stringify(name.slice(0, 64));
      return fail(
        "invalid",
        `headers: ${shown} is not allowed; X-… (but ${[...OUR_HEADERS].join(", ")}, and what mail providers take as orders), In-Reply-To, References and Organization are`,
      );
    }
    if (seen.has(lower)) return fail("invalid", `headers: ${name} is given twice`);
    seen.add(lower);
  }
  return ok();
}

/** @returns undefined for what is past: at once. Failure `invalid` for what is no time, or too far ahead. */
function sendAtOf(text: string, now: number): Result<Date | undefined> {
  const at = timeOf("send_at", text);
  if (!at.ok) return at;
  if (at.value.getTime() > now + SEND_AT_MAX_MS) return fail("invalid", "send_at must be at most 30 days ahead");
  return ok(at.value.getTime() > now ? at.value : undefined);
}

/** Only what `schema` names. */
function only<T extends object>(schema: TObject, value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([key]) => Object.hasOwn(schema.properties, key))) as T;
}

/** A request without what is not known, at any level: what it says to us, and no more. */
function known(message: MailMessage): MailMessage {
  const bare = only(MailMessage, message);
  if (bare.attachments !== undefined) bare.attachments = bare.attachments.map((one) => only(Attachment, one));
  if (bare.template !== undefined) bare.template = only(TemplateChoice, bare.template);
  return bare;
}

/**
 * The same value with its keys in the order in which jsonb keeps them (by length, then by bytes) and its texts without
 * halves of characters, which jsonb refuses. What is made of it is the same whether it was stored meanwhile or not.
 */
export function ordered<T>(value: T): T {
  const inOrder = (part: unknown): unknown => {
    if (typeof part === "string") return part.toWellFormed();
    if (typeof part !== "object" || part === null) return part;
    if (Array.isArray(part)) return part.map(inOrder);
    const entries = Object.entries(part).map(([key, inner]) => [key.toWellFormed(), inOrder(inner)] as const);
    const sorted = entries.map(([key, inner]) => ({ key, inner, bytes: Buffer.from(key) }));
    sorted.sort((a, b) => a.bytes.length - b.bytes.length || Buffer.compare(a.bytes, b.bytes));
    return Object.fromEntries(sorted.map(({ key, inner }) => [key, inner]));
  };
  return inOrder(value) as T;
}

/** Tells two mails under one key apart: all that was asked for, whatever the order of its keys. */
export function contentHashOf(message: MailMessage): Uint8Array {
  const asked = known(message);
  const { from, to, subject, message: text, ...more } = asked;
  // As it was when a mail could be no more than this: a key of then is still known.
  const isPlain =
    typeof to === "string" && subject !== undefined && text !== undefined && Object.keys(more).length === 0;
  const said = isPlain ? [from, to, subject, text] : ordered(asked);
  return new Bun.CryptoHasher("sha256").update(JSON.stringify(said)).digest();
}

export function makePrepare(options: RequestOptions): Prepare {
  const { allowedSenders, allowedRecipients, quotaPerHour, render, listsReady, now = Date.now } = options;
  const maySend = makeAllowed(allowedSenders);
  const mayReceive = makeAllowed(allowedRecipients);

  /** @returns each mailbox once. */
  function recipientsOf(all: readonly Named[]): Result<Named[]> {
    const refused = all.find(({ address }) => !mayReceive(address));
    if (refused !== undefined) return fail("forbidden", `${refused.field} is not an address that may be written to`);
    const first = new Map<string, Named>();
    for (const one of all) if (!first.has(mailboxOf(one.address))) first.set(mailboxOf(one.address), one);
    // A quota that it can never fit into: waiting would not help.
    if (quotaPerHour > 0 && first.size > quotaPerHour) {
      return fail(
        "invalid",
        `to, cc and bcc must be at most ${quotaPerHour} addresses together: from may write to no more in an hour`,
      );
    }
    return ok([...first.values()]);
  }

  /** Its words: given, or a template's. */
  async function wordsOf(
    message: MailMessage,
  ): Promise<Result<{ subject: string } & Pick<Content, "text" | "html" | "template">>> {
    const { subject = "", message: text = "", template } = message;
    if (template === undefined) return ok({ subject, text });
    const rendered = await render(template);
    if (!rendered.ok) return rendered;
    const { name, version, locale, html } = rendered.value;
    const line = rendered.value.subject.replaceAll(/\p{Cc}+/gu, " ").trim();
    if (line.length > SUBJECT_MAX) {
      return fail("invalid", `template.variables make a subject of more than ${SUBJECT_MAX} characters`);
    }
    if (`${html}${rendered.value.text}`.includes("\0")) return fail("invalid", "template.variables must not hold NUL");
    return ok({ subject: line, text: rendered.value.text, html, template: { name, version, locale } });
  }

  return async (message) => {
    const { sender, replyTo, recipients: all } = named(message);
    const plain = plainAddresses([sender, ...all, ...replyTo]);
    if (!plain.ok) return plain;
    if (!maySend(sender.address)) return fail("forbidden", "from is not an address that may send");
    const fault = faultOf(message);
    if (fault !== undefined) return fail("invalid", fault);
    const recipients = recipientsOf(all);
    if (!recipients.ok) return recipients;
    if (message.list !== undefined && !listsReady.ok) return listsReady;
    const headers = allowedHeaders(message.headers ?? {});
    if (!headers.ok) return headers;
    const attachments = allowedAttachments(message.attachments ?? []);
    if (!attachments.ok) return attachments;
    const sendAt = message.send_at === undefined ? ok(undefined) : sendAtOf(message.send_at, now());
    if (!sendAt.ok) return sendAt;
    const words = await wordsOf(message);
    if (!words.ok) return words;

    const { subject, ...text } = words.value;
    const shown = (kind: Named["kind"]) =>
      recipients.value.filter((one) => one.kind === kind).map(({ address }) => address);
    const bare = known(message);
    const cc = shown("cc");
    const content: Content = {
      ...text,
      to: shown("to"),
      ...(cc.length === 0 ? {} : { cc }),
      ...(bare.reply_to === undefined ? {} : { reply_to: bare.reply_to }),
      ...(bare.headers === undefined ? {} : { headers: bare.headers }),
      ...(bare.attachments === undefined ? {} : { attachments: bare.attachments }),
    };
    const priority = PRIORITIES.indexOf(message.priority ?? "normal") as NewMail["priority"];
    return ok({
      sender: message.from,
      subject: subject.toWellFormed(),
      content: ordered(content),
      list: message.list,
      priority,
      sendAt: sendAt.value,
      recipients: recipients.value.map(({ address, kind }) => ({ address, kind })),
    });
  };
}
