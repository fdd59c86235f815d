/**
 * In the frame that shows the HTML of a mail: draws what the console sends, and says how high it is. Its policy lets no other script
 * run, nothing be fetched and no form be sent; where a link leads is shown, and opened by whoever copies it.
 */

interface Letter {
  readonly html: string;
}

addEventListener("message", ({ data, source }: MessageEvent<Letter>) => {
  if (source !== parent || typeof data?.html !== "string") return;
  const parsed = new DOMParser().parseFromString(data.html, "text/html");
  document.head.append(...parsed.head.querySelectorAll("style"));
  document.body.replaceWith(parsed.body);
  for (const link of document.querySelectorAll("a")) link.title = link.href;
  tell();
});
addEventListener("click", (event) => event.preventDefault());
addEventListener("resize", tell);

function tell(): void {
  parent.postMessage({ height: document.documentElement.scrollHeight }, "*");
}

parent.postMessage({ ready: true }, "*");
