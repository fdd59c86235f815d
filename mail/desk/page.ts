/** The pages behind the link "unsubscribe". Plain HTML with one form; no script, nothing from elsewhere. */
import type { Subscription } from "./suppressions.ts";

const STYLE = `:root{color-scheme:light dark}body{margin:12vh auto;max-width:32rem;padding:0 1.25rem;font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}button{padding:.6rem 1.2rem;font:inherit;cursor:pointer}`;

const STYLE_HASH = new Bun.CryptoHasher("sha256").update(STYLE).digest("base64");

/** What these pages may do: show their own style, and send their form to where they came from. */
export const CSP_UNSUBSCRIBE = `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`;

const page = (title: string, body: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${title}</h1>
${body}
</main>
</body>
</html>
`;

const bold = (text: string): string => `<strong>${Bun.escapeHTML(text)}</strong>`;

/** Asks; only the button does it, since scanners of mail follow links. */
export const questionPage = ({ address, list }: Subscription): string =>
  page(
    "Unsubscribe",
    `<p>${bold(address)} will get no more mail of the list ${bold(list)}.</p>
<form method="post"><button type="submit">Unsubscribe</button></form>`,
  );

export const donePage = ({ address, list }: Subscription): string =>
  page("Unsubscribed", `<p>${bold(address)} gets no more mail of the list ${bold(list)}.</p>`);

export const failurePage = (message: string): string => page("Not unsubscribed", `<p>${Bun.escapeHTML(message)}</p>`);
