/** What is checked of a mail before it is kept, and what is kept of it. Addresses: addresses.test.ts. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { MailMessage } from "#contracts/mail";
import { fail, ok } from "#shared/errors";
import { makeValidator } from "#shared/validation";
import { ATTACHMENTS_MAX_BYTES } from "./attachments.ts";
import { contentHashOf, makePrepare, ordered, type RequestOptions } from "./request.ts";
import type { Rendered } from "./template/templates.ts";

const NOW = Date.parse("2026-11-23T10:00:00Z");
const mail = { from: "me@example.com", to: "you@there.example", subject: "Hi", message: "Hello" };
const welcome: Rendered = {
  name: "welcome",
  version: 2,
  locale: "de",
  subject: "Hallo",
  html: "<p>Hallo</p>",
  text: "Hallo",
};
const mailOf = makeValidator(MailMessage);

function prepareWith(options: Partial<RequestOptions> = {}) {
  const defaults = { allowedSenders: ["*"], allowedRecipients: ["*"], quotaPerHour: 0, now: () => NOW };
  const prepare = makePrepare({ ...defaults, render: async () => ok(welcome), listsReady: ok(), ...options });
  return async (message: object) => {
    const valid = mailOf(message);
    return valid.ok ? prepare(valid.value) : valid;
  };
}
async function refusal(message: object, options?: Partial<RequestOptions>): Promise<string> {
  const prepared = await prepareWith(options)(message);
  return prepared.ok ? "taken" : `${prepared.error.code}: ${prepared.error.message}`;
}
async function kept(message: object, options?: Partial<RequestOptions>) {
  const prepared = await prepareWith(options)(message);
  if (!prepared.ok) throw prepared.error;
  return prepared.value;
}

test("a plain mail is kept as it was given", async () => {
  expect(await kept(mail)).toEqual({
    sender: mail.from,
    subject: "Hi",
    content: { text: "Hello", to: [mail.to] },
    list: undefined,
    priority: 1,
    sendAt: undefined,
    recipients: [{ address: mail.to, kind: "to" }],
  });
});

test("each mailbox once, to before cc before bcc; who gets a blind copy is in no header", async () => {
  const { recipients, content } = await kept({
    ...mail,
    to: ["a@x.example", "b@x.example", "a@X.EXAMPLE"],
    cc: ["B@x.example", "b@X.example", "c@x.example"],
    bcc: ["c@x.example", "d@x.example", "D@x.example"],
  });
  expect(recipients.map((one) => `${one.kind} ${one.address}`)).toEqual([
    "to a@x.example",
    "to b@x.example",
    "cc B@x.example",
    "cc c@x.example",
    "bcc d@x.example",
    "bcc D@x.example",
  ]);
  expect(content).toMatchObject({ to: ["a@x.example", "b@x.example"], cc: ["B@x.example", "c@x.example"] });
  expect(JSON.stringify(content)).not.toContain("d@x.example");
});

test("at most 50 recipients in all three fields together", async () => {
  const many = (count: number, at: string) => Array.from({ length: count }, (_, index) => `u${index}@${at}.example`);
  expect((await kept({ ...mail, to: many(20, "a"), cc: many(20, "b"), bcc: many(10, "c") })).recipients).toHaveLength(
    50,
  );
  expect(await refusal({ ...mail, to: many(20, "a"), cc: many(20, "b"), bcc: many(11, "c") })).toMatch(
    /^invalid: to, cc and bcc/,
  );
});

describe("words", () => {
  const { subject: _subject, message: _message, ...bare } = mail;
  const template = { name: "welcome", variables: { name: "Ann" } };
  test("a template's, as they came out when the mail was taken", async () => {
    const asked: unknown[] = [];
    const render: RequestOptions["render"] = async (choice) => {
      asked.push(choice);
      return ok({ ...welcome, subject: "Hallo\r\nBcc: x@y.example" });
    };
    const { subject, content } = await kept({ ...bare, template }, { render });
    expect(asked).toEqual([template]);
    expect(subject).toBe("Hallo Bcc: x@y.example");
    expect(content).toEqual({
      to: [mail.to],
      text: "Hallo",
      html: "<p>Hallo</p>",
      template: { name: "welcome", version: 2, locale: "de" },
    });
  });
  test.each([
    [bare, "invalid: subject is needed, or a template"],
    [{ ...bare, subject: "Hi" }, "invalid: message is needed, or a template"],
    [{ ...bare, template, subject: "Hi" }, "invalid: subject must not be given with a template, which has its own"],
    [{ ...bare, template, message: "Hi" }, "invalid: message must not be given with a template, which has its own"],
  ])("either of both kinds, not none and not both: %j", async (message, expected) => {
    expect(await refusal(message)).toBe(expected);
  });
  test("a refusal of the template is handed on", async () => {
    const render = async () => fail("invalid", "template.variables.name is needed");
    expect(await refusal({ ...bare, template }, { render })).toBe("invalid: template.variables.name is needed");
  });
  test("what a template makes of its variables is checked as well", async () => {
    const long = async () => ok({ ...welcome, subject: "x".repeat(999) });
    expect(await refusal({ ...bare, template }, { render: long })).toMatch(/^invalid: template\.variables/);
    const nul = async () => ok({ ...welcome, text: "a\0b" });
    expect(await refusal({ ...bare, template }, { render: nul })).toMatch(/^invalid: template\.variables/);
  });
});

test.each([
  ["X-Order", true],
  ["x-order-2", true],
  ["In-Reply-To", true],
  ["REFERENCES", true],
  ["Organization", true],
  ["X-Request-Id", false],
  ["x-priority", false],
  ["X-MSMail-Priority", false],
  ["X-Mailer", false],
  ["X-", false],
  ["X-a b", false],
  ["X-a:b", false],
  ["X-a\r\nBcc", false],
  ["X-ä", false],
  ["Bcc", false],
  ["From", false],
  ["List-Unsubscribe", false],
  ["DKIM-Signature", false],
  ["Content-Type", false],
  ["traceparent", false],
  ["Auto-Submitted", false],
  ["__proto__", false],
])("header %s is a sender's to give: %p", async (name, allowed) => {
  const headers = Object.fromEntries([[name, "v"]]);
  if (allowed) expect((await kept({ ...mail, headers })).content.headers).toEqual(headers);
  else expect(await refusal({ ...mail, headers })).toMatch(/^invalid: headers/);
});

test("a header twice, in another case, is refused; so is a value of more than a line", async () => {
  expect(await refusal({ ...mail, headers: { "X-A": "1", "x-a": "2" } })).toBe("invalid: headers: x-a is given twice");
  expect(await refusal({ ...mail, headers: { "X-A": "1\r\nBcc: x@y.example" } })).toMatch(/^invalid: headers/);
});

describe("attachments", () => {
  const pdf = { filename: "bill.pdf", content_type: "application/pdf", content: btoa("%PDF") };
  test("are kept as they are, without what is not known of them", async () => {
    expect((await kept({ ...mail, attachments: [{ ...pdf, path: "/etc/passwd" }] })).content.attachments).toEqual([
      pdf,
    ]);
  });
  test.each(["a.exe", "a.EXE", "a.pdf.exe", "a.exe.", "a.exe . ", "a.js", "a.lnk", "a.sh", "a.scr"])(
    "%s is refused, as a program",
    async (filename) => {
      const attachments = [pdf, { ...pdf, filename }];
      expect(await refusal({ ...mail, attachments })).toMatch(
        /^invalid: attachments\[1\]\.filename must not be that of a program/,
      );
    },
  );
  test.each([
    ["application/x-msdownload", /program/],
    ["Application/X-MSDownload", /program/],
    ["message/rfc822", /one file/],
    ["multipart/mixed", /one file/],
  ])("type %s is refused", async (content_type, why) => {
    const told = await refusal({ ...mail, attachments: [{ ...pdf, content_type }] });
    expect(told).toMatch(/^invalid: attachments\[0\]\.content_type/);
    expect(told).toMatch(why);
  });
  test("a name that is written the other way round, and an id used twice, are refused", async () => {
    expect(await refusal({ ...mail, attachments: [{ ...pdf, filename: "a\u202Efdp.txt" }] })).toMatch(
      /^invalid: attachments\[0\]\.filename/,
    );
    const twice = { ...pdf, content_id: "logo" };
    expect(await refusal({ ...mail, attachments: [twice, twice] })).toBe(
      "invalid: attachments[1].content_id is used twice",
    );
  });
  test("are as large together as fits into a request, decoded", async () => {
    const of = (bytes: number) => ({ ...pdf, content: Buffer.alloc(bytes).toString("base64") });
    const half = ATTACHMENTS_MAX_BYTES / 2;
    expect(await refusal({ ...mail, attachments: [of(half), of(half)] })).toBe("taken");
    expect(await refusal({ ...mail, attachments: [of(half), of(half + 1)] })).toBe(
      "invalid: attachments must be at most 700 KiB together, decoded (they are 701): a request holds 1 MiB",
    );
  });
});

test.each([
  ["2026-11-23T10:00:01Z", "2026-11-23T10:00:01.000Z"],
  ["2026-11-23t12:30:00.5+02:00", "2026-11-23T10:30:00.500Z"],
  ["2026-11-23T10:00:00.123456789Z", "2026-11-23T10:00:00.123Z"],
  ["2026-12-23T10:00:00Z", "2026-12-23T10:00:00.000Z"],
])("send_at %s is %s", async (send_at, at) => {
  expect((await kept({ ...mail, send_at })).sendAt?.toISOString()).toBe(at);
});

test("a send_at that is past means at once", async () => {
  for (const send_at of ["2026-11-23T10:00:00Z", "2001-01-01T00:00:00Z", "2026-11-23T11:59:59+02:00"]) {
    expect((await kept({ ...mail, send_at })).sendAt).toBeUndefined();
  }
});

test.each([
  "2026-12-23T10:00:01Z",
  "2026-11-23",
  "tomorrow",
  "2026-02-30T10:00:00Z",
  "2026-11-23T24:00:00Z",
  "2026-13-01T10:00:00Z",
  "2026-11-23T10:00:00",
  "1795428000",
  "",
])("send_at %j is refused", async (send_at) => {
  expect(await refusal({ ...mail, send_at })).toMatch(/^invalid: send_at must be/);
});

test("who may send and be written to, by address or by domain, in whatever case: else forbidden, with the field", async () => {
  const options = { allowedSenders: ["@Example.com", "ann@other.example"], allowedRecipients: ["@there.example"] };
  expect(await refusal(mail, options)).toBe("taken");
  expect(await refusal({ ...mail, from: "Ann@OTHER.example" }, options)).toBe("taken");
  for (const from of ["bob@other.example", "me@sub.example.com", "me@notexample.com"]) {
    expect(await refusal({ ...mail, from }, options)).toBe("forbidden: from is not an address that may send");
  }
  expect(await refusal({ ...mail, bcc: ["a@there.example", "b@elsewhere.example"] }, options)).toBe(
    "forbidden: bcc[1] is not an address that may be written to",
  );
});

test("more recipients than the sender's quota ever lets through are refused for good", async () => {
  const to = ["a@x.example", "b@x.example", "c@x.example"];
  expect(await refusal({ ...mail, to }, { quotaPerHour: 3 })).toBe("taken");
  expect(await refusal({ ...mail, to }, { quotaPerHour: 2 })).toMatch(/^invalid: to, cc and bcc must be at most 2/);
});

describe("what tells two mails under one key apart", () => {
  const hash = (message: object) => Buffer.from(contentHashOf(message as MailMessage)).toString("hex");
  const full = {
    ...mail,
    cc: ["a@x.example"],
    template: { name: "w", variables: { a: 1, b: { c: 2, d: [3] } } },
    headers: { "X-A": "1" },
  };
  test("is everything that was asked for", () => {
    const others = [
      { ...full, to: [mail.to] },
      { ...full, cc: ["b@x.example"] },
      { ...full, cc: undefined, bcc: ["a@x.example"] },
      { ...full, template: { name: "w", variables: { a: 1, b: { c: 2, d: [4] } } } },
      { ...full, headers: { "X-A": "2" } },
      { ...full, priority: "high" },
      { ...full, send_at: "2026-12-01T00:00:00Z" },
      { ...full, list: "news" },
      mail,
    ].map((other) => hash(JSON.parse(JSON.stringify(other)) as object));
    expect(new Set([...others, hash(full)]).size).toBe(others.length + 1);
  });
  test("is not the order of its keys, nor what is not known", () => {
    const turned = {
      headers: { "X-A": "1" },
      template: { variables: { b: { d: [3], c: 2 }, a: 1 }, name: "w" },
      cc: full.cc,
      message: "Hello",
      subject: "Hi",
      to: mail.to,
      from: mail.from,
    };
    expect(hash({ ...turned, unknown: 1, template: { ...turned.template, unknown: 2 } })).toBe(hash(full));
  });
  test("is of a plain mail what it was when there were no others", () => {
    const before = new Bun.CryptoHasher("sha256").update(
      JSON.stringify([mail.from, mail.to, mail.subject, mail.message]),
    );
    expect(hash({ ...mail, unknown: true })).toBe(before.digest("hex"));
  });
});

test("what is kept has the order of jsonb and no half characters, and stays what it is", () => {
  const values = fc.jsonValue({ stringUnit: "binary" });
  fc.assert(
    fc.property(values, (value) => {
      const once = ordered(value);
      expect(JSON.stringify(ordered(once))).toBe(JSON.stringify(once));
    }),
  );
  expect(JSON.stringify(ordered({ bb: 1, a: { z: "\ud800x", y: [{ cc: 1, b: 2 }] }, "\u00e9": 2, c: 3 }))).toBe(
    '{"a":{"y":[{"b":2,"cc":1}],"z":"\ufffdx"},"c":3,"bb":1,"\u00e9":2}',
  );
});

test("a mail to a list needs links to leave it with", async () => {
  const listsReady = fail("invalid", "list needs an address");
  expect(await refusal({ ...mail, list: "news" }, { listsReady })).toBe("invalid: list needs an address");
  const taken = await prepareWith({ listsReady })(mail);
  expect(taken.ok).toBe(true);
});
