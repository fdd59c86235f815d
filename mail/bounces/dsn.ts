/** Reads a delivery status notification (RFC 3464): what became of a mail after the mail server had taken it. */
import { ADDRESS_PATTERN } from "#contracts/mail";
import { fail, ok, type Result } from "#shared/errors";
import { parseHeaderValue } from "nodemailer/lib/mime-funcs";

/** RFC 3464 §2.3.3. */
export const BOUNCE_ACTIONS = ["failed", "delayed", "delivered", "relayed", "expanded"] as const;
export type BounceAction = (typeof BOUNCE_ACTIONS)[number];

/** What is said of one recipient. */
export interface Notification {
  /** As the mail was addressed to, where the notification knows that; else where it went last. In the letters given. */
  readonly recipient: string;
  readonly action: BounceAction;
  /** Enhanced status code (RFC 3463), e.g. `5.1.1`; `5.0.0`, `4.0.0` or `2.0.0` where none is given. */
  readonly status: string;
  /** What the server there said: one line of at most 500 characters. */
  readonly diagnostic?: string;
  /** Message-ID of the mail that it is about, without angle brackets; undefined where the notification does not say. */
  readonly messageId?: string;
}

/** Of the whole notification (bytes): the mail that it gives back may be in it. */
export const BOUNCE_MAX_BYTES = 1_048_576;
export const BOUNCE_MAX_RECIPIENTS = 100;
/** A notification has three parts; the ones after these are not looked at. */
const MAX_PARTS = 10;
/** Of one header block, and of the fields that speak of the recipients (characters); what comes after is not read. */
const MAX_HEADERS = 65_536;
const MAX_STATUS = 262_144;
const MAX_DIAGNOSTIC = 500;

const PLAIN_ADDRESS = new RegExp(ADDRESS_PATTERN);
const STATUS_WITHOUT: Readonly<Record<BounceAction, string>> = {
  failed: "5.0.0",
  delayed: "4.0.0",
  delivered: "2.0.0",
  relayed: "2.0.0",
  expanded: "2.0.0",
};

/** Fields by name in small letters, unfolded; of two with one name the first. */
type Fields = ReadonlyMap<string, string>;

/** The groups of fields of a delivery-status, parted by empty lines: of the message, then of each recipient. */
function groupsOf(text: string): Fields[] {
  const groups: Map<string, string>[] = [];
  let group: Map<string, string> | undefined;
  let last: string | undefined;
  for (const line of text.split(/\r\n|\r|\n/)) {
    if (line.trim() === "") {
      group = undefined;
      last = undefined;
    } else if (/^[ \t]/.test(line)) {
      if (group !== undefined && last !== undefined) group.set(last, `${group.get(last) ?? ""} ${line.trim()}`);
    } else {
      const colon = line.indexOf(":");
      const name = line.slice(0, colon).trim().toLowerCase();
      // What is no field, or one a second time, is passed over with the lines that continue it.
      last = colon > 0 && group?.has(name) !== true ? name : undefined;
      if (last === undefined) continue;
      if (group === undefined) {
        group = new Map();
        groups.push(group);
      }
      group.set(last, line.slice(colon + 1).trim());
    }
  }
  return groups;
}

/** `type; value` (RFC 3464 §2.1.2), both without white space around them. */
function typed(value: string): { type: string; value: string } {
  const semicolon = value.indexOf(";");
  if (semicolon === -1) return { type: "", value: value.trim() };
  return { type: value.slice(0, semicolon).trim().toLowerCase(), value: value.slice(semicolon + 1).trim() };
}

/** Only what a mail can have been sent to. Some servers put angle brackets around it. */
function addressOf(field: string | undefined): string | undefined {
  if (field === undefined) return undefined;
  const { type, value } = typed(field);
  const address = value.replace(/^<(.*)>$/, "$1");
  return (type === "rfc822" || type === "") && PLAIN_ADDRESS.test(address) ? address : undefined;
}

/** Of a field that has a keyword in it, and a comment perhaps: `failed (5 days)`. */
function keywordOf(field: string | undefined): string {
  return /^[A-Za-z0-9.-]+/.exec(field ?? "")?.[0].toLowerCase() ?? "";
}

/** Fit for a log and an answer: one line without what turns or hides text. */
function oneLine(text: string): string {
  return text
    .replaceAll(/[\p{C}\s]+/gu, " ")
    .trim()
    .slice(0, MAX_DIAGNOSTIC)
    .toWellFormed();
}

function idIn(text: string | undefined): string | undefined {
  return /<([^<>\s]{1,500})>/.exec(text ?? "")?.[1];
}

/** Headers and body, a character a byte. */
interface Entity {
  readonly headers: Fields;
  readonly body: string;
}

function entityOf(text: string): Entity {
  const end = /^\r?\n|\r?\n\r?\n/.exec(text);
  const at = end?.index ?? text.length;
  const headers = groupsOf(text.slice(0, Math.min(at, MAX_HEADERS)))[0] ?? new Map<string, string>();
  return { headers, body: text.slice(at + (end?.[0].length ?? 0)) };
}

