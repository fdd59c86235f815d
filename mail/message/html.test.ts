/** The HTML part that is made from a text: links and paragraphs, and nothing of it is markup. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { escapeHtml, htmlOf } from "./message.ts";

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
