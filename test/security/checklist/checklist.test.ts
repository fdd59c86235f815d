/** Every line of the checklist is proved by tests that exist, or says why it is proved elsewhere. */
import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CHECKLIST, type Proof } from "./index.ts";

const ROOT = join(import.meta.dir, "../../..");
const LINES = 44;

/** Whether the file says the name where a name is: at the start of a text, or within one. */
async function isThere({ file, test: name }: Proof): Promise<boolean> {
  const text = await readFile(join(ROOT, file), "utf8").catch(() => "");
  return text.split("\n").some((line) => line.includes(name) && /["'`]/.test(line));
}

test("the checklist has each of its lines once", () => {
  expect(CHECKLIST.map(({ number }) => number)).toEqual(Array.from({ length: LINES }, (_, index) => index + 1));
});

test.each(CHECKLIST.map((line) => [line.number, line.demand, line] as const))(
  "[%d] %s: proved",
  async (_number, _demand, line) => {
    const { proofs, elsewhere } = line;
    expect(proofs.length > 0 || elsewhere !== undefined).toBe(true);
    for (const proof of proofs) expect([proof, await isThere(proof)]).toEqual([proof, true]);
  },
);

test("a test that is gone is missed", async () => {
  expect(
    await isThere({
      file: "test/security/checklist/checklist.test.ts",
      test: ["a test that is not", "there"].join(" "),
    }),
  ).toBe(false);
  expect(await isThere({ file: "test/nowhere.test.ts", test: "" })).toBe(false);
});
