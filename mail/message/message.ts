/** A mail as bytes (RFC 5322, MIME): what was given, and nothing that somebody slipped into it. */
import type { Attachment } from "#contracts/mail";
import MailComposer from "nodemailer/lib/mail-composer";
import { encodeWord } from "nodemailer/lib/mime-funcs";
import { type Content, SENDER_HEADER } from "./content.ts";

export interface Draft {
  /** Message-ID without its angle brackets. */
  readonly messageId: string;
  readonly from: string;
  readonly subject: string;
  readonly date: Date;
  readonly content: Content;
  /** Request and trace that it belongs to, so that a mail in an inbox leads back to its logs. */
  readonly requestId: string;
  readonly traceparent: string;
  /** 0 high, 1 normal, 2 low. */
  readonly priority: 0 | 1 | 2;
  /** Name of the mailing list that it is sent to. */
  readonly list?: string | undefined;
  /** Where its recipient takes himself off that list with one POST: his own, so that his bytes are his own too. */
  readonly unsubscribeUrl?: string | undefined;
}

/** Characters from which on a text is encoded as base64: quoted-printable takes half a second for a megabyte. */
const LONG_TEXT = 32_768;

/** A subject that looks alike to every reader as it is: else it is encoded as a whole. RFC 5322 wants lines of 78. */
const PLAIN_SUBJECT = /^(?!.*=\?)[\x21-\x7e]+( [\x21-\x7e]+)*$/;
const PLAIN_SUBJECT_MAX = 68;
/** Longest encoded word (RFC 2047 §2 allows 75). */
const WORD_MAX = 68;

/** X-Priority and Importance (RFC 2156 §5.3.6) of what is not normal. */
const PRIORITY_HEADERS: Readonly<Record<0 | 1 | 2, Readonly<Record<string, string>>>> = {
  0: { "X-Priority": "1", Importance: "high" },
  1: {},
  2: { "X-Priority": "5", Importance: "low" },
};

/** The same for every attempt, so that a receiver recognises a second copy. */
export function messageIdOf(id: string, domain: string): string {
  return `${id}@${domain}`;
}

/** Headers of bulk mail: RFC 2919, RFC 2369, and RFC 8058 for the one click. */
function listHeaders({ from, list, unsubscribeUrl }: Draft): Record<string, string> {
  if (list === undefined) return {};
  const domain = from.slice(from.lastIndexOf("@") + 1);
  // RFC 2919 wants a dot-atom: no dot beside a dot.
  const label = list.replaceAll(/\.+/g, ".").replace(/\.$/, "");
  return {
    "List-Id": `<${label}.${domain}>`,
    Precedence: "bulk",
    ...(unsubscribeUrl === undefined
      ? {}
      : { "List-Unsubscribe": `<${unsubscribeUrl}>`, "List-Unsubscribe-Post": "List-Unsubscribe=One-Click" }),
  };
}

/** All headers that are text, by name in small letters: in an order that does not depend on where they were kept. */
function headersOf(draft: Draft): [string, string][] {
  const headers = new Map<string, [string, string]>();
  const add = (more: Readonly<Record<string, string>>): void => {
    for (const [name, value] of Object.entries(more)) headers.set(name.toLowerCase(), [name, value]);
  };
  const own = Object.entries(draft.content.headers ?? {}).filter(([name]) => SENDER_HEADER.test(name));
  add(Object.fromEntries(own));
  add(PRIORITY_HEADERS[draft.priority]);
  add(listHeaders(draft));
  add({
    // RFC 3834 §5: no machine answers a machine.
    "Auto-Submitted": "auto-generated",
    "X-Request-Id": draft.requestId,
    traceparent: draft.traceparent,
  });
  return [...headers].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, header]) => header);
}

/** As it stands, on one line: nodemailer would fold it, and encode what is in quotes. */
function asItIs(name: string, value: string): string | { prepared: boolean; value: string } {
  // Printable ASCII was asked for already; a line break that gets here all the same must not begin a header.
  const line = value.replaceAll(/[^\x20-\x7e]+/g, " ").trim();
  // A list of ids, which nodemailer puts into brackets where they have none.
  return name.toLowerCase() === "references" ? line : { prepared: true, value: line };
}

function subjectOf(subject: string): string {
  const isPlain = subject.length <= PLAIN_SUBJECT_MAX && PLAIN_SUBJECT.test(subject);
  return isPlain || subject === "" ? subject : encodeWord(subject, "B", WORD_MAX);
}

/** An address as an object: a text would be parsed again, and what was validated is not what would come out. */
const addressed = (address: string): { name: string; address: string } => ({ name: "", address });

/** A part that is itself a message or has parts is read again by receivers, with all that is in it: it goes as a file. */
const COMPOSITE = /^(multipart|message)\//i;
const IMAGE = /^image\//i;

