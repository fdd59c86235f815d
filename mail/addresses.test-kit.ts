/** Addresses for tests: what the contract allows, and what has been used to make mailers write to somebody else. */
import * as fc from "fast-check";

const atext = fc.constantFrom(..."abcxyzABC0129!#$%&'*+/=?^_`{|}~-".split(""));
const alphanumeric = fc.constantFrom(..."abcxyzABC0129".split(""));
const inner = fc.constantFrom(..."abcxyz0129-".split(""));

const atom = fc.string({ unit: atext, minLength: 1, maxLength: 12 });
const label = fc
  .tuple(alphanumeric, fc.string({ unit: inner, maxLength: 10 }), alphanumeric)
  .map((parts) => parts.join(""));

/** Plain addresses (RFC 5321 `Dot-string@Domain`). The last label is no number (RFC 3696 §2). */
export const addresses = fc
  .tuple(
    fc.array(atom, { minLength: 1, maxLength: 4 }),
    fc.array(label, { maxLength: 3 }),
    fc.constantFrom("example", "org", "x-y", "Z9", "b"),
  )
  .map(([local, domain, top]) => `${local.join(".")}@${[...domain, top].join(".")}`)
  .filter((address) => !/[@.]..--/.test(address));

/** None of these is one plain address. Sources: the advisories of nodemailer, RFC 5322 §3.4, and experience. */
export const TRICKS = [
  "",
  "a",
  "@",
  "a@",
  "@b.example",
  "a@@b.example",
  "a@b@c.example",
  "a@b.example, c@d.example",
  "a@b.example,c@d.example",
  "a@b.example;c@d.example",
  "a@b.example c@d.example",
  "a@b.example\r\nBcc: c@d.example",
  "a@b.example\nc@d.example",
  "a@b.example\r",
  "a@b.example>\r\nRCPT TO:<c@d.example",
  "a@b.example\0",
  "a@b.example\0@c.example",
  "<a@b.example>",
  "Ann <a@b.example>",
  '"Ann" <a@b.example>',
  '"c@d.example" <a@b.example>',
  '"c@d.example, x"@b.example',
  '"a b"@b.example',
  '"a"@b.example',
  "a(comment)@b.example",
  "a@b.example(comment)",
  "(c@d.example)a@b.example",
  "Group: a@b.example, c@d.example;",
  "Group:a@b.example;",
  "undisclosed-recipients:;",
  "a@[127.0.0.1]",
  "a@[IPv6:::1]",
  "a@b.example>",
  "a@<b.example>",
  "a\\@c.example@b.example",
  "a@b..example",
  "a@.b.example",
  "a@b.example.",
  ".a@b.example",
  "a.@b.example",
  "a..b@b.example",
  "a@-b.example",
  "a@b-.example",
  "a@b_c.example",
  "a@b.example\t",
  " a@b.example",
  "a@b.example ",
  "a @b.example",
  "a@ b.example",
  "a@bücher.example",
  "bücher@b.example",
  "a@b。example",
  "a@b.example\u2028c@d.example",
  "a@b.example\u0085",
  "a\u202e@b.example",
  "a@ⓑ.example",
  "＠b.example",
  "a＠b.example",
  "=?utf-8?q?=61?=<a@b.example>",
  "mailto:a@b.example",
  "a@b.example?cc=c@d.example",
  "a@b.example/../c",
  "@relay.example:a@b.example",
  "a@b.example SIZE=1",
  "a@b.example> NOTIFY=NEVER",
  "a@02",
  "a@0x7f",
  "a@127.0.0.1",
  "a@1.2.3.4.5",
  "a@999.999.999.999",
  "a@b.example.08",
  "a@xn--.example",
  "a@xn--a.example",
  "a@xn--zzzzzzzzzzzzzzzzz.example",
  `${"a".repeat(65)}@b.example`,
  `a@${"b".repeat(64)}.example`,
  `a@${"b.".repeat(130)}example`,
] as const;
