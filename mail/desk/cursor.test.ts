import { expect, test } from "bun:test";
import { isUuid } from "#shared/ids";
import { readCursor, writeCursor } from "./cursor.ts";

const place = { at: "1764437000123456", key: "01938f3c-0000-7000-8000-000000000000" };
const raw = (text: string): string => Buffer.from(text).toString("base64url");

test("what was written is read again", () => {
  expect(readCursor(writeCursor(place), isUuid)).toEqual({ ok: true, value: place });
});

test.each([
  "",
  "abc",
  "%00",
  "é",
  `${writeCursor(place)}=`,
  `${writeCursor(place)}!`,
  ` ${writeCursor(place)}`,
  raw(""),
  raw(place.at),
  raw(`${place.at} `),
  raw(`${place.at} not-an-id`),
  raw(`${place.at} ${place.key.toUpperCase()}`),
  raw(`${place.at} ${place.key}x`),
  raw(`-1 ${place.key}`),
  raw(`1e3 ${place.key}`),
  raw(`9999999999999999 ${place.key}`),
  raw(`17644370001234567 ${place.key}`),
  raw(`${place.at}\n${place.key}`),
  raw(`${place.at} '; DROP TABLE mail_outbox; --`),
])("%p is none", (cursor) => {
  expect(readCursor(cursor, isUuid)).toMatchObject({ ok: false, error: { code: "invalid" } });
});
