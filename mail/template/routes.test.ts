/** The templates over HTTP. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { TemplateView } from "#contracts/mail";
import { httpApp, listen } from "#shared/http";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { templateRoutes } from "./routes.ts";
import { openTemplates } from "./templates.ts";

const templates = openTemplates({ defaultLocale: "en", log: silentLog });
let server: ReturnType<typeof listen>;

beforeAll(() => {
  const runtime = makeRuntime("mail", silentLog, () => undefined);
  server = listen(httpApp(runtime, []).use(templateRoutes(templates)), { HOST: "127.0.0.1", PORT: 0 });
});
afterAll(() => server[Symbol.asyncDispose]());

async function preview(name: string, body: unknown) {
  const response = await fetch(`${server.url}/templates/${name}/preview`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as { message: string; data?: unknown };
  return { status: response.status, ...answer };
}

test("GET /templates tells all that it takes to use one", async () => {
  const answer = (await (await fetch(`${server.url}/templates`)).json()) as { data: { items: TemplateView[] } };
  expect(answer.data.items).toEqual(templates.list());
  expect(answer.data.items.at(-1)).toMatchObject({
    name: "welcome",
    version: 1,
    locales: ["de", "en"],
    schema: { type: "object", required: ["address"] },
    example: { address: "ann@example.org" },
  });
});

test("a preview is what render gives, byte for byte", async () => {
  const variables = { address: "ann@example.org" };
  const { status, data } = await preview("welcome", { locale: "de-AT", variables });
  const mail = await templates.render({ name: "welcome", locale: "de-AT", variables });
  if (!mail.ok) throw mail.error;
  const { name, version, locale, subject, html, text } = mail.value;
  expect(status).toBe(200);
  expect(data).toEqual({ subject, html, text, template: { name, version, locale } });
});

test.each<[string, unknown, string]>([
  ["nope", {}, 'template: there is no "nope"; there are account-changed, '],
  ["No%20pe", {}, "name must be the name of a template"],
  ["welcome", { variables: {} }, "variables.address is needed"],
  ["welcome", { variable: {} }, "variable is not a known field"],
  ["welcome", { name: "alert" }, "name is not a known field"],
  ["welcome", { locale: "../../etc" }, "locale must be a locale such as de or de-AT"],
  ["welcome", { version: 0 }, "version must be a whole number"],
  ["welcome", [], "body must be an object"],
])("preview of %s with %j: 422, and it says what", async (name, body, message) => {
  const answer = await preview(name, body);
  expect(answer.status).toBe(422);
  expect(answer.message).toContain(message);
  expect(answer.data).toBeUndefined();
});
