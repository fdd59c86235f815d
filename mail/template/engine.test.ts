/** What a template can do, and what neither it nor a variable can. */
import { expect, test } from "bun:test";
import { type MailFacts, makeEngine, OUTPUT_MAX } from "./engine.ts";

const MAIL: MailFacts = { locale: "en", dir: "ltr" };

function html(source: string, variables: object = {}, format = "en"): string {
  const engine = makeEngine(true);
  const result = engine.render(engine.parse(source, "f"), variables, MAIL, format);
  return result.ok ? result.value : `${result.error.code}: ${result.error.message}`;
}

function plain(source: string, variables: object = {}): string {
  const engine = makeEngine(false);
  const result = engine.render(engine.parse(source, "f"), variables, MAIL, "en");
  return result.ok ? result.value : `${result.error.code}: ${result.error.message}`;
}

test("a variable is text in HTML, and itself in text", () => {
  const x = `<script>"&'</script>`;
  expect(html("<p title='{{ x }}'>{{ x }}</p>", { x })).toBe(
    "<p title='&lt;script&gt;&quot;&amp;&#x27;&lt;/script&gt;'>&lt;script&gt;&quot;&amp;&#x27;&lt;/script&gt;</p>",
  );
  expect(plain("{{ x }}", { x })).toBe(x);
});

test.each(["{{ 7 | times: 7 }}", "{% for i in (1..9) %}x{% endfor %}", "{{ mail.locale }}"])(
  "Liquid in a variable stays text: %s",
  (x) => {
    expect(html("{{ x }}", { x })).toBe(Bun.escapeHTML(x));
    expect(html("{{ x | append: '' | upcase }}", { x })).toBe(Bun.escapeHTML(x.toUpperCase()));
    expect(plain("{% assign y = x %}{{ y }}", { x })).toBe(x);
  },
);

test.each([
  ["{{ x | raw }}", "undefined filter: raw"],
  ["{{ x | escape }}", "undefined filter: escape"],
  ["{{ x | where_exp: 'i', 'i' }}", "undefined filter: where_exp"],
  ["{{ x | newline_to_br }}", "undefined filter: newline_to_br"],
  ["{{ x | sample }}", "undefined filter: sample"],
  ["{% raw %}{{ x }}{% endraw %}", 'tag "raw" not found'],
  ["{% render 'a' %}", 'tag "render" not found'],
  ["{% include '/etc/passwd' %}", 'tag "include" not found'],
  ["{% layout 'a' %}", 'tag "layout" not found'],
  ["{% echo x %}", 'tag "echo" not found'],
  ["{% cycle x, x %}", 'tag "cycle" not found'],
  ["{% liquid echo x %}", 'tag "liquid" not found'],
  ["{% if", "not closed"],
])("%s is refused when it is parsed", (source, message) => {
  expect(() => makeEngine(true).parse(source, "f")).toThrow(message);
});

test.each(["x.constructor", "x.__proto__", "constructor", "__proto__", "x.toString", "list.constructor"])(
  "%s is not there",
  (path) => {
    expect(html(`{{ ${path} }}`, { x: {}, list: [] })).toStartWith("invalid: undefined variable");
  },
);

test("what JSON brings as __proto__ reaches nobody's prototype", () => {
  const variables = JSON.parse('{"__proto__":{"polluted":"yes"},"x":{"__proto__":{"polluted":"yes"}}}') as object;
  expect(html("{% if polluted %}a{% endif %}{% if x.polluted %}b{% endif %}", variables)).toBe("");
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
});

test("what is captured is escaped twice rather than not at all", () => {
  expect(html("{% capture y %}<b>{{ x }}</b>{% endcapture %}{{ y }}", { x: "<" })).toBe("&lt;b&gt;&amp;lt;&lt;/b&gt;");
});

test("no list and no object is text", () => {
  expect(html("{{ x }}", { x: [1] })).toContain("a list or an object is no text");
  expect(html("{{ x }}{{ y }}{{ z }}", { x: 1.5, y: true, z: null })).toBe("1.5true");
});

test.each([
  "{% for i in (1..n) %}{% for j in (1..n) %}{% for k in (1..n) %}{{ i }}{% endfor %}{% endfor %}{% endfor %}",
  "{% for i in (1..100000000) %}{% endfor %}",
  "{% assign y = 'xx' %}{% for i in (1..n) %}{% assign y = y | append: y %}{% endfor %}{{ y }}",
])("a loop has an end: %s", (source) => {
  const startedAt = performance.now();
  expect(html(source, { n: 1_000 })).toStartWith("invalid: ");
  expect(performance.now() - startedAt).toBeLessThan(3_000);
});

test("more than half a MiB does not come out, however it is made", () => {
  expect(plain("{{ x }}", { x: "a".repeat(OUTPUT_MAX) })).toHaveLength(OUTPUT_MAX);
  const told = `invalid: more than ${OUTPUT_MAX} bytes come out`;
  expect(plain("{{ x }}", { x: "a".repeat(OUTPUT_MAX + 1) })).toBe(told);
  expect(plain("{{ x }}", { x: "é".repeat(OUTPUT_MAX / 2 + 1) })).toBe(told);
  expect(html("{{ x }}", { x: "<".repeat(OUTPUT_MAX / 4 + 1) })).toBe(told);
  expect(plain(`{% for i in (1..2000) %}${"a".repeat(500)}{% endfor %}`)).toBe(told);
  // The next one has its own measure.
  expect(plain("{{ x }}", { x: "ok" })).toBe("ok");
});

test("a variable nested deep is no matter", () => {
  let x: unknown = "deep";
  for (let level = 0; level < 5_000; level += 1) x = { x };
  expect(html("{{ x.x.x }}", { x })).toContain("a list or an object is no text");
});

test("dates and numbers as the reader has them", () => {
  const variables = { at: "2026-11-23T23:30:00+01:00", n: 1234567.5, zone: "America/New_York" };
  expect(html("{{ at | date }}", variables)).toBe("November 23, 2026 at 22:30 UTC");
  expect(html("{{ at | date: zone }}", variables)).toBe("November 23, 2026 at 17:30 EST");
  expect(html("{{ at | date: 'Europe/Vienna' }}", variables, "de-AT")).toBe("23. November 2026 um 23:30 MEZ");
  expect(html("{{ n | number }} {{ n | number: 2 }} {{ 3 | number: 0 }}", variables)).toBe(
    "1,234,567.5 1,234,567.50 3",
  );
  expect(html("{{ n | number: 2 }}", variables, "de")).toBe("1.234.567,50");
  for (const at of ["now", "today", "tomorrow", 1_700_000_000, "2026-11-23", "2026-13-45T00:00:00Z", null]) {
    expect(html("{{ at | date }}", { at })).toStartWith("invalid: date: ");
  }
  expect(html("{{ at | number }}", variables)).toStartWith("invalid: number: ");
});

test("whether a variable is there can be asked; using one that is not is an error", () => {
  expect(html("{% if x %}{{ x }}{% else %}none{% endif %}")).toBe("none");
  expect(html("{{ x | default: 'none' }}")).toBe("none");
  expect(html("a {{ x }}")).toBe("invalid: undefined variable: x");
});
