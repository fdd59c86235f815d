/** Bytes of a mail: what was given comes out, and nothing else does. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import PostalMime from "postal-mime";
import { compose, type Draft, escapeHtml, htmlOf, messageIdOf } from "./message.ts";

const draft: Draft = {
  messageId: messageIdOf("0192a000-0000-7000-8000-000000000001", "example.com"),
  from: "ann@example.com",
  subject: "Grüße — 你好",
  content: { text: "Hello,\r\n\r\nsee https://example.com/a?b=c&d=e.\r\nBye", to: ["bob@example.org"] },
  date: new Date("2026-11-23T10:00:00Z"),
  requestId: "request-1",
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  priority: 1,
};

test("a mail has its text, an HTML part made from it, and the headers of a machine's mail", async () => {
  const mail = await PostalMime.parse(await compose(draft));
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
  const headers = new Map(mail.headers.map(({ key, value }) => [key, value]));
  expect(headers.get("auto-submitted")).toBe("auto-generated");
  expect(headers.get("x-request-id")).toBe(draft.requestId);
  expect(headers.get("traceparent")).toBe(draft.traceparent);
});

test("every attempt sends the same bytes", async () => {
  expect(await compose(draft)).toEqual(await compose({ ...draft }));
});

test("whatever the text and the subject are, they come out as they were and add no header, recipient or part", async () => {
  const line = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 200 }),
    fc.constantFrom("Bcc: evil@example.net", ".", "..", "--", "From nobody", "<!--", "</p>", "=?utf-8?q?x?=", "\r"),
  );
  const texts = fc.array(line, { maxLength: 8 }).map((lines) => lines.join("\r\n").replaceAll("\0", ""));
  const subjects = fc.string({ unit: "grapheme", maxLength: 300 }).map((text) => text.replaceAll(/\p{Cc}/gu, ""));
  await fc.assert(
    fc.asyncProperty(texts, subjects, async (message, subject) => {
      const mail = await PostalMime.parse(
        await compose({ ...draft, content: { ...draft.content, text: message }, subject }),
      );
      const expected = message.replaceAll(/\r\n?/g, "\n").trimEnd();
      expect(mail.text?.replaceAll("\r\n", "\n").trimEnd() ?? "").toBe(expected);
      expect(mail.to).toMatchObject([{ address: "bob@example.org" }]);
      expect(mail.bcc).toBeUndefined();
      expect(mail.cc).toBeUndefined();
      expect(mail.attachments).toHaveLength(0);
      expect((mail.subject ?? "").replaceAll(/\s/g, "")).toBe(subject.replaceAll(/\s/g, ""));
    }),
    { numRuns: 60 },
  );
}, 30_000);

test("a text cannot end its own part: it does not know the boundary", async () => {
  const boundary = /boundary="([^"]+)"/.exec(new TextDecoder().decode(await compose(draft)))?.[1] ?? "";
  expect(boundary).not.toBe("");
  const message = `a\r\n--${boundary}\r\nContent-Type: text/html\r\n\r\n<script>evil()</script>\r\n--${boundary}--\r\n`;
  const mail = await PostalMime.parse(await compose({ ...draft, content: { ...draft.content, text: message } }));
  expect(mail.html).not.toContain("<script>");
  expect(mail.text).toContain(boundary);
});

test("text is only text in the HTML part", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...`<>"'&;#ab \u0000`.split(""), "é", "😀") }), (text) => {
      const escaped = escapeHtml(text);
      expect(escaped).not.toMatch(/[<>"']/);
      expect(escaped.replaceAll(/&(amp|lt|gt|quot|#39);/g, "")).not.toContain("&");
    }),
    { numRuns: 500 },
  );
  const html = htmlOf(`</title><script>`, `<img src=x onerror=alert(1)> "quoted" & 'more'`);
  expect(html).toContain("<title>&lt;/title&gt;&lt;script&gt;</title>");
  expect(html).toContain("&lt;img src=x onerror=alert(1)&gt; &quot;quoted&quot; &amp; &#39;more&#39;");
});

test.each([
  ["https://example.com/x", '<a href="https://example.com/x">https://example.com/x</a>'],
  ["(http://a.example).", '(<a href="http://a.example">http://a.example</a>).'],
  ["javascript:alert(1)", "javascript:alert(1)"],
  ["https://", "https://"],
  [`https://a.example/"onclick="x`, '<a href="https://a.example/">https://a.example/</a>&quot;onclick=&quot;x'],
  ["http://a.example/<b>", '<a href="http://a.example/">http://a.example/</a>&lt;b&gt;'],
])("%s in a text becomes %s", (text, html) => {
  expect(htmlOf("", text)).toContain(`<p style="margin:0 0 16px">${html}</p>`);
});

test("empty lines part paragraphs, other line ends are kept", () => {
  const html = htmlOf("", "one\ntwo\n\n \n\nthree\n");
  expect(html.match(/<p [^>]*>[\s\S]*?<\/p>/g)).toEqual([
    '<p style="margin:0 0 16px">one<br>\ntwo</p>',
    '<p style="margin:0 0 16px">three</p>',
  ]);
});

test.each([
  ["links", "https://a.example/.,.,.,.,.,. ".repeat(30_000)],
  ["one link that ends in dots", `https://a${".".repeat(1_000_000)}`],
  ["one link with dots in it", `https://a${".".repeat(1_000_000)}x`],
  ["empty lines", "\n \n".repeat(300_000)],
])("a megabyte of %s takes time in proportion", (_what, text) => {
  const startedAt = performance.now();
  htmlOf("", text);
  // Minutes where it is quadratic.
  expect(performance.now() - startedAt).toBeLessThan(4_000);
});
