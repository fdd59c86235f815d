/** Bytes of a mail: what was given comes out, and nothing else does. */
import { expect, test } from "bun:test";
import type { Attachment } from "#contracts/mail";
import * as fc from "fast-check";
import PostalMime, { type Email } from "postal-mime";
import type { Content } from "./content.ts";
import { compose, type Draft, htmlOf, messageIdOf } from "./message.ts";

const draft: Draft = {
  messageId: messageIdOf("0192a000-0000-7000-8000-000000000001", "example.com"),
  from: "ann@example.com",
  subject: "Grüße — 你好",
  date: new Date("2026-11-23T10:00:00Z"),
  content: {
    text: "Hello,\r\n\r\nsee https://example.com/a?b=c&d=e.\r\nBye",
    to: ["bob@example.org"],
  },
  requestId: "request-1",
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  priority: 1,
};
const withContent = (content: Partial<Content>): Draft => ({ ...draft, content: { ...draft.content, ...content } });

async function parsed(mail: Draft): Promise<Email> {
  return PostalMime.parse(await compose(mail));
}

/** Names in small letters, with all values. */
function headersOf(mail: Email): Record<string, string[]> {
  const headers: Record<string, string[]> = {};
  for (const { key, value } of mail.headers) (headers[key] ??= []).push(value);
  return headers;
}

const OURS = ["auto-submitted", "content-type", "date", "from", "message-id", "mime-version", "subject", "to"];
const ALWAYS = [...OURS, "traceparent", "x-request-id"];

test("a mail has its text, an HTML part made from it, and the headers of a machine's mail", async () => {
  const mail = await parsed(draft);
  expect(mail).toMatchObject({
    from: { address: draft.from },
    to: [{ address: "bob@example.org" }],
    subject: draft.subject,
    messageId: "<0192a000-0000-7000-8000-000000000001@example.com>",
    date: "2026-11-23T10:00:00.000Z",
  });
  expect(mail.text?.trim()).toBe("Hello,\n\nsee https://example.com/a?b=c&d=e.\nBye");
  expect(mail.html).toContain('<a href="https://example.com/a?b=c&amp;d=e">https://example.com/a?b=c&amp;d=e</a>.<br>');
  expect(mail.attachments).toHaveLength(0);
  const headers = headersOf(mail);
  expect(headers).toMatchObject({
    "auto-submitted": ["auto-generated"],
    "x-request-id": [draft.requestId],
    traceparent: [draft.traceparent],
  });
  expect(Object.keys(headers).sort()).toEqual(ALWAYS.sort());
});

test("several recipients, copies, an address for answers and headers of the sender's own", async () => {
  const to = ["bob@example.org", "cy@example.org", "bob@example.org"];
  const cc = Array.from({ length: 47 }, (_, at) => `person-with-a-long-name-${at}@some-department.example.net`);
  const own = {
    "X-Tags": '{"campaign": "a b", "n": [1, 2]}',
    "In-Reply-To": "<1@example.org>",
    references: `<0@example.org> <1@example.org> ${"<long@example.org> ".repeat(20)}<last@example.org>`,
    "x-long": "y".repeat(900),
    Organization: "=?utf-8?q?A=20company?=",
  };
  const mail = await parsed(withContent({ to, cc, reply_to: "desk@example.com", headers: own }));
  expect(mail.to?.map(({ address }) => address)).toEqual(to);
  expect(mail.cc?.map(({ address }) => address)).toEqual(cc);
  expect(mail.replyTo).toMatchObject([{ address: "desk@example.com" }]);
  expect(mail.bcc).toBeUndefined();
  const headers = headersOf(mail);
  for (const [name, value] of Object.entries(own)) expect(headers[name.toLowerCase()]).toEqual([value]);
  expect(headersOf(await parsed(withContent({ headers: { "X-Empty": " " } })))["x-empty"]).toBeUndefined();
});

test("what a mail has by itself is there once, whatever the sender's headers are called", async () => {
  const own = {
    "x-request-id": "other",
    "X-REQUEST-ID": "another",
    From: "evil@example.net",
    Bcc: "evil@example.net",
    "Content-Type": "text/html",
    "DKIM-Signature": "v=1",
    "Return-Path": "<evil@example.net>",
    "X-A\r\nBcc": "evil@example.net",
    "X-Tag": "first\r\nBcc: evil@example.net",
    traceparent: "mine",
    Precedence: "bulk",
  };
  const headers = headersOf(await parsed(withContent({ headers: own })));
  expect(Object.keys(headers).sort()).toEqual([...ALWAYS, "x-tag"].sort());
  for (const name of ALWAYS) expect(headers[name]).toHaveLength(1);
  expect(headers["from"]).toEqual([draft.from]);
  expect(headers["x-request-id"]).toEqual([draft.requestId]);
  expect(headers["x-tag"]).toEqual(["first Bcc: evil@example.net"]);
});

