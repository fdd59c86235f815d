/**
 * In the frame that shows the HTML of a mail: draws what the console sends, and says how high it is. Its policy lets no other script
 * run, nothing be fetched and no form be sent. What that policy would have to forbid is taken out before: so nothing is even
 * tried, and the console can tell what is not shown, and where links lead, which nobody follows from here.
 */

/** To the frame: what to draw. */
export interface Letter {
  readonly html: string;
}

/** From the frame, first before there is anything to draw, then whenever its height may have changed. */
export interface Drawn {
  /** px. */
  readonly height: number;
  /** Where its links lead, each once. */
  readonly links: readonly string[];
  /** Images and other things that are elsewhere, and are not loaded. */
  readonly left: number;
}

const LINKS_MAX = 100;
const LINK_MAX = 2_000;
/** Elements that would run, load, lead away or hold another document. */
const UNWANTED =
  "script,noscript,iframe,frame,frameset,object,embed,applet,link,meta,base,template,audio,video,set,animate";
/** Elements whose names become properties of their form, or of the document. */
const NAMED = "img,input,button,select,textarea,fieldset,output";
/** Attributes that name what would be loaded, and others that lead somewhere or take the focus. */
const LOADING = new Set(["src", "srcset", "poster", "background", "data"]);
const LEADING = new Set([
  "href",
  "xlink:href",
  "action",
  "formaction",
  "ping",
  "target",
  "cite",
  "usemap",
  "autofocus",
]);
/** Its attributes would be lost, such as the colour of the ground. */
const BODY = /<(\/?)body\b/gi;
/** Handlers are refused, and that complained of, as soon as they are read: so most of them are not read as such. */
const TAG = /<[a-z][^<>]*>/gi;
const withoutHandlers = (tag: string): string => tag.replaceAll(/([\s/"'])on(?=[a-z]+\s*=)/gi, "$1data-on");
const ELSEWHERE = /url\(\s*(?!\s*['"]?(?:data:|#))[^)]*\)|@import[^;}]*;?|image-set\([^)]*\)/gi;

let drawn: Omit<Drawn, "height"> = { links: [], left: 0 };

addEventListener("message", ({ data, source }: MessageEvent<Letter>) => {
  if (source !== parent || typeof data?.html !== "string") return;
  // What is in a template is of no document: nothing of it is loaded, and it takes the name of no property of one.
  const template = document.createElement("template");
  template.innerHTML = data.html.replaceAll(BODY, "<$1div").replaceAll(TAG, withoutHandlers);
  drawn = makeInert(template.content);
  document.body.replaceChildren(template.content);
  tell();
});
addEventListener("resize", tell);
tell();

function tell(): void {
  const height = Math.ceil(document.documentElement.getBoundingClientRect().height);
  parent.postMessage({ ...drawn, height } satisfies Drawn, location.origin);
}

function makeInert(root: DocumentFragment): Omit<Drawn, "height"> {
  const links = new Set<string>();
  let left = 0;
  const withoutUrls = (css: string): string => css.replaceAll(ELSEWHERE, () => ((left += 1), "none"));

  for (const unwanted of root.querySelectorAll(UNWANTED)) {
    if (unwanted.matches("link,iframe,object,embed,audio,video")) left += 1;
    unwanted.remove();
  }
  for (const named of root.querySelectorAll(NAMED)) for (const name of ["id", "name"]) named.removeAttribute(name);
  for (const form of root.querySelectorAll("form")) form.replaceWith(...form.childNodes);
  for (const style of root.querySelectorAll("style")) style.textContent = withoutUrls(style.textContent ?? "");
  for (const element of root.querySelectorAll("*")) {
    for (const { name, value } of Array.from(element.attributes)) {
      // Also what draws in SVG, such as `fill`.
      if (/url\(|image-set/i.test(value)) element.setAttribute(name, withoutUrls(value));
      if (name === "href" && element.matches("a,area") && links.size < LINKS_MAX) links.add(value.slice(0, LINK_MAX));
      const isOwn = element.matches("img") && name === "src" && /^data:image\//i.test(value);
      if (isOwn || !(LOADING.has(name) || LEADING.has(name) || name.startsWith("on"))) continue;
      element.removeAttribute(name);
      if (LOADING.has(name)) left += 1;
      if (name === "href") element.setAttribute("title", value);
    }
  }
  return { links: [...links], left };
}
