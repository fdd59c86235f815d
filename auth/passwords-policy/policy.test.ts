import { expect, test } from "bun:test";
import common from "./common-passwords.txt" with { type: "text" };
import { checkNewPassword } from "./policy.ts";

const problemOf = (password: string, email = "ann.other@example.com"): string | undefined => {
  const checked = checkNewPassword("new_password", password, email);
  return checked.ok ? undefined : checked.error.message;
};

test("each of the list is refused, however it is written, and the list is as long as it says", () => {
  const list = common.trimEnd().split("\n");
  expect([list.length, new Set(list).size]).toEqual([10_000, 10_000]);
  for (const password of list) expect([password, problemOf(password)]).toEqual([password, expect.any(String)]);
  for (const password of ["Password1", "PASSWORD1", " password1 ", "ｐａｓｓｗｏｒｄ１"])
    expect([password, problemOf(password)]).toEqual([
      password,
      "new_password is one of the most common ones: choose another one",
    ]);
});

test("the address, or what is before its @, is refused", () => {
  for (const password of ["ann.other@example.com", "ANN.OTHER@EXAMPLE.COM", "Ann.Other"])
    expect([password, problemOf(password)]).toEqual([password, "new_password must not be the address"]);
});

test("nothing is asked of the characters of a password", () => {
  for (const password of ["long enough", "correct horse", "ä".repeat(64), "😀".repeat(64), "verysecret", "example.com"])
    expect([password, problemOf(password)]).toEqual([password, undefined]);
});