test.each([
  [0, "x-priority: 1, importance: high"],
  [1, ""],
  [2, "x-priority: 5, importance: low"],
] as const)("priority %p is said as %j", async (priority, expected) => {
  const { headers } = await parsed({ ...draft, priority });
  const said = headers.filter(({ key }) => /priority|importance/.test(key));
  expect(said.map(({ key, value }) => `${key}: ${value}`).sort((a, b) => (a < b ? 1 : -1))).toEqual(
    expected === "" ? [] : expected.split(", "),
  );
});

test("bulk mail names its list, and the way off it with one click (RFC 8058)", async () => {
  const unsubscribeUrl = `https://api.example.com/v1/unsubscribe/v1.${"a".repeat(480)}.${"b".repeat(43)}`;
  const headers = headersOf(await parsed({ ...draft, list: "news.weekly", unsubscribeUrl }));
  expect(headers).toMatchObject({
    "list-id": ["<news.weekly.example.com>"],
    "list-unsubscribe": [`<${unsubscribeUrl}>`],
    "list-unsubscribe-post": ["List-Unsubscribe=One-Click"],
    precedence: ["bulk"],
  });
  const plain = headersOf(await parsed({ ...draft, unsubscribeUrl }));
  expect(Object.keys(plain).sort()).toEqual(ALWAYS.sort());
  expect(headersOf(await parsed({ ...draft, list: "a..b." }))["list-id"]).toEqual(["<a.b.example.com>"]);
});

function file(fields: Partial<Attachment> = {}): Attachment {
  return { filename: "a.pdf", content_type: "application/pdf", content: "", ...fields };
}
const base64 = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString("base64");
const bytesOf = (content: ArrayBuffer | Uint8Array | string): Buffer => Buffer.from(content as ArrayBuffer);

test("attachments come out byte by byte, under their names, as attachments", async () => {
  const files = [
    file({ content: base64(new Uint8Array(256).map((_, at) => at)) }),
    file({ filename: "Прайс-лист 2026 (копия) — “финал”.xlsx", content_type: "application/vnd.ms-excel" }),
    file({ filename: "empty.txt", content_type: "text/plain" }),
    file({
      filename: `${"long name ".repeat(19)}.txt`,
      content_type: "text/plain",
      content: base64("lone\rCR, lone\nLF"),
    }),
    file({ filename: "emoji 👩‍👩‍👧 \u202Efdp.exe", content: base64("--boundary\r\n\r\n.\r\n") }),
    file({ filename: "it's; filename=evil.exe", content: base64("x") }),
    file({ filename: "=_utf-8_q_x_=.pdf", content: base64("x") }),
    file({ filename: "page.html", content_type: "text/html", content: base64("<script>alert(1)</script>") }),
  ];
  const mail = await parsed(withContent({ attachments: files }));
  expect(mail.attachments.map(({ filename, mimeType, disposition }) => ({ filename, mimeType, disposition }))).toEqual(
    files.map(({ filename, content_type }) => ({ filename, mimeType: content_type, disposition: "attachment" })),
  );
  for (const [at, { content }] of files.entries()) {
    expect(bytesOf(mail.attachments[at]?.content ?? "none").toString("base64")).toBe(content);
  }
  expect(mail.html).not.toContain("<script>");
  expect(mail.text?.trim()).toContain("Hello,");
});

test("an attachment with a content_id belongs to the HTML part", async () => {
  const logo = file({ filename: "logo.png", content_type: "image/png", content: base64("png"), content_id: "logo.1" });
  const html = '<img src="cid:logo.1">';
  const mail = await parsed(withContent({ html, attachments: [logo, file()] }));
  expect(mail.attachments).toMatchObject([
    { filename: "logo.png", disposition: "inline", contentId: "<logo.1>", related: true },
    { filename: "a.pdf", disposition: "attachment" },
  ]);
  const text = new TextDecoder().decode(await compose(withContent({ html, attachments: [logo, file()] })));
  expect(text.match(/multipart\/\w+/g)).toEqual(["multipart/mixed", "multipart/alternative", "multipart/related"]);
});

