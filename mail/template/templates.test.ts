/** The templates that are built in, and how one is chosen. */
import { expect, test } from "bun:test";
import { silentLog } from "#shared/log";
import { look } from "./markup.ts";
import { openTemplates, type Rendered } from "./templates.ts";

const templates = openTemplates({ defaultLocale: "en", log: silentLog });
const all = templates
  .list()
  .flatMap((view) => view.locales.map((locale) => [view.name, locale, view.example] as const));

async function rendered(choice: Parameters<typeof templates.render>[0]): Promise<Rendered> {
  const result = await templates.render(choice);
  if (!result.ok) throw result.error;
  return result.value;
}

async function refusal(choice: Parameters<typeof templates.render>[0]): Promise<string> {
  const result = await templates.render(choice);
  return result.ok ? "rendered" : `${result.error.code}: ${result.error.message}`;
}

/** What the body of an HTML document says. */
function wordsOf(html: string): string {
  let words = "";
  new HTMLRewriter().on("body *", { text: ({ text }) => void (words += text) }).transform(html);
  return words.replaceAll(/\s+/g, " ");
}

/** Every text in a value. */
function textsOf(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(textsOf) : [];
}

test("the six are there, in English and German", () => {
  expect(templates.list().map(({ name, version, locales }) => [name, version, locales])).toEqual([
    ["account-changed", 1, ["de", "en"]],
    ["alert", 1, ["de", "en"]],
    ["new-sign-in", 1, ["de", "en"]],
    ["reset-password", 1, ["de", "en"]],
    ["verify-address", 1, ["de", "en"]],
    ["welcome", 1, ["de", "en"]],
  ]);
});

