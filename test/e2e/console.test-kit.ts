/** The console in a real browser, on a platform of its own: what all tests of its pages share. */
import { existsSync } from "node:fs";
import axe from "axe-core";
import { type Browser, chromium, type Page } from "playwright-core";
import { HAS_BACKING, type Platform, type PlatformOptions, startPlatform } from "../kit.ts";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
];
const executablePath = [
  process.env["CHROMIUM"],
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path !== undefined && existsSync(path));

/** Whether there is a Chromium, and everything behind a platform. */
export const HAS_BROWSER = HAS_BACKING && executablePath !== undefined;

export interface PageOptions {
  readonly dark?: boolean;
  /** px, default 1280. */
  readonly width?: number;
}

export interface Console extends AsyncDisposable {
  readonly platform: Platform;
  readonly browser: Browser;
  /** What pages complained of: errors of scripts, violations of the security policy. Refusals that are answered do not count. */
  readonly complaints: string[];
  /** A page of the console, in a browser context of its own: nobody is signed in. `page.context().newPage()` is a second tab. */
  readonly page: (path: string, options?: PageOptions) => Promise<Page>;
  /** Serious and critical findings of axe-core, by the rules of WCAG 2.2 A and AA. */
  readonly axe: (page: Page) => Promise<string[]>;
  /** Kept where SCREENSHOTS names a directory: for people to look at. */
  readonly picture: (page: Page, name: string) => Promise<void>;
}

export async function openConsole(options: PlatformOptions = {}): Promise<Console> {
  const platform = await startPlatform(options);
  const browser = await chromium.launch({
    ...(executablePath === undefined ? {} : { executablePath }),
    args: FLAGS,
  });
  const complaints: string[] = [];

  return {
    platform,
    browser,
    complaints,
    async page(path, { dark = false, width = 1_280 } = {}) {
      const context = await browser.newContext({
        viewport: { width, height: 900 },
        colorScheme: dark ? "dark" : "light",
        // Else figures are read in the middle of an animation.
        reducedMotion: "reduce",
      });
      await context.addInitScript(
        "addEventListener('securitypolicyviolation', (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`))",
      );
      // Of all its pages: a test may open a second tab.
      context.on("console", (message) => {
        // The browser itself reports each 4xx as an error: those are asked for here.
        if (message.type() === "error" && !message.text().includes("Failed to load resource"))
          complaints.push(`${message.page()?.url() ?? path}: ${message.text()}`);
      });
      context.on("weberror", (error) => complaints.push(`${error.page()?.url() ?? path}: ${error.error().message}`));
      const page = await context.newPage();
      await page.goto(platform.url("broker") + path);
      return page;
    },
    async axe(page) {
      await page.evaluate(axe.source);
      return page.evaluate(async () => {
        const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
        const { violations } = await (globalThis as unknown as { axe: typeof axe }).axe.run({
          runOnly: { type: "tag", values: tags },
        });
        return violations
          .filter(({ impact }) => impact === "serious" || impact === "critical")
          .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`);
      });
    },
    async picture(page, name) {
      const directory = process.env["SCREENSHOTS"];
      if (directory !== undefined) await page.screenshot({ path: `${directory}/${name}.png` });
    },
    async [Symbol.asyncDispose]() {
      await browser.close();
      await platform[Symbol.asyncDispose]();
    },
  };
}
