/** Templates of one's own: TEMPLATES_DIR. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { StartError } from "#shared/lifecycle";
import { makeLog, silentLog } from "#shared/log";
import { openTemplates } from "./templates.ts";

const made: string[] = [];
afterAll(() => made.forEach((path) => rmSync(path, { recursive: true, force: true })));

const DEFINITION = JSON.stringify({
  description: "d",
  schema: {
    type: "object",
    additionalProperties: false,
    required: ["name"],
    properties: {
      name: { type: "string" },
      note: { type: "string" },
      url: { type: "string", format: "uri", pattern: "^https?://", maxLength: 2_048 },
    },
  },
  example: { name: "Ann", note: "n", url: "https://example.org/a?b=1&c=2" },
});
const GOOD: Readonly<Record<string, string>> = {
  "hello/1/template.json": DEFINITION,
  "hello/1/en.subject.liquid": "Hello {{ name }}\n",
  "hello/1/en.html.liquid": '<p>Hello {{ name }}{% if url %}<a href="{{ url }}">x</a>{% endif %}</p>\n',
  "hello/1/en.text.liquid": "Hello {{ name }}{% if url %} {{ url }}{% endif %}\n",
};

/** A directory with `GOOD` in it, changed by `files` (undefined: not there). */
function directoryOf(files: Readonly<Record<string, string | undefined>>): string {
  const directory = mkdtempSync(join(tmpdir(), "mail-templates-"));
  made.push(directory);
  for (const [path, text] of Object.entries({ ...GOOD, ...files })) {
    if (text === undefined) continue;
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  return directory;
}

function open(directory: string) {
  return openTemplates({ directory, defaultLocale: "en", log: silentLog });
}

function problemsOf(directory: string): string {
  try {
    open(directory);
    return "";
  } catch (error) {
    if (error instanceof StartError) return error.message;
    throw error;
  }
}

test("a template of one's own is there beside the others, in the same layout", async () => {
  const templates = open(directoryOf({ ".git/config": "x", "hello/1/..data": "x" }));
  expect(templates.list().map(({ name }) => name)).toEqual([
    "account-changed",
    "alert",
    "hello",
    "new-sign-in",
    "reset-password",
    "verify-address",
    "welcome",
  ]);
  const mail = await templates.render({ name: "hello", variables: { name: "<b>" } });
  expect(mail).toMatchObject({ ok: true, value: { subject: "Hello <b>", text: "Hello <b>\n" } });
  expect(mail.ok && mail.value.html).toContain('<p style="margin: 0 0 16px;">Hello &lt;b&gt;</p>');
});

test("of the same name and version, the directory's is taken whole, and the log says so", async () => {
  const lines: string[] = [];
  const directory = directoryOf({
    "welcome/1/template.json": DEFINITION,
    "welcome/1/fr.subject.liquid": "Bienvenue",
    "welcome/1/fr.html.liquid": "<p>{{ name }}</p>",
    "welcome/1/fr.text.liquid": "{{ name }}",
    "layout.text.liquid": "{{ content }}\n-- \nThe team\n",
  });
  const log = makeLog({ service: "mail", write: (line) => lines.push(line) });
  const templates = openTemplates({ directory, defaultLocale: "en", log });
  expect(lines.join("")).toContain('"replaced":"welcome/1, layout.text.liquid"');
  const mail = await templates.render({ name: "welcome", locale: "de", variables: { name: "Ann" } });
  expect(mail).toMatchObject({ ok: true, value: { locale: "fr", subject: "Bienvenue", text: "Ann\n--\nThe team\n" } });
});

test("the newest version is taken where none is named; the older ones stay", async () => {
  const files = Object.fromEntries(
    [2, 10].flatMap((version) =>
      Object.entries(GOOD).map(([path, text]) => [
        path.replace("/1/", `/${version}/`),
        text.replace("Hello", `Hello${version}`),
      ]),
    ),
  );
  const templates = open(directoryOf(files));
  const subjectOf = async (version?: number): Promise<unknown> => {
    const variables = { name: "Ann" };
    const mail = await templates.render({ name: "hello", variables, ...(version === undefined ? {} : { version }) });
    return mail.ok ? [mail.value.version, mail.value.subject] : mail.error.message;
  };
  expect(await subjectOf()).toEqual([10, "Hello10 Ann"]);
  expect(await subjectOf(2)).toEqual([2, "Hello2 Ann"]);
  expect(await subjectOf(3)).toBe('template: there is no version 3 of "hello"; there are 1, 2, 10');
  expect(
    templates
      .list()
      .filter(({ name }) => name === "hello")
      .map(({ version }) => version),
  ).toEqual([1, 2, 10]);
});

test("a subject is one line whatever is in it, and not longer than a subject may be", async () => {
  const templates = open(directoryOf({}));
  const subjectOf = async (name: string): Promise<string> => {
    const mail = await templates.render({ name: "hello", variables: { name } });
    return mail.ok ? mail.value.subject : mail.error.message;
  };
  expect(await subjectOf("a\r\nBcc: evil@example.org\u2028b\u0007\tc")).toBe("Hello a Bcc: evil@example.org b c");
  expect(await subjectOf("x".repeat(992))).toHaveLength(998);
  expect(await subjectOf("x".repeat(993))).toBe(
    'template "hello": subject: longer than 998 characters with these variables',
  );
});

test("a text of many spaces is tidied in no time", async () => {
  const templates = open(
    directoryOf({ "hello/1/en.text.liquid": "Hello {{ name }}{% if url %} {{ url }}{% endif %} \t \n!" }),
  );
  const name = `a${" ".repeat(100_000)}b`;
  const startedAt = performance.now();
  const mail = await templates.render({ name: "hello", variables: { name } });
  expect(performance.now() - startedAt).toBeLessThan(1_000);
  expect(mail.ok && mail.value.text === `Hello ${name}\n!\n`).toBe(true);
});

test("a locale that reads from right to left says so; the first locale is taken where there is no other", async () => {
  const files = Object.fromEntries(Object.entries(GOOD).map(([path, text]) => [path.replace("/en.", "/ar."), text]));
  const gone = Object.fromEntries(Object.keys(GOOD).map((path) => [path, undefined]));
  const mail = await open(directoryOf({ ...gone, ...files })).render({
    name: "hello",
    locale: "fr",
    variables: { name: "x" },
  });
  expect(mail.ok && mail.value.html).toContain('<html lang="ar" dir="rtl">');
});

test.each<[string, Record<string, string | undefined>, string]>([
  ["no text part", { "hello/1/en.text.liquid": undefined }, "hello/1: en.text.liquid is missing"],
  ["no definition", { "hello/1/template.json": undefined }, "hello/1: template.json is missing"],
  ["no JSON", { "hello/1/template.json": "{" }, "hello/1/template.json: is not JSON"],
  [
    "a field too many",
    { "hello/1/template.json": DEFINITION.replace('"description"', '"descr":1,"description"') },
    "template.json: descr is not a known field",
  ],
  [
    "an example that does not fit",
    { "hello/1/template.json": DEFINITION.replace('"Ann"', "7") },
    "template.json: example: variables.name must be text",
  ],
  [
    "an open schema",
    { "hello/1/template.json": DEFINITION.replace('"additionalProperties":false,', "") },
    "schema.additionalProperties must be false",
  ],
  [
    "a misspelt variable",
    { "hello/1/en.text.liquid": "{% if false %}{{ nam }}{% endif %}x" },
    "en.text.liquid: {{ nam }} is not in the schema; there are name, note, url",
  ],
  [
    "a variable that may be absent",
    { "hello/1/en.text.liquid": "{{ url }} {{ note }}" },
    "hello/1/en with the example without what may be left out: text: undefined variable: url",
  ],
  ["no Liquid", { "hello/1/en.html.liquid": "\n\n  {% if x" }, "en.html.liquid: tag"],
  [
    "a filter that is not there",
    { "hello/1/en.html.liquid": "a\n{{ name | raw }}" },
    "en.html.liquid: undefined filter: raw, line:2, col:1",
  ],
  [
    "a file that is included",
    { "hello/1/en.html.liquid": "{% include '../../../etc/passwd' %}" },
    'tag "include" not found',
  ],
  [
    "an endless loop",
    { "hello/1/en.text.liquid": "{% for i in (1..9999) %}{% for j in (1..9999) %}{{ j }}{% endfor %}{% endfor %}" },
    "hello/1/en with the example: text: ",
  ],
  ["a script", { "hello/1/en.html.liquid": "<script>1</script>" }, "<script> may not be in a mail"],
  [
    "a picture from elsewhere",
    { "hello/1/en.html.liquid": '<img src="https://example.org/p">' },
    "a picture has to be attached",
  ],
  [
    "a picture from elsewhere that the example does not show",
    { "hello/1/en.html.liquid": '{% if name == "Bob" %}<img src="https://example.org/p">{% endif %}' },
    "a picture has to be attached",
  ],
  ["a variable as a link", { "hello/1/en.html.liquid": '<a href="{{ name }}">' }, "href may only be one variable"],
  [
    "a link that the text has not",
    { "hello/1/en.text.liquid": "Hello {{ name }}" },
    "the text does not have the link https://example.org/a?b=1&c=2",
  ],
  ["an empty subject", { "hello/1/en.subject.liquid": "\n" }, "the subject is empty"],
  ["an empty text", { "hello/1/en.html.liquid": "<p>x</p>", "hello/1/en.text.liquid": "\n" }, "the text is empty"],
  ["a locale that is none", { "hello/1/EN.text.liquid": "x" }, '"EN" is no locale'],
  [
    "a variable as a link by another name",
    { "hello/1/en.html.liquid": '{% assign url = name %}<a href="{{ url }}">x</a>' },
    "href may not be a variable that the template itself sets",
  ],
  ["a file with no place", { "hello/1/en.htm.liquid": "x" }, "hello/1/en.htm.liquid: has no place here"],
  [
    "a version that is no number",
    { "hello/v1/template.json": DEFINITION },
    "hello/v1/template.json: has no place here",
  ],
  ["a directory too deep", { "hello/1/en/a/b/c": "x" }, "has no place here"],
  [
    "a layout without content",
    { "layout.html.liquid": "<p>x</p>" },
    "layout.html.liquid: has to have {{ content }} in one place",
  ],
  ["a huge file", { "hello/1/en.text.liquid": "x".repeat(300_000) }, "is longer than 262144 characters"],
])("%s stops the start", (_what, files, message) => {
  const directory = directoryOf(files);
  const told = problemsOf(directory);
  expect(told).toContain("the mail templates are wrong:\n");
  expect(told).toContain(message);
  expect(told).toContain(directory);
});

test("all that is wrong is told at once", () => {
  const told = problemsOf(
    directoryOf({ "hello/1/en.text.liquid": "{{ nam }}", "hello/1/en.html.liquid": "{% x %}", "b/1/x": "" }),
  );
  expect(told.split("\n")).toHaveLength(4);
});

test("a directory that is not there stops the start; one that leads into itself has an end", () => {
  expect(problemsOf("/nowhere")).toContain("TEMPLATES_DIR /nowhere: cannot be read: ENOENT");
  const directory = directoryOf({});
  symlinkSync(directory, join(directory, "loop"));
  expect(problemsOf(directory)).toContain("has no place here");
});

test("what is neither file nor directory stops the start, rather than being waited for", () => {
  const directory = directoryOf({ "hello/1/en.text.liquid": undefined });
  Bun.spawnSync(["mkfifo", join(directory, "hello/1/en.text.liquid")]);
  expect(problemsOf(directory)).toContain(
    `TEMPLATES_DIR ${directory}: cannot be read: hello/1/en.text.liquid is no file`,
  );
});
