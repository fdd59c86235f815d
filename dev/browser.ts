/** A browser for the tests that need one. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";

const PROGRAMS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge"];
const ELSEWHERE = [
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];
/** About 120 MB to fetch and unpack (ms). */
const INSTALL_MS = 600_000;

/** The path of a Chromium-like browser: `CHROMIUM`, else an installed one; undefined where there is none. */
function findBrowser(): string | undefined {
  const named = process.env["CHROMIUM"];
  if (named !== undefined && named !== "") return named;
  for (const program of PROGRAMS) {
    const path = Bun.which(program);
    if (path !== null) return path;
  }
  return ELSEWHERE.find((path) => existsSync(path));
}

/**
 * The same, and installs one on a build machine (`CI=true`, root, apt-get) where there is none: nobody's own computer
 * is changed. `say` gets what is going on.
 */
export async function ensureBrowser(say: (doing: string) => void): Promise<string | undefined> {
  const found = findBrowser();
  if (found !== undefined) return found;
  if (process.env["CI"] !== "true" || process.getuid?.() !== 0 || Bun.which("apt-get") === null) return undefined;
  say("installing chromium with apt-get");
  const installed =
    (await succeeds("apt-get", ["update", "-q"])) &&
    (await succeeds("apt-get", ["install", "-q", "-y", "--no-install-recommends", "chromium"]));
  return installed ? findBrowser() : undefined;
}

function succeeds(command: string, args: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(command, [...args], {
      stdio: "ignore",
      timeout: INSTALL_MS,
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    });
    child.once("error", () => resolve(false));
    child.once("close", (code) => resolve(code === 0));
  });
}
