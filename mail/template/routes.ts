/** HTTP surface of the templates. Translates only. */
import { Elysia } from "elysia";
import { PreviewRequest, TemplateChoice } from "#contracts/mail";
import { envelope } from "#shared/http";
import { makeValidator } from "#shared/validation";
import type { Templates } from "./templates.ts";

const previewOf = makeValidator(PreviewRequest, { unknown: "refuse" });
const choiceOf = makeValidator(TemplateChoice, { unknown: "refuse" });

export function templateRoutes(templates: Templates) {
  return new Elysia({ name: "mail.template.routes" })
    .get("/templates", () => envelope("templates", { items: templates.list() }))
    .post("/templates/:name/preview", async ({ body, params }) => {
      const valid = previewOf(body);
      const choice = valid.ok ? choiceOf({ ...valid.value, name: params.name }) : valid;
      if (!choice.ok) throw choice.error;
      const rendered = await templates.render(choice.value);
      if (!rendered.ok) throw rendered.error;
      const { name, version, locale, subject, text, html } = rendered.value;
      return envelope("preview", { subject, text, html, template: { name, version, locale } });
    });
}
