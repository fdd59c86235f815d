import { expect, test } from "bun:test";
import { isKnown, networkOf } from "./place.ts";

test("the network of an address", () => {
  expect(networkOf("192.0.2.7")).toBe(networkOf("192.0.2.250"));
  expect(networkOf("::ffff:192.0.2.7")).toBe(networkOf("192.0.2.7"));
  expect(networkOf("192.0.2.7")).not.toBe(networkOf("192.0.3.7"));
  expect(networkOf("2001:db8:1:2::1")).toBe(networkOf("2001:DB8:0001:ffff::"));
  expect(networkOf("2001:db8::1")).toBe(networkOf("2001:db8:0:5::1"));
  expect(networkOf("2001:db8:1::1")).not.toBe(networkOf("2001:db8:2::1"));
});

test("a known place is a known kind of browser in a known network", () => {
  const earlier = [{ address: "192.0.2.7", agent: "Mozilla/5.0 Firefox/140.0" }, { address: "unknown" }];
  expect(isKnown({ address: "192.0.2.9", agent: "Mozilla/5.0 Firefox/151.2" }, earlier)).toBe(true);
  expect(isKnown({ address: "192.0.2.7", agent: "curl/8.1" }, earlier)).toBe(false);
  expect(isKnown({ address: "198.51.100.7", agent: "Mozilla/5.0 Firefox/140.0" }, earlier)).toBe(false);
  expect(isKnown({ address: "unknown" }, earlier)).toBe(true);
});