/** The parts of a multipart body (RFC 2046 §5.1.1). One that is cut off has its last part all the same. */
function partsOf(body: string, boundary: string): Entity[] {
  const parts: Entity[] = [];
  const text = `\n${body}`;
  const delimiter = `\n--${boundary}`;
  let start: number | undefined;
  let at = text.indexOf(delimiter);
  for (; at !== -1 && parts.length < MAX_PARTS; at = text.indexOf(delimiter, at + 1)) {
    const next = text.indexOf("\n", at + 1);
    const lineEnd = next === -1 ? text.length : next;
    const rest = text.slice(at + delimiter.length, lineEnd).trimEnd();
    // The boundary of something else may begin alike.
    if (rest !== "" && rest !== "--") continue;
    if (start !== undefined) parts.push(entityOf(text.slice(start, at)));
    start = rest === "" ? lineEnd + 1 : undefined;
    if (start === undefined) break;
  }
  if (at === -1 && start !== undefined) parts.push(entityOf(text.slice(start)));
  return parts;
}

/** RFC 2045 §6.7. */
function decodeQuotedPrintable(text: string): Buffer {
  const joined = text.replaceAll(/=[ \t]*\r?\n/g, "");
  const plain = joined.replaceAll(/=([0-9A-F]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(plain, "latin1");
}

/** The text of a part as its transfer encoding has it; what is not UTF-8 is marked (U+FFFD), and not refused. */
function decoded({ headers, body }: Entity): string {
  const encoding = keywordOf(headers.get("content-transfer-encoding"));
  const bytes =
    encoding === "base64"
      ? Buffer.from(body, "base64")
      : encoding === "quoted-printable"
        ? decodeQuotedPrintable(body)
        : Buffer.from(body, "latin1");
  return new TextDecoder().decode(bytes);
}

const typeOf = ({ headers }: Entity) => parseHeaderValue(headers.get("content-type") ?? "text/plain");

/** The first part of one of these types. */
function find(parts: readonly Entity[], ...types: readonly string[]): Entity | undefined {
  return parts.find((part) => types.includes(typeOf(part).value.toLowerCase()));
}

/** From what is given back of the mail, all of it or its headers; or as Gmail has it, beside the status. */
function messageIdOf(parts: readonly Entity[], perMessage: Fields | undefined): string | undefined {
  const given = find(parts, "message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers");
  const headers = given === undefined ? undefined : entityOf(decoded(given).trimStart()).headers;
  return idIn(headers?.get("message-id")) ?? idIn(perMessage?.get("x-original-message-id"));
}

/** @returns undefined for a group that says of nobody that we could have sent to what became of the mail. */
function notificationOf(fields: Fields, messageId: string | undefined): Notification | undefined {
  const recipient = addressOf(fields.get("original-recipient")) ?? addressOf(fields.get("final-recipient"));
  const said = keywordOf(fields.get("action"));
  const action = BOUNCE_ACTIONS.find((each) => each === said);
  if (recipient === undefined || action === undefined) return undefined;
  const status = keywordOf(fields.get("status"));
  const diagnostic = oneLine(typed(fields.get("diagnostic-code") ?? "").value);
  return {
    recipient,
    action,
    status: /^[245]\.\d{1,3}\.\d{1,3}$/.test(status) ? status : STATUS_WITHOUT[action],
    ...(diagnostic === "" ? {} : { diagnostic }),
    ...(messageId === undefined ? {} : { messageId }),
  };
}

/**
 * @param bytes the notification as it came (RFC 5322), with or without the `From ` line of a mailbox file before it.
 * @returns at least one. Failures: `invalid` in words for what is no such notification, or speaks of nobody that a
 *   mail could have been sent to, or of too many; `too_large` for more than 1 MiB.
 */
export async function parseBounce(bytes: Uint8Array): Promise<Result<readonly Notification[]>> {
  if (bytes.byteLength > BOUNCE_MAX_BYTES) return fail("too_large", "a bounce has at most 1 MiB");
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  const message = entityOf(text.trimStart());
  const { value, params } = typeOf(message);
  const reportType = (params["report-type"] ?? "delivery-status").toLowerCase();
  if (value.toLowerCase() !== "multipart/report" || reportType !== "delivery-status") {
    return fail("invalid", "not a bounce: no multipart/report with report-type=delivery-status (RFC 3464)");
  }
  const parts = partsOf(message.body, params["boundary"] ?? "");
  const status = find(parts, "message/delivery-status", "message/global-delivery-status");
  if (status === undefined) return fail("invalid", "not a bounce: it has no part message/delivery-status");

  const groups = groupsOf(decoded(status).slice(0, MAX_STATUS));
  const isOfRecipient = (group: Fields): boolean => group.has("final-recipient") || group.has("original-recipient");
  const recipients = groups.filter(isOfRecipient);
  if (recipients.length > BOUNCE_MAX_RECIPIENTS) {
    return fail("invalid", `a bounce speaks of at most ${BOUNCE_MAX_RECIPIENTS} recipients`);
  }
  const messageId = messageIdOf(
    parts,
    groups.find((group) => !isOfRecipient(group)),
  );
  const notifications = recipients
    .map((group) => notificationOf(group, messageId))
    .filter((notification) => notification !== undefined);
  if (notifications.length === 0) {
    return fail("invalid", "not a bounce of ours: it names no recipient by a plain address with an action");
  }
  return ok(notifications);
}
