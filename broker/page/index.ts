/** The files of the broker's pages, as they are served: everything is inside the executable, nothing comes from elsewhere. */
import accountPage from "./account.html" with { type: "text" };
import apiPage from "./api.html" with { type: "text" };
import { bundle } from "./bundle.ts" with { type: "macro" };
import homePage from "./home.html" with { type: "text" };
import style from "./page.css" with { type: "text" };

const accountScript = bundle("./browser/account.ts");
const homeScript = bundle("./browser/home.ts");
const apiScript = bundle("./browser/api.ts");

// Bun's own type of an imported HTML file is its bundle; with `type: "text"` it is the text.
const accountText = accountPage as unknown as string;
const homeText = homePage as unknown as string;
const apiText = apiPage as unknown as string;

/** What a page may load: its own files and this origin's answers. */
export const CSP_PAGE =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export interface PageFile {
  readonly path: string;
  readonly type: string;
  readonly body: string;
}

const HTML = "text/html; charset=utf-8";
const SCRIPT = "text/javascript; charset=utf-8";

/** Where links in mails lead (auth/flows/letters.ts): one page, which looks at its own path. */
const ACCOUNT_PATHS = ["/verify-address", "/reset-password", "/sessions"];

export interface PagesOptions {
  readonly inboxUrl: string | undefined;
  readonly version: string;
  /** Whether the page of the API is among them. */
  readonly isDescribed: boolean;
  /** Whether who reads a page may read the metrics too. */
  readonly isMeasured: boolean;
}

export function pages({ inboxUrl, version, isDescribed, isMeasured }: PagesOptions): PageFile[] {
  const inbox = inboxUrl === undefined ? "" : `<a href="${Bun.escapeHTML(inboxUrl)}">Inbox</a>`;
  const fill = (page: string): string =>
    page
      .replaceAll("{{inbox}}", () => inbox)
      .replaceAll("{{api}}", () => (isDescribed ? '<a href="/openapi">API</a>' : ""))
      .replaceAll("{{metrics}}", () => (isMeasured ? '<a href="/metrics">Metrics</a>' : ""))
      .replaceAll("{{version}}", () => Bun.escapeHTML(version));
  const described = [
    { path: "/openapi", type: HTML, body: fill(apiText) },
    { path: "/assets/api.js", type: SCRIPT, body: apiScript },
  ];
  return [
    { path: "/", type: HTML, body: fill(homeText) },
    { path: "/assets/page.css", type: "text/css; charset=utf-8", body: style },
    { path: "/assets/home.js", type: SCRIPT, body: homeScript },
    ...ACCOUNT_PATHS.map((path) => ({ path, type: HTML, body: accountText })),
    { path: "/assets/account.js", type: SCRIPT, body: accountScript },
    ...(isDescribed ? described : []),
  ];
}
