/** The inbox's page: markup, style and script, each served by itself so that the policy can forbid inline code. */

export const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Inbox</title>
<link rel="stylesheet" href="/inbox.css">
</head>
<body>
<header>
<h1>Inbox <span id="count"></span></h1>
<input id="query" type="search" placeholder="Search" aria-label="Search mails" autocomplete="off">
<button id="clear" type="button">Delete all</button>
</header>
<main>
<ul id="list" aria-label="Mails"></ul>
<article id="mail" aria-live="polite"><p class="quiet">Mails that the platform sends end here; none leaves this machine.</p></article>
</main>
<script src="/inbox.js"></script>
</body>
</html>
`;

export const STYLE = `
:root { color-scheme: light dark; --line: #8884; --quiet: #777; --mark: #2563eb22; }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; height: 100vh; display: flex; flex-direction: column; }
header { display: flex; gap: 1rem; align-items: center; padding: .6rem 1rem; border-bottom: 1px solid var(--line); }
h1 { font-size: 1.1rem; margin: 0; }
h1 span, .quiet, dt { color: var(--quiet); font-weight: normal; }
input, button { font: inherit; padding: .3rem .7rem; border: 1px solid var(--line); border-radius: .4rem; background: none; color: inherit; }
button { cursor: pointer; }
#query { flex: 1; max-width: 28rem; margin-left: auto; }
main { flex: 1; display: grid; grid-template-columns: minmax(16rem, 24rem) 1fr; min-height: 0; }
#list { margin: 0; padding: 0; list-style: none; overflow: auto; border-right: 1px solid var(--line); }
#list button { display: block; width: 100%; text-align: left; border: 0; border-radius: 0; border-bottom: 1px solid var(--line); padding: .6rem 1rem; }
#list button[aria-current=true] { background: var(--mark); }
#list .unread b { font-weight: 700; }
#list b { font-weight: 400; display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
#list small { display: flex; justify-content: space-between; gap: 1rem; color: var(--quiet); }
#list small span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
#mail { overflow: auto; padding: 1rem 1.5rem; min-width: 0; }
#mail h2 { margin: 0 0 .5rem; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: 0 0 1rem; }
dd { margin: 0; overflow-wrap: anywhere; }
nav { display: flex; gap: .5rem; margin-bottom: 1rem; flex-wrap: wrap; }
nav button[aria-pressed=true] { background: var(--mark); }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; font: 13px/1.5 ui-monospace, monospace; }
iframe { width: 100%; height: 65vh; border: 1px solid var(--line); border-radius: .4rem; background: #fff; }
@media (max-width: 45rem) { main { grid-template-columns: 1fr; grid-template-rows: 40% 1fr; } #list { border-right: 0; border-bottom: 1px solid var(--line); } }
`;

/** Everything that a mail says is put in as text, never as markup; its HTML is shown in a frame without rights. */
export const CLIENT = `"use strict";
const $ = (id) => document.getElementById(id);
let open = null;
let shown = "";

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}
const person = ({ Name, Address }) => (Name ? Name + " <" + Address + ">" : Address);
const people = (list) => (list ?? []).map(person).join(", ");
const time = (text) => new Date(text).toLocaleString();

async function refresh() {
  const query = $("query").value.trim();
  const path = query === "" ? "/api/v1/messages?limit=200" : "/api/v1/search?limit=200&query=" + encodeURIComponent(query);
  let body;
  try {
    body = await (await fetch(path)).json();
  } catch {
    $("count").textContent = "(not running)";
    shown = "";
    return;
  }
  const state = JSON.stringify([body.messages, open]);
  if (state === shown) return;
  shown = state;
  $("count").textContent = query === "" ? String(body.total) : body.messages_count + " of " + body.total;
  $("list").replaceChildren(...body.messages.map(row));
}

function row(mail) {
  const top = element("small", {}, element("span", { textContent: people(mail.To) || people(mail.Bcc) }), element("time", { textContent: time(mail.Created) }));
  const button = element("button", { type: "button", className: mail.Read ? "" : "unread", onclick: () => show(mail.ID) },
    top, element("b", { textContent: mail.Subject || "(no subject)" }),
    element("small", {}, element("span", { textContent: person(mail.From) })));
  button.setAttribute("aria-current", String(mail.ID === open));
  return element("li", {}, button);
}

async function show(id) {
  const path = "/api/v1/message/" + id;
  const answer = await fetch(path);
  if (!answer.ok) return refresh();
  const mail = await answer.json();
  const headers = await (await fetch(path + "/headers")).json();
  open = id;
  const facts = element("dl");
  for (const [name, value] of [["From", person(mail.From)], ["To", people(mail.To)], ["Cc", people(mail.Cc)], ["Bcc", people(mail.Bcc)], ["Date", time(mail.Date)]]) {
    if (value) facts.append(element("dt", { textContent: name }), element("dd", { textContent: value }));
  }
  const body = element("div");
  const frame = () => {
    const made = element("iframe", { title: "Mail as HTML", src: "/view/" + id + ".html" });
    made.setAttribute("sandbox", "");
    return made;
  };
  const lines = Object.entries(headers).flatMap(([name, values]) => values.map((value) => name + ": " + value));
  const views = {
    ...(mail.HTML ? { HTML: frame } : {}),
    Text: () => element("pre", { textContent: mail.Text || "(no text part)" }),
    Headers: () => element("pre", { textContent: lines.join("\\n") }),
    Source: () => element("iframe", { title: "Source", src: path + "/raw" }),
  };
  const tabs = element("nav");
  const choose = (name) => {
    for (const tab of tabs.children) tab.setAttribute("aria-pressed", String(tab.textContent === name));
    body.replaceChildren(views[name]());
  };
  for (const name of Object.keys(views)) tabs.append(element("button", { type: "button", textContent: name, onclick: () => choose(name) }));
  const files = element("ul");
  for (const part of mail.Attachments) {
    files.append(element("li", {}, element("a", { href: path + "/part/" + part.PartID, textContent: part.FileName + " (" + part.ContentType + ", " + part.Size + " bytes)" })));
  }
  $("mail").replaceChildren(element("h2", { textContent: mail.Subject || "(no subject)" }), facts, tabs, body, files);
  choose(mail.HTML ? "HTML" : "Text");
  await refresh();
}

$("clear").onclick = async () => {
  if (!confirm("Delete all mails?")) return;
  await fetch("/api/v1/messages", { method: "DELETE" });
  open = null;
  $("mail").replaceChildren();
  await refresh();
};
$("query").oninput = refresh;
// Looks again while somebody looks; a hidden page asks for nothing.
setInterval(() => { if (!document.hidden) refresh(); }, 2000);
refresh();
`;
