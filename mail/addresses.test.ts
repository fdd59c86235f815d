/** Addresses: whoever the mail server is told to write to is exactly whom the contract let through. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import PostalMime from "postal-mime";
import { MailMessage } from "#contracts/mail";
import { Secret } from "#shared/config";
import { ok } from "#shared/errors";
import { makeValidator } from "#shared/validation";
import { mailboxOf } from "./address.ts";
import { addresses, TRICKS } from "./addresses.test-kit.ts";
import { compose } from "./message/message.ts";
import { makePrepare, type Prepared } from "./request.ts";
import { makeSmtp } from "./smtp/smtp.ts";
import { startSmtpDouble } from "./smtp/smtp-double.test-kit.ts";

const mailOf = makeValidator(MailMessage);
const prepare = makePrepare({
  allowedSenders: ["*"],
  allowedRecipients: ["*"],
  quotaPerHour: 0,
  listsReady: ok(),
  render: () => Promise.reject(new Error("no template here")),
});
/** An address with something put into it that may turn it into another one. */
const special = fc.constantFrom(
  ...'@,;:<>()[]"\\ \t\r\n\0.-=+%!'.split(""),
  "\r\nRCPT TO:<x@y.z>",
  "\u00e9",
  "\u2028",
  "＠",
  "xn--",
);
const mutated = fc.tuple(addresses, special, fc.nat()).map(([address, insert, at]) => {
  const cut = at % (address.length + 1);
  return address.slice(0, cut) + insert + address.slice(cut);
});

const plain = { from: "me@b.example", to: "you@b.example", subject: "", message: "" };
/** Wherever an address may stand in a mail. */
const fields: Readonly<Record<string, (address: string) => object>> = {
  from: (from) => ({ from }),
  to: (to) => ({ to }),
  "to in a list": (to) => ({ to: ["you@b.example", to] }),
  cc: (cc) => ({ cc: [cc] }),
  bcc: (bcc) => ({ bcc: [bcc] }),
  reply_to: (reply_to) => ({ reply_to }),
};

async function preparedOf(more: object): Promise<Prepared | undefined> {
  const mail = mailOf({ ...plain, ...more });
  const prepared = mail.ok ? await prepare(mail.value) : mail;
  return prepared.ok ? prepared.value : undefined;
}
const isAllowed = async (to: string): Promise<boolean> => (await preparedOf({ to })) !== undefined;

test.each(TRICKS.map((trick) => [trick]))("%j is not one plain address", async (trick) => {
  for (const [field, of] of Object.entries(fields))
    expect({ field, mail: await preparedOf(of(trick)) }).toEqual({ field, mail: undefined });
});

test.each([
  ["a@xn--bcher-kva.example"],
  ["a@localhost"],
  ["o'brien+tag@Example.COM"],
  ["!#$%&'*+/=?^_`{|}~-@b.example"],
])("%s is one plain address", async (address) => {
  expect(await isAllowed(address)).toBe(true);
});

test("plain addresses are allowed up to their limits", async () => {
  await fc.assert(
    fc.asyncProperty(addresses, async (address) => {
      const [local = "", domain = ""] = address.split("@");
      expect(await isAllowed(address)).toBe(address.length <= 254 && local.length <= 64 && domain.length <= 253);
    }),
    { numRuns: 1_000 },
  );
});

test("20,000 addresses are allowed in every field alike, and whom a mail is kept for is who was named", async () => {
  const candidates = fc.oneof(addresses, mutated, fc.constantFrom(...TRICKS), fc.string({ maxLength: 40 }));
  for (const address of fc.sample(candidates, 20_000)) {
    const mails = await Promise.all(Object.values(fields).map((of) => preparedOf(of(address))));
    const isPlain = mails[0] !== undefined;
    if (mails.some((mail) => (mail !== undefined) !== isPlain))
      throw new Error(`not alike: ${JSON.stringify(address)}`);
    if (!isPlain) continue;
    const same = mailboxOf(address) === plain.to;
    const kept = mails.map((mail) => mail?.recipients.map((one) => `${one.kind} ${one.address}`));
    const you = `to ${plain.to}`;
    const also = (kind: string): string[] => (same ? [you] : [you, `${kind} ${address}`]);
    expect(kept).toEqual([[you], [`to ${address}`], also("to"), also("cc"), also("bcc"), [you]]);
    expect(mails[4]?.content).toEqual({ to: [plain.to], text: "" });
  }
}, 60_000);

test("what is allowed stands in the headers of the mail as it was validated", async () => {
  const draft = {
    messageId: "a@b.example",
    subject: "",
    date: new Date(0),
    priority: 1 as const,
    requestId: "r",
    traceparent: "t",
  };
  const candidates = fc.oneof(addresses, mutated);
  for (const address of fc.sample(candidates, 400)) {
    if (!(await isAllowed(address))) continue;
    const mail = await PostalMime.parse(
      await compose({ ...draft, from: address, content: { text: "", to: [address] } }),
    );
    const [local, domain] = address.split("@");
    // The case of a domain means nothing (RFC 5321 §2.4); in the envelope it stays as it was given.
    const expected = { address: `${local}@${domain?.toLowerCase()}` };
    expect(mail.from).toMatchObject(expected);
    expect(mail.to).toMatchObject([expected]);
  }
}, 30_000);

test("the recipients that the mail server saw are exactly those that were validated", async () => {
  await using double = startSmtpDouble({ extensions: ["PIPELINING", "SMTPUTF8", "DSN"] });
  await using smtp = makeSmtp({
    url: new Secret(double.url),
    tls: "auto",
    name: "here.example",
    connectTimeoutMs: 2_000,
    idleTimeoutMs: 2_000,
    onLost: () => undefined,
  });
  const candidates = fc.oneof(addresses, mutated, fc.constantFrom(...TRICKS), fc.string({ maxLength: 40 }));
  const validated: string[] = [];
  for (const to of fc.sample(candidates, 1_500)) {
    if (!(await isAllowed(to))) continue;
    expect(to).toMatch(/^[\x21-\x7e]+$/);
    expect(to).not.toMatch(/[\s,;:<>()[\]"\\]/);
    expect(to.split("@")).toHaveLength(2);
    validated.push(to);
    const result = await smtp.send(
      { from: "a@b.example", to, bytes: new Uint8Array([13, 10]) },
      async () => true,
      AbortSignal.timeout(5_000),
    );
    expect(result).toMatchObject({ ok: true });
  }
  expect(validated.length).toBeGreaterThan(300);
  expect(double.rcptLines).toEqual(validated.map((to) => `RCPT TO:<${to}>`));
  expect(double.taken.map((mail) => mail.to)).toEqual(validated.map((to) => [to]));
}, 60_000);
