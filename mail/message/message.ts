/** A mail as bytes (RFC 5322, MIME): the text as it was given, and an HTML part made from it. */
import MailComposer from "nodemailer/lib/mail-composer";
import type { Content } from "./content.ts";

export interface Draft {
  /** Message-ID without its angle brackets. */
  readonly messageId: string;
  readonly from: string;
  readonly subject: string;
  readonly content: Content;
  readonly date: Date;
  /** Request and trace that it belongs to, so that a mail in an inbox leads back to its logs. */
  readonly requestId: string;
  readonly traceparent: string;
  readonly priority: 0 | 1 | 2;
  readonly list?: string | undefined;
  readonly unsubscribeUrl?: string | undefined;
}

/** Characters from which on a text is encoded as base64: quoted-printable takes half a second for a megabyte. */
const LONG_TEXT = 32_768;

/** The same for every attempt, so that a receiver recognises a second copy. */
export function messageIdOf(id: string, domain: string): string {
  return `${id}@${domain}`;
}

/** The bytes of a mail. The same draft gives the same bytes: attempts do not differ. */
export function compose(draft: Draft): Promise<Uint8Array> {
  const text = draft.content.text.replaceAll(/\r\n?/g, "\n");
  const composer = new MailComposer({
    // Addresses as objects: texts would be parsed again, and what was validated is not what would come out.
    from: { name: "", address: draft.from },
    to: draft.content.to.map((address) => ({ name: "", address })),
    subject: draft.subject,
    messageId: `<${draft.messageId}>`,
    date: draft.date,
    text,
    html: htmlOf(draft.subject, text),
    headers: {
      // RFC 3834 §5: no machine answers a machine.
      "Auto-Submitted": "auto-generated",
      "X-Request-Id": draft.requestId,
      traceparent: draft.traceparent,
    },
    // From the content itself: a text that holds its own hash cannot be written, so no text ends its own part.
    baseBoundary: new Bun.CryptoHasher("sha256").update(JSON.stringify(draft)).digest("hex").slice(0, 32),
    newline: "win",
    ...(text.length > LONG_TEXT ? { encoding: "base64" } : {}),
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return new Promise((resolve, reject) => {
    composer.compile().build((error, bytes) => (error ? reject(error) : resolve(bytes)));
  });
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