function partOf({ filename, content_type, content, content_id }: Attachment) {
  return {
    filename,
    contentType: COMPOSITE.test(content_type) ? "application/octet-stream" : content_type,
    content: Buffer.from(content, "base64"),
    contentTransferEncoding: "base64" as const,
    // Only images are shown within the mail: a text would be read as part of what the mail says.
    contentDisposition:
      content_id !== undefined && IMAGE.test(content_type) ? ("inline" as const) : ("attachment" as const),
    ...(content_id === undefined ? {} : { cid: content_id }),
  };
}

/** Says all of a draft in one way, whatever order its keys are in: content that was kept comes back in another. */
function fingerprintOf({ messageId, from, subject, date, content }: Draft, headers: [string, string][]): string {
  const { text, html, to, cc, reply_to, attachments = [] } = content;
  const files = attachments.map((file) => [file.filename, file.content_type, file.content_id, file.content]);
  const all = [messageId, from, subject, date, text, html, to, cc, reply_to, headers, files];
  return new Bun.CryptoHasher("sha256").update(JSON.stringify(all)).digest("hex").slice(0, 32);
}

/**
 * The bytes of a mail. The same draft gives the same bytes: attempts do not differ.
 *
 * Every header is there once: one of the sender's with the name of one that is made here does not count, nor does one
 * that senders may not set (`SENDER_HEADER`) or that is empty. Nothing is read from files or the web. An attachment with a `content_id` goes with the HTML part, as `cid:<content_id>`; one of
 * type `message/…` or `multipart/…` goes as `application/octet-stream`. A mail with neither text nor subject is a mail.
 */
export function compose(draft: Draft): Promise<Uint8Array> {
  const { from, subject, content } = draft;
  const text = withLineFeeds(content.text);
  const html = content.html === undefined ? htmlOf(subject, text) : withLineFeeds(content.html);
  const headers = headersOf(draft);
  const composer = new MailComposer({
    from: addressed(from),
    to: content.to.map(addressed),
    ...(content.cc === undefined ? {} : { cc: content.cc.map(addressed) }),
    ...(content.reply_to === undefined ? {} : { replyTo: addressed(content.reply_to) }),
    subject: subjectOf(subject),
    messageId: `<${draft.messageId}>`,
    date: draft.date,
    text,
    html,
    attachments: (content.attachments ?? []).map(partOf),
    headers: Object.fromEntries(headers.map(([name, value]) => [name, asItIs(name, value)])),
    // From the content itself: a text that holds its own hash cannot be written, so no text ends its own part.
    baseBoundary: fingerprintOf(draft, headers),
    newline: "win",
    ...(Math.max(text.length, html.length) > LONG_TEXT ? { encoding: "base64" } : {}),
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return new Promise((resolve, reject) => {
    composer.compile().build((error, bytes) => (error ? reject(error) : resolve(bytes)));
  });
}

function withLineFeeds(text: string): string {
  return text.replaceAll(/\r\n?/g, "\n");
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text that is only text wherever it stands in HTML, attribute values in quotes included. */
export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}

/** An address of the web as it stands in a text. */
const LINK = /\bhttps?:\/\/[^\s<>"'`\p{Cc}]+/giu;

const CLOSING = ".,;:!?)]}";

/** Without what closes a sentence or a bracket. A loop: an expression anchored at the end is quadratic here. */
function trimmedEnd(url: string): string {
  let end = url.length;
  while (end > 0 && CLOSING.includes(url.charAt(end - 1))) end -= 1;
  return url.slice(0, end);
}

/** One line with its links; everything else is text. */
function lineOf(line: string): string {
  let html = "";
  let at = 0;
  for (const match of line.matchAll(LINK)) {
    const url = trimmedEnd(match[0]);
    if (!URL.canParse(url)) continue;
    html += `${escapeHtml(line.slice(at, match.index))}<a href="${escapeHtml(url)}">${escapeHtml(url)}</a>`;
    at = match.index + url.length;
  }
  return html + escapeHtml(line.slice(at));
}

/** The HTML part: paragraphs at empty lines, line breaks and links as in the text. Nothing is loaded from anywhere. */
export function htmlOf(subject: string, text: string): string {
  const paragraphs = text
    .split(/\n[ \t]*\n\s*/)
    .filter((paragraph) => paragraph.trim() !== "")
    .map((paragraph) => `<p style="margin:0 0 16px">${paragraph.trimEnd().split("\n").map(lineOf).join("<br>\n")}</p>`);
  return `<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(subject)}</title>
</head>
<body style="margin:0;padding:24px;background:#f4f4f5">
<div style="max-width:600px;margin:0 auto;padding:32px;border-radius:8px;background:#ffffff;color:#18181b;font:16px/1.5 system-ui,sans-serif;overflow-wrap:break-word">
${paragraphs.join("\n")}
</div>
</body>
</html>
`;
}
