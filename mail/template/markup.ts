/**
 * The HTML of a template: put into the layout, its CSS inlined, and looked over. All of it when templates are loaded:
 * a mail costs none of it, and what a variable says is never read as HTML again.
 */
import juice from "juice/client";

// Besides `{{ }}`, which it knows.
juice.codeBlocks["LIQUID"] = { start: "{%", end: "%}" };

const CONTENT = /\{\{-?\s*content\s*-?\}\}/g;

/** @returns `content` in its place in `layout`, or undefined where that has not one place for it. */
export function inLayout(layout: string, content: string): string | undefined {
  const parts = layout.split(CONTENT);
  return parts.length === 2 ? parts.join(content.trim()) : undefined;
}

/** What was inlined in this process: it takes tens of milliseconds, and services that are started again have the same. */
const known = new Map<string, string>();
const KNOWN_MAX = 200;

/** Rules of `<style>` become `style` attributes; what cannot (media queries, `:hover`) stays in the head. */
export function inlined(html: string): string {
  const before = known.get(html);
  if (before !== undefined) return before;
  const result = juice(html, {
    preserveMediaQueries: true,
    preservePseudos: true,
    preserveFontFaces: false,
    applyAttributesTableElements: false,
    applyWidthAttributes: false,
    applyHeightAttributes: false,
    inlinePseudoElements: false,
  });
  if (known.size >= KNOWN_MAX) known.clear();
  known.set(html, result);
  return result;
}

const LIQUID = /\{\{[\s\S]*?\}\}|\{%[\s\S]*?%\}/g;
/** Stands for Liquid while tags are looked for: private use, so in no template. */
const MARK = /\uE000(\d+)\uE001/g;
const TAG = /<[a-zA-Z](?:"[^"]*"|'[^']*'|[^"'>])*>/g;
const ATTRIBUTE = /([^\s=>"'/<]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+))?/g;
const LITERAL = ["class", "id", "style", "src"];
const COMMENT = /\{%-?\s*comment\s*-?%\}[\s\S]*?\{%-?\s*endcomment\s*-?%\}/g;
/** What gives a name another value than the caller's. */
const SETS = /^\{%-?\s*(?:assign|capture|for)\s+([\w-]+)/;

/**
 * What is wrong with how Liquid is used in HTML, a line each. Escaping makes a variable text, in text and in quoted
 * attribute values; nowhere else is it safe.
 * @param isLink whether a variable can only be a link to the web.
 */
export function liquidProblems(source: string, isLink: (name: string) => boolean): string[] {
  const problems: string[] = [];
  const pieces: string[] = [];
  const marked = source.replaceAll(LIQUID, (piece) => `\uE000${pieces.push(piece) - 1}\uE001`);
  const set = new Set(pieces.map((piece) => SETS.exec(piece)?.[1]));
  const shown = (text: string): string => text.replaceAll(MARK, (_mark, index: string) => pieces[Number(index)] ?? "");
  for (const element of ["script", "style"]) {
    const inside = new RegExp(`<${element}\\b[^>]*>[^<]*\uE000`, "i");
    if (inside.test(marked)) problems.push(`Liquid in <${element}> cannot be made safe`);
  }
  if (/<!--(?:(?!-->)[\s\S])*\uE000/.test(marked)) problems.push("Liquid in a comment of HTML: use {% comment %}");
  const around = marked.replaceAll(/<!--[\s\S]*?-->|<![a-z][^>]*>|<\/[a-zA-Z][^>\uE000]*>/gi, "").replaceAll(TAG, "");
  const open = /<[a-zA-Z/\uE000][^\n]{0,60}/.exec(around)?.[0];
  if (open !== undefined) problems.push(`${shown(open)}: a tag that does not end, or one whose name is Liquid`);
  for (const [tag] of marked.matchAll(TAG)) {
    const inner = tag.replace(/^<[^\s>/]+/, "").replace(/\/?>$/, "");
    if (/^<[^\s>/]*\uE000/.test(tag)) problems.push(`${shown(tag)}: Liquid in the name of an element`);
    for (const [, name = "", quoted = ""] of inner.matchAll(ATTRIBUTE)) {
      if (name.includes("\uE000") || (quoted.includes("\uE000") && !/^["']/.test(quoted))) {
        problems.push(`${shown(tag)}: Liquid in a tag may only be in a quoted value of an attribute`);
        continue;
      }
      if (!quoted.includes("\uE000")) continue;
      if (LITERAL.includes(name.toLowerCase())) {
        problems.push(`${shown(tag)}: Liquid may not be in ${name}; put {% if %} around the element`);
      }
      if (name.toLowerCase() === "href") {
        const [, of, variable] =
          /^\{\{-?\s*((?:[a-z0-9_]+\.)*)([a-z0-9_]+)\s*-?\}\}$/.exec(shown(quoted.slice(1, -1))) ?? [];
        if (variable === undefined || !isLink(variable)) {
          problems.push(`${shown(tag)}: href may only be one variable whose schema has "format": "uri"`);
        } else if (of === "" && set.has(variable)) {
          problems.push(`${shown(tag)}: href may not be a variable that the template itself sets`);
        }
      }
    }
  }
  return problems;
}

/** Elements that mail programs do not show, or that do or load something. */
const FORBIDDEN =
  "script,iframe,frame,frameset,object,embed,applet,link,base,form,input,button,select,textarea,audio,video,source,track,svg,math,template,noscript";
/** Attributes that load something, besides `src`. */
const LOADING = ["srcset", "background", "poster", "data", "action", "formaction", "ping", "xlink:href"];

/** What HTML has that no mail may have, a line each, and its links. */
export function look(html: string): { readonly problems: string[]; readonly links: string[] } {
  const problems: string[] = [];
  const links: string[] = [];
  new HTMLRewriter()
    .on(FORBIDDEN, { element: ({ tagName }) => void problems.push(`<${tagName}> may not be in a mail`) })
    .on("style", { text: ({ text }) => void (/url\(|@import/i.test(text) && problems.push("<style> loads something")) })
    .on("meta[http-equiv=refresh]", { element: () => void problems.push("<meta> leads elsewhere") })
    .on("*", {
      element({ tagName, attributes }) {
        for (const [name = "", value = ""] of attributes) {
          const what = `<${tagName} ${name}="${value.slice(0, 100)}">`;
          if (name.startsWith("on")) problems.push(`${what} is code`);
          if (LOADING.includes(name)) problems.push(`${what} loads something`);
          if (name === "src" && !value.startsWith("cid:"))
            problems.push(`${what}: a picture has to be attached (cid:)`);
          if (name === "style" && /url\(|expression\(/i.test(value)) problems.push(`${what} loads something`);
          if (name === "href") {
            links.push(unescaped(value));
            if (!/^(https?:\/\/|mailto:)/.test(value))
              problems.push(`${what}: a link begins with https://, http:// or mailto:`);
          }
        }
      },
    })
    .transform(html);
  return { problems, links };
}

/** As `look`, of a template: in all of its branches, whichever of them the example takes. @returns the problems. */
export function lookAtSource(source: string): string[] {
  const stripped = source.replaceAll(COMMENT, "");
  return look(stripped.replaceAll(LIQUID, (piece) => (piece.startsWith("{{") ? "https://variable" : ""))).problems;
}

/** What `Bun.escapeHTML` did, back. */
function unescaped(value: string): string {
  return value
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&#x27;", "'")
    .replaceAll("&amp;", "&");
}
