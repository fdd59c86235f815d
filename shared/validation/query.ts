/** The query of a URL as typed values: the same schemas and the same words as for bodies. */
import type { Static, TObject } from "@sinclair/typebox";
import { fail, type Result } from "#shared/errors";
import { makeValidator } from "./validator.ts";

/** What a schema says of one parameter, as far as it decides how its text is read. */
interface Parameter {
  readonly type?: string;
}

const NUMBER = /^-?\d{1,15}(\.\d{1,15})?$/;

/**
 * A validator of the query of a URL (absolute, as `Request.url` is) for a flat schema of text, numbers and booleans.
 * Failures are `invalid` and name the parameter: one that the schema does not have, one that is there twice, one whose
 * text is no such value.
 */
export function makeQueryValidator<S extends TObject>(schema: S): (url: string) => Result<Static<S>> {
  const validate = makeValidator(schema, { name: "query", unknown: "refuse" });
  const parameters = new Map(Object.entries(schema.properties as Record<string, Parameter>));
  return (url) => {
    const values = new Map<string, unknown>();
    for (const [name, text] of new URL(url).searchParams) {
      if (values.has(name)) return fail("invalid", `${name} is there twice`);
      values.set(name, valueOf(text, parameters.get(name)?.type));
    }
    return validate(Object.fromEntries(values));
  };
}

/** Text that is no such value stays text: the schema says then what is wrong with it. */
function valueOf(text: string, type: string | undefined): unknown {
  if ((type === "integer" || type === "number") && NUMBER.test(text)) return Number(text);
  if (type === "boolean" && (text === "true" || text === "false")) return text === "true";
  return text;
}
