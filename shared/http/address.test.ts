/** Who is asking, through proxies that are trusted and such as are not. */
import { expect, test } from "bun:test";
import { addressGroup, type ForwardedHeader, makeClientAddress, plainAddress, trustedProxies } from "./address.ts";

function addressOf(
  peer: string | null,
  headers: Record<string, string>,
  ranges: string[],
  header: ForwardedHeader = "x-forwarded-for",
) {
  const trusted = trustedProxies(ranges);
  if (trusted === undefined) throw new Error("not ranges");
  const of = makeClientAddress({ TRUSTED_PROXIES: trusted, FORWARDED_HEADER: header });
  return of({
    request: new Request("http://a.test/", { headers }),
    server: { requestIP: () => (peer === null ? null : { address: peer, port: 1 }) },
  });
}

test("without proxies nothing that a request says is believed", () => {
  const forged = { "x-forwarded-for": "1.1.1.1", forwarded: "for=2.2.2.2", "x-real-ip": "3.3.3.3" };
  expect(addressOf("198.51.100.7", forged, [])).toBe("198.51.100.7");
  expect(addressOf("198.51.100.7", forged, ["10.0.0.0/8"])).toBe("198.51.100.7");
  expect(addressOf(null, forged, ["10.0.0.0/8"])).toBe("unknown");
});

test("the nearest hop that is no proxy of ours is the client, whatever stands to the left of it", () => {
  const said = { "x-forwarded-for": "6.6.6.6, 203.0.113.5, 10.0.0.2" };
  expect(addressOf("10.0.0.1", said, ["10.0.0.0/8"])).toBe("203.0.113.5");
  expect(addressOf("10.0.0.1", said, ["10.0.0.1"])).toBe("10.0.0.2");
  expect(addressOf("::ffff:10.0.0.1", said, ["10.0.0.0/8"])).toBe("203.0.113.5");
  expect(addressOf("fd00::1", { "x-forwarded-for": "2001:DB8:0::1" }, ["fd00::/8"])).toBe("2001:db8::1");
  expect(addressOf("10.0.0.1", { "x-forwarded-for": "203.0.113.5:4711" }, ["10.0.0.0/8"])).toBe("203.0.113.5");
  expect(addressOf("10.0.0.1", { "x-forwarded-for": "[2001:db8::5]:4711" }, ["10.0.0.0/8"])).toBe("2001:db8::5");
});

test("a hop that is no address ends the way: the proxy that said it is taken", () => {
  for (const said of ["", "unknown", "203.0.113.5, _hidden", "1.2.3", "203.0.113.5,", "' or 1=1", "1.1.1.1 2.2.2.2"]) {
    expect(addressOf("10.0.0.1", { "x-forwarded-for": said }, ["10.0.0.0/8"])).toBe("10.0.0.1");
  }
  expect(addressOf("10.0.0.1", {}, ["10.0.0.0/8"])).toBe("10.0.0.1");
});

test("Forwarded (RFC 7239) is read where it is the proxies' header, and only then", () => {
  const said = { forwarded: 'for=6.6.6.6;proto=https, for="[2001:db8::7]:99";by=x', "x-forwarded-for": "7.7.7.7" };
  expect(addressOf("10.0.0.1", said, ["10.0.0.0/8"], "forwarded")).toBe("2001:db8::7");
  expect(addressOf("10.0.0.1", said, ["10.0.0.0/8"])).toBe("7.7.7.7");
  expect(addressOf("10.0.0.1", { forwarded: "for=_gazonk" }, ["10.0.0.0/8"], "forwarded")).toBe("10.0.0.1");
  expect(addressOf("10.0.0.1", { forwarded: "by=10.0.0.9;FOR=203.0.113.9" }, ["10.0.0.0/8"], "forwarded")).toBe(
    "203.0.113.9",
  );
});

test("a way of a thousand trusted hops is not walked to its end", () => {
  const way = Array.from({ length: 1_000 }, () => "10.0.0.3").join(",");
  expect(addressOf("10.0.0.1", { "x-forwarded-for": `203.0.113.5,${way}` }, ["10.0.0.0/8"])).toBe("10.0.0.3");
});

test("ranges are addresses and CIDR, and nothing else", () => {
  for (const good of ["10.0.0.0/8", "10.1.2.3", "fd00::/8", "::1", "0.0.0.0/0"])
    expect(trustedProxies([good])).toBeDefined();
  for (const bad of [
    "10.0.0.0/33",
    "fd00::/129",
    "10.0.0",
    "a.test",
    "10.0.0.0/8/8",
    "10.0.0.0/",
    "10.0.0.0/-1",
    "fe80::1%eth0",
    "*",
  ])
    expect(trustedProxies([bad])).toBeUndefined();
});

test("addresses have one form, and an IPv6 network is one caller", () => {
  expect(plainAddress("::FFFF:192.0.2.1")).toBe("192.0.2.1");
  expect(plainAddress("fe80::1%eth0")).toBe("fe80::1");
  expect(plainAddress("2001:0db8:0000:0000:0000:0000:0000:0001")).toBe("2001:db8::1");
  expect(plainAddress("256.1.1.1")).toBeUndefined();
  expect(addressGroup("192.0.2.1")).toBe("192.0.2.1");
  expect(addressGroup("2001:db8:1:2:3:4:5:6")).toBe("2001:db8:1:2::/64");
  expect(addressGroup("2001:db8::6")).toBe("2001:db8:0:0::/64");
  expect(addressGroup("::1")).toBe("0:0:0:0::/64");
  expect(addressGroup("fd00::")).toBe("fd00:0:0:0::/64");
});