test.each(["message/rfc822", "multipart/mixed", "MESSAGE/External-Body"])(
  "%s is a file: receivers do not read it as a part",
  async (content_type) => {
    const content = base64("Subject: inner\r\nContent-Type: text/html\r\n\r\n<script>evil()</script>\r\n");
    const mail = await parsed(withContent({ attachments: [file({ filename: "m.eml", content_type, content })] }));
    expect(mail.attachments).toMatchObject([{ filename: "m.eml", mimeType: "application/octet-stream" }]);
    expect(bytesOf(mail.attachments[0]?.content ?? "").toString("base64")).toBe(content);
    expect(mail.html).not.toContain("<script>");
  },
);

test("nothing is read from files or the web", async () => {
  const sly = {
    ...file({ content: base64("x") }),
    path: "/etc/passwd",
    href: "http://127.0.0.1:1/",
    raw: "Bcc: e@x.y",
  };
  const sent = new TextDecoder().decode(await compose(withContent({ attachments: [sly] })));
  expect(sent).not.toContain("root:");
  expect(sent).not.toContain("Bcc");
});

test("a text with a content_id is an attachment: it would be read as part of what the mail says", async () => {
  const content = base64("<p>inner</p>");
  const mail = await parsed(
    withContent({ attachments: [file({ content_type: "text/html", content, content_id: "a" })] }),
  );
  expect(mail.attachments).toMatchObject([{ disposition: "attachment", contentId: "<a>" }]);
  expect(mail.html).not.toContain("inner");
});

test("References are ids, whatever they are given as", async () => {
  await fc.assert(
    fc.asyncProperty(anyHeader, async (References) => {
      const headers = headersOf(await parsed(withContent({ headers: { References } })));
      expect(Object.keys(headers).filter((name) => !ALWAYS.includes(name) && name !== "references")).toEqual([]);
      expect(headers["references"]?.length ?? 1).toBe(1);
      const plain = (text: string): string => text.replaceAll(/[\s<>]/g, "");
      expect(plain(headers["references"]?.[0] ?? "")).toBe(plain(References));
    }),
  );
});

test("HTML of a template goes as it is; without it, it is made from the text", async () => {
  const html = "<!doctype html>\r\n<p>Grüße &amp; 你好</p>\n";
  expect((await parsed(withContent({ html }))).html?.trim()).toBe(html.replace("\r", "").trim());
  expect((await parsed(draft)).html?.trim()).toBe(
    htmlOf(draft.subject, draft.content.text.replaceAll("\r", "")).trim(),
  );
});

test("a mail without text and subject is a mail", async () => {
  const mail = await parsed({ ...draft, subject: "", content: { text: "", to: ["bob@example.org"] } });
  expect(mail.text?.trim() ?? "").toBe("");
  expect(mail.subject ?? "").toBe("");
  expect(mail.to).toHaveLength(1);
});

test("every attempt sends the same bytes, also of content that was kept with its keys in another order", async () => {
  const full = withContent({
    reply_to: "desk@example.com",
    cc: ["cy@example.org"],
    headers: { "X-B": "2", "X-A": "1" },
    attachments: [file({ content: base64("x"), content_id: "c" })],
  });
  const turned = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(turned);
    if (typeof value !== "object" || value === null || value instanceof Date) return value;
    return Object.fromEntries(
      Object.entries(value)
        .toReversed()
        .map(([key, item]) => [key, turned(item)]),
    );
  };
  const bytes = await compose(full);
  expect(await compose({ ...full })).toEqual(bytes);
  expect(await compose(turned({ ...full, list: undefined }) as Draft)).toEqual(bytes);
  expect(await compose({ ...full, subject: "other" })).not.toEqual(bytes);
});

