/** HTML of templates: what is put around it, and what is refused in it. */
import { expect, test } from "bun:test";
import { inLayout, inlined, liquidProblems, look, lookAtSource } from "./markup.ts";

const isLink = (name: string): boolean => name === "url";

test("content goes into the one place for it", () => {
  expect(inLayout("a {{ content }} b", "x $& {{ y }}\n")).toBe("a x $& {{ y }} b");
  expect(inLayout("a {{- content -}} b", "x")).toBe("a x b");
  expect(inLayout("a b", "x")).toBeUndefined();
  expect(inLayout("{{ content }}{{ content }}", "x")).toBeUndefined();
});

test("rules become attributes, media queries stay, and Liquid is not touched", () => {
  const out = inlined(
    `<style>p { color: red } @media (prefers-color-scheme: dark) { p { color: blue !important } }</style>` +
      `<table><tr>{% if a > 1 and b < "2" %}<td><p title="{{ a | append: '<&"' }}">{{ a }}</p></td>{% endif %}</tr></table>`,
  );
  expect(out).toContain(`{% if a > 1 and b < "2" %}<td>`);
  expect(out).toContain(`<p title="{{ a | append: '<&"' }}" style="color: red;">{{ a }}</p>`);
  expect(out).toContain("@media (prefers-color-scheme: dark)");
  expect(out.match(/color: red/g)).toHaveLength(1);
});

test.each([
  `<p title="{{ x }}" class="a">{{ x }} {% if a < b %}<br/>{% endif %}</p>`,
  `<!doctype html><!-- plain --><a class="b" href="{{ url }}" title='{{ x }}'>x</a>`,
  `<a href="{{- item.url -}}">{{ x }}</a>`,
  `<a href="https://example.org">1 < 2</a>`,
  `{% for url in urls %}<a href="{{ entry.url }}">x</a>{% endfor %}`,
])("right: %s", (source) => {
  expect(liquidProblems(source, isLink)).toEqual([]);
});

test.each([
  ["<p title={{ x }}>", "only be in a quoted value"],
  ["<p {{ x }}>", "only be in a quoted value"],
  ['<p {% if x %}title="a"{% endif %}>', "only be in a quoted value"],
  ['<p data-{{ x }}="a">', "only be in a quoted value"],
  ["<{{ x }}>", "one whose name is Liquid"],
  ["<h{{ x }}>", "in the name of an element"],
  ["</{{ x }}>", "one whose name is Liquid"],
  ['<a title="{{ x }}', "a tag that does not end"],
  ['<p class="a {{ x }}">', "may not be in class"],
  ['<p style="color: {{ x }}">', "may not be in style"],
  ['<img src="{{ url }}">', "may not be in src"],
  ['<a href="{{ x }}">', 'href may only be one variable whose schema has "format": "uri"'],
  ['<a href="https://example.org/{{ url }}">', "href may only be one variable"],
  ['<a href="{{ url | append: x }}">', "href may only be one variable"],
  ['{% assign url = x %}<a href="{{ url }}">', "href may not be a variable that the template itself sets"],
  ['{%- for url in xs -%}<a href="{{ url }}">{% endfor %}', "that the template itself sets"],
  ['{% capture url %}{{ x }}{% endcapture %}<a href="{{ url }}">', "that the template itself sets"],
  ["<script>{{ x }}</script>", "Liquid in <script>"],
  ["<style>p { color: {{ x }} }</style>", "Liquid in <style>"],
  ["<!-- {{ x }} -->", "Liquid in a comment"],
])("wrong: %s", (source, message) => {
  expect(liquidProblems(source, isLink).join("\n")).toContain(message);
});

test.each([
  ["<script>1</script>", "<script> may not be in a mail"],
  ['<link rel="stylesheet" href="https://example.org">', "<link> may not be in a mail"],
  ['<iframe src="cid:x"></iframe>', "<iframe> may not be in a mail"],
  ['<form action="https://example.org"></form>', "<form> may not be in a mail"],
  ['<img src="https://example.org/pixel.gif">', "a picture has to be attached (cid:)"],
  ['<img src="data:image/png;base64,x">', "a picture has to be attached (cid:)"],
  ['<img srcset="https://example.org/a">', "loads something"],
  ['<td background="https://example.org/a">', "loads something"],
  ['<p style="background: url(https://example.org)">', "loads something"],
  ["<style>@import 'https://example.org';</style>", "loads something"],
  ['<p onclick="x()">', "is code"],
  ['<a href="javascript:x()">', "a link begins with"],
  ['<a href="/relative">', "a link begins with"],
  ['<meta http-equiv="refresh" content="0">', "leads elsewhere"],
])("not in a mail: %s", (html, message) => {
  expect(look(html).problems.join("\n")).toContain(message);
});

test("links are told as they are meant; pictures by cid are fine", () => {
  expect(
    look(`<a href="https://example.org/?a=1&amp;b=&quot;">x</a><img src="cid:logo"><a href="mailto:a@b.c">`),
  ).toEqual({
    problems: [],
    links: ['https://example.org/?a=1&b="', "mailto:a@b.c"],
  });
});

test("a template is looked over in all of its branches, and what is commented out is not there", () => {
  expect(
    lookAtSource(`{% if a %}<img src="https://example.org/p">{% elsif b %}<p onclick="x()">{% endif %}`).join("\n"),
  ).toMatch(/has to be attached[\s\S]*is code/);
  expect(
    lookAtSource(`{% comment %}<script>{% endcomment %}<a href="{{ url }}" title="{{ x }}">{% if x %}x{% endif %}</a>`),
  ).toEqual([]);
});
