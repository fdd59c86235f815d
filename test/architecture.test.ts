/** The walls between the rooms hold: each rule is seen catching a violation that is planted for it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const ROOT = join(import.meta.dir, "..");
let planted: string;

beforeAll(async () => {
  planted = await mkdtemp(join(tmpdir(), "architecture-"));
  for (const file of [".oxlintrc.json", "tsconfig.json", "package.json"])
    await cp(join(ROOT, file), join(planted, file));
  await symlink(join(ROOT, "node_modules"), join(planted, "node_modules"));
  await symlink(join(ROOT, "shared/errors"), join(planted, "errors"));
});
afterAll(() => rm(planted, { recursive: true, force: true }));

/** What the linter says of one file with this text at this place. */
async function lint(path: string, text: string): Promise<string> {
  const at = join(planted, path);
  await mkdir(dirname(at), { recursive: true });
  await writeFile(at, text);
  const oxlint = join(ROOT, "node_modules/oxlint/bin/oxlint");
  const command = [process.execPath, "--bun", oxlint, "--type-aware", "--deny-warnings", path];
  const child = Bun.spawn(command, { cwd: planted, stdout: "pipe", stderr: "pipe", timeout: 30_000 });
  const [said, , code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  await rm(at);
  return `${code === 0 ? "clean" : "refused"} ${said}`;
}

test.each([
  [
    "a service imports another",
    "broker/planted.ts",
    'import "../auth/sessions/login.ts";',
    "a service never imports another part",
  ],
  ["a service imports a tool", "mail/planted.ts", 'import "../dev/up.ts";', "a service never imports another part"],
  ["a service reaches into shared/", "logger/planted.ts", 'import "../shared/rpc/frames.ts";', "use #shared/<module>"],
  [
    "shared/ imports a service",
    "shared/http/planted.ts",
    'import "../../broker/handle.ts";',
    "shared/ never imports a service",
  ],
  [
    "a module of shared/ reaches into another",
    "shared/http/planted.ts",
    'import "../rpc/frames.ts";',
    "sees only another one's index.ts",
  ],
  [
    "contracts import a module",
    "shared/contracts/planted.ts",
    'import "#shared/errors";',
    "contracts import TypeBox and each other",
  ],
  [
    "a promise floats",
    "broker/planted.ts",
    "const later = async (): Promise<void> => {};\nlater();\n",
    "no-floating-promises",
  ],
])(
  "%s: seen",
  async (_what, path, text, message) => {
    const said = await lint(path, text);
    expect(said).toStartWith("refused");
    expect(said).toContain(message);
  },
  60_000,
);

test("a file that keeps to the rules is left alone", async () => {
  const text = 'import { Failure } from "#shared/errors";\n\nexport const failure = new Failure("invalid");\n';
  expect(await lint("broker/planted.ts", text)).toStartWith("clean");
}, 60_000);

test("the inside of a shared module does not resolve from outside it", () => {
  expect(Bun.resolveSync("#shared/errors", ROOT)).toEndWith("shared/errors/index.ts");
  expect(() => Bun.resolveSync("#shared/rpc/frames.ts", ROOT)).toThrow();
});