const PIECES = [
  "Bcc: evil@example.net",
  "\r\nBcc: evil@example.net",
  "\nTo: evil@example.net\n\n",
  "\r",
  ".",
  "..",
  "--",
  "From nobody",
  "<!--",
  "</p>",
  "=?utf-8?q?x?=",
  "=?utf-8?B?QmNjOiBlQHgueQ==?=",
  "=?utf-8?q?a b?=",
  '"',
  "  ",
  "\t",
  "=20=\n",
  "\u202Eesrever",
  "مرحبا",
  "👩‍👩‍👧",
  "é\u0301",
  "z".repeat(1_200),
  "--\r\nContent-Type: text/html\r\n\r\n<script>",
];
const piece = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom(...PIECES) },
  { weight: 1, arbitrary: fc.string({ unit: "grapheme", maxLength: 60 }) },
);
const anyText = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join("").replaceAll("\0", ""));
/** As the contract has them. */
const anySubject = anyText.map((text) =>
  text
    .replaceAll(/\p{Cc}/gu, "")
    .slice(0, 998)
    .toWellFormed(),
);
const anyHeader = anyText.map((text) => text.replaceAll(/[^\x20-\x7e]/g, "").slice(0, 900));
const anyName = fc.constantFrom("X-A", "x-B-c", "In-Reply-To", "Organization", "X-Priority");
const anyFilename = anyText
  .map((text) =>
    text
      .replaceAll(/[\p{Cc}/\\:*?"<>|]/gu, "")
      .slice(0, 200)
      .toWellFormed(),
  )
  .filter((name) => name !== "");
const anyContent: fc.Arbitrary<Content> = fc.record(
  {
    text: anyText,
    html: anyText.map((text) => `<p>${text.replaceAll("<", "")}</p>`),
    to: fc.array(fc.constantFrom("a@b.example", "c+d@e.example", "!#$%&'*+/=?^_`{|}~-@x.example"), {
      minLength: 1,
      maxLength: 5,
    }),
    cc: fc.array(fc.constantFrom("f@g.example", "h@i.example"), { minLength: 1, maxLength: 5 }),
    reply_to: fc.constant("reply@example.com"),
    headers: fc.dictionary(anyName, anyHeader, { maxKeys: 5 }),
    attachments: fc.array(
      fc.record(
        {
          filename: anyFilename,
          content_type: fc.constantFrom("text/html", "text/plain", "image/png", "application/x.y+z"),
          content: fc.uint8Array({ maxLength: 200 }).map(base64),
          content_id: fc.constantFrom("a", "b.c_d-e"),
        },
        { requiredKeys: ["filename", "content_type", "content"] },
      ),
      { maxLength: 3 },
    ),
  },
  { requiredKeys: ["text", "to"] },
);

test("whatever is given in each field comes out as it was, and adds no header, recipient or part", async () => {
  await fc.assert(
    fc.asyncProperty(anyContent, anySubject, async (content, subject) => {
      const mail = await parsed({ ...draft, content, subject });
      const lines = (text = ""): string => text.replaceAll(/\r\n?/g, "\n").trimEnd();
      expect(lines(mail.text)).toBe(lines(content.text.toWellFormed()));
      if (content.html !== undefined) expect(lines(mail.html)).toBe(lines(content.html.toWellFormed()));
      expect(mail.subject ?? "").toBe(subject);
      const { attachments = [], headers: own = {} } = content;
      const found = mail.attachments.map((part) => ({
        filename: part.filename,
        content_type: part.mimeType,
        content: base64(bytesOf(part.content)),
        ...(part.contentId === undefined ? {} : { content_id: part.contentId.slice(1, -1) }),
      }));
      // Those of the HTML part stand beside it, before the others.
      const related = (part: { content_id?: string }): number => (part.content_id === undefined ? 1 : 0);
      expect(found as unknown[]).toEqual([...attachments].sort((a, b) => related(a) - related(b)));

      const headers = headersOf(mail);
      for (const values of Object.values(headers)) expect(values).toHaveLength(1);
      for (const [name, value] of Object.entries(own)) {
        expect(headers[name.toLowerCase()] ?? [""]).toEqual([value.trim()]);
      }
      const extra = [...Object.keys(own).map((name) => name.toLowerCase()), "cc", "reply-to"];
      // Where there is but one part.
      if (content.text === "") extra.push("content-transfer-encoding");
      const unexpected = Object.keys(headers).filter((name) => !ALWAYS.includes(name) && !extra.includes(name));
      expect(unexpected).toEqual([]);
      expect(mail.to?.map(({ address }) => address)).toEqual([...content.to]);
      expect(mail.cc?.map(({ address }) => address)).toEqual(content.cc?.slice());
      expect(mail.bcc).toBeUndefined();
      const longest = Math.max(...mail.headerLines.flatMap(({ line }) => line.split("\n").map((one) => one.length)));
      // RFC 5322 §2.1.1
      expect(longest).toBeLessThanOrEqual(998);
    }),
    { numRuns: 1_000 },
  );
}, 120_000);

test("a text cannot end its own part: it does not know the boundary", async () => {
  const boundary = /boundary="([^"]+)"/.exec(new TextDecoder().decode(await compose(draft)))?.[1] ?? "";
  expect(boundary).not.toBe("");
  const text = `a\r\n--${boundary}\r\nContent-Type: text/html\r\n\r\n<script>evil()</script>\r\n--${boundary}--\r\n`;
  const mail = await parsed(withContent({ text }));
  expect(mail.html).not.toContain("<script>");
  expect(mail.text).toContain(boundary);
});