test.each(all)(
  "%s in %s: a whole document, nothing loaded, nothing run, every link also in the text",
  async (name, locale, example) => {
    const mail = await rendered({ name, locale, variables: example });
    expect(mail.html).toStartWith(`<!doctype html>\n<html lang="${locale}" dir="ltr">`);
    expect(mail.html).toContain(`<title>${mail.subject.replaceAll("'", "&#x27;")}</title>`);
    expect(mail.html).toContain("@media (prefers-color-scheme: dark)");
    expect(mail.html).toContain('<h1 style="margin: 0 0 16px;');
    const { problems, links } = look(mail.html);
    expect(problems).toEqual([]);
    const given = textsOf(example).filter((text) => text.startsWith("https://"));
    expect(new Set(links)).toEqual(new Set(given));
    for (const link of given) expect(mail.text).toContain(link);
    for (const part of [mail.subject, mail.html, mail.text])
      expect(part).not.toMatch(/\{[{%]|[%}]\}|undefined|\[object|WHEN/);
    // A table's own words aside, the text says what the HTML says.
    expect(mail.text.length).toBeGreaterThan(wordsOf(mail.html).length / 2);
  },
);

test.each([
  [
    "welcome",
    "en",
    ["your account for ann@example.org is ready", "If you did not register, somebody else gave your address."],
  ],
  ["welcome", "de", ["Ihr Konto für ann@example.org ist bereit", "hat jemand anderes Ihre Adresse angegeben"]],
  [
    "verify-address",
    "en",
    ["https://app.example.com/verify?token=9f2c1e&next=%2Fstart", "It works once, for 60 minutes."],
  ],
  ["verify-address", "de", ["Er gilt einmal, 60 Minuten lang."]],
  [
    "reset-password",
    "en",
    ["for the account ann@example.org", "It works once, for 30 minutes.", "your password stays as it is"],
  ],
  ["reset-password", "de", ["Ihr Passwort bleibt, wie es ist"]],
  [
    "new-sign-in",
    "en",
    ["November 23, 2026 at 11:00 GMT+1", "203.0.113.7", "Firefox on Windows 11", "Vienna, Austria"],
  ],
  ["new-sign-in", "de", ["23. November 2026 um 11:00 MEZ"]],
  [
    "account-changed",
    "en",
    ["The account ann@example.org has a new password since November 23, 2026 at 11:00 GMT+1", "If it was not, choose"],
  ],
  [
    "account-changed",
    "de",
    ["Das Passwort des Kontos ann@example.org wurde geändert", "23. November 2026 um 11:00 MEZ"],
  ],
  ["alert", "en", ["Outbox is not draining", "Critical", "421 4.7.0 try again later"]],
  ["alert", "de", ["Kritisch", "23. November 2026 um 11:00 MEZ"]],
])("%s in %s says what it has to, in HTML and in text", async (name, locale, lines) => {
  const variables = templates.list().find((view) => view.name === name)?.example ?? {};
  const mail = await rendered({ name, locale, variables });
  const html = wordsOf(mail.html).replaceAll("&amp;", "&").toLowerCase();
  for (const line of lines) {
    expect(html).toContain(line.toLowerCase());
    // In the text, a link may stand where the HTML has a sentence.
    expect(mail.text.replaceAll(/\s+/g, " ").toLowerCase()).toContain(line.replace(/^It works/, "works").toLowerCase());
  }
});

test("a change of the address is told as such, and by no link that could let anybody in", async () => {
  const variables = {
    address: "ann@example.org",
    change: "address",
    at: "2026-11-23T10:00:00Z",
    url: "https://app.example.com/",
  };
  for (const [locale, subject, line] of [
    ["en", "The address of your account was changed", "The account that had the address ann@example.org has another"],
    ["de", "Die Adresse Ihres Kontos wurde geändert", "Das Konto mit der Adresse ann@example.org hat nun eine andere"],
  ] as const) {
    const mail = await rendered({ name: "account-changed", locale, variables });
    expect(mail.subject).toBe(subject);
    expect(wordsOf(mail.html)).toContain(line);
    expect(mail.text.toLowerCase()).toContain(line.toLowerCase());
    expect(mail.text).not.toMatch(/passwor[dt]/i);
    expect(look(mail.html)).toMatchObject({ problems: [], links: [variables.url] });
  }
  for (const url of ["https://app.example.com/reset-password#token=x", "https://app.example.com/?token=x"])
    expect(await refusal({ name: "account-changed", variables: { ...variables, url } })).toContain(
      "variables.url must match",
    );
  expect(await refusal({ name: "account-changed", variables: { ...variables, change: "role" } })).toContain(
    "variables.change must",
  );
});

test("one minute is not 1 minutes", async () => {
  const variables = { address: "a@example.org", reset_url: "https://example.org/r", expires_minutes: 1 };
  expect((await rendered({ name: "reset-password", variables })).text).toContain("for one minute.");
  expect((await rendered({ name: "reset-password", locale: "de", variables })).text).toContain("eine Minute lang");
});

test("the same choice is the same bytes", async () => {
  const choice = { name: "alert", variables: templates.list()[0]?.example ?? {} };
  const again = openTemplates({ defaultLocale: "en", log: silentLog });
  expect(await again.render(choice)).toEqual(await templates.render(choice));
});

test.each([
  ["de-AT", "de"],
  ["de-Latn-CH", "de"],
  ["fr", "en"],
  [undefined, "en"],
])("asked for %s: %s is taken", async (locale, taken) => {
  const variables = { address: "ann@example.org" };
  const mail = await rendered({ name: "welcome", variables, ...(locale === undefined ? {} : { locale }) });
  expect(mail).toMatchObject({ locale: taken, version: 1 });
});

test("DEFAULT_LOCALE falls back by itself too; dates are as the reader's region has them", async () => {
  const austrian = openTemplates({ defaultLocale: "de-AT", log: silentLog });
  const fallen = await austrian.render({ name: "welcome", locale: "fr", variables: { address: "ann@example.org" } });
  expect(fallen).toMatchObject({ ok: true, value: { locale: "de" } });
  const variables = { address: "a@example.org", at: "2026-01-23T10:00:00Z", sessions_url: "https://example.org/s" };
  expect((await rendered({ name: "new-sign-in", locale: "de-AT", variables })).text).toContain("23. Jänner 2026");
  expect((await rendered({ name: "new-sign-in", locale: "de", variables })).text).toContain("23. Januar 2026");
});

test.each<[string, Parameters<typeof templates.render>[0], string]>([
  ["no such template", { name: "nope" }, 'template: there is no "nope"; there are account-changed, alert,'],
  ["a name of every object", { name: "constructor" }, 'there is no "constructor"'],
  ["no such version", { name: "welcome", version: 7 }, 'there is no version 7 of "welcome"; there are 1'],
  ["a variable is missing", { name: "welcome" }, "variables.address is needed"],
  [
    "a variable too many",
    { name: "welcome", variables: { address: "a@b.c", name: "x" } },
    "variables.name is not a known field",
  ],
  ["another type", { name: "welcome", variables: { address: 7 } }, "variables.address must be text"],
  [
    "code in a link",
    { name: "welcome", variables: { address: "a@b.c", sign_in_url: "javascript:alert(1)" } },
    "variables.sign_in_url must match",
  ],
  [
    "a link to somewhere else than it seems",
    { name: "welcome", variables: { address: "a@b.c", sign_in_url: "https://bank.example@evil.example/" } },
    "variables.sign_in_url must match",
  ],
  [
    "no such time zone",
    {
      name: "alert",
      variables: { severity: "info", title: "t", source: "s", at: "2026-11-23T10:00:00Z", time_zone: "Mars/Olympus" },
    },
    'template "alert": html: date: "Mars/Olympus" is no time zone',
  ],
])("%s: invalid, and the message says what", async (_what, choice, message) => {
  expect(await refusal(choice)).toStartWith("invalid: ");
  expect(await refusal(choice)).toContain(message);
});

test.each(["http://evil.example", "evil.example", "x <a href=//evil>", "a\nb", "a\u202eb", "me@evil.example"])(
  "what a stranger's browser says of itself cannot be a link: %j",
  async (device) => {
    const variables = {
      address: "a@example.org",
      at: "2026-01-23T10:00:00Z",
      sessions_url: "https://example.org/s",
      device,
    };
    expect(await refusal({ name: "new-sign-in", variables })).toContain("variables.device must match");
  },
);

test("an alert with hostile text: text in HTML, whole in the text part, one line in the subject", async () => {
  const title = `<script>alert(1)</script> "quoted" 'it' {{ 7 | times: 7 }} {% if true %}`;
  const text = "first\n<img src=x onerror=alert(1)>\nlast";
  const mail = await rendered({
    name: "alert",
    variables: { severity: "info", title, text, source: "</td></table>", at: "2026-11-23T10:00:00Z" },
  });
  expect(mail.subject).toBe(`[Info] ${title}`);
  expect(mail.text).toContain(text);
  expect(mail.html).toContain(
    "&lt;script&gt;alert(1)&lt;/script&gt; &quot;quoted&quot; &#x27;it&#x27; {{ 7 | times: 7 }} {% if true %}",
  );
  expect(mail.html).toContain("&lt;img src=x onerror=alert(1)&gt;");
  expect(mail.html.match(/<\/table>/g)).toHaveLength(3);
  expect(look(mail.html).problems).toEqual([]);
});
