/** Templates of mails: their variables, and what becomes of them as one types. */
import { useLocation, useRoute } from "preact-iso";
import { useEffect, useMemo, useState } from "preact/hooks";
import { ask, type Schema, type Trouble, withQuery } from "../api.ts";
import { Show, TroubleNotice, useAsked } from "../asked.tsx";
import { MailContent } from "../letter.tsx";
import { Button, ChoiceField, Empty, PageTitle, Section, SettledField, Spinner, TableBox } from "../ui.tsx";

type Template = Schema<"TemplateView">;
type Content = Schema<"MailContent">;

export function TemplatesPage() {
  const { params } = useRoute();
  const name = params["name"];
  const asked = useAsked<Schema<"TemplateList">>("/v1/templates");
  return (
    <>
      <PageTitle
        title={name === undefined ? "Templates" : `Template ${name}`}
        {...(name === undefined
          ? { lead: "Mails that are asked for by name: subject, HTML and text in several languages." }
          : {})}
      >
        {name !== undefined && (
          <>
            <a class="button" href={`/console/mails?template=${encodeURIComponent(name)}`}>
              Mails made from it
            </a>
            <a class="button" href="/console/templates">
              All templates
            </a>
          </>
        )}
        {name === undefined && (
          <a class="button" href="/console/mails">
            Mails
          </a>
        )}
      </PageTitle>
      <Show of={asked} what="the templates">
        {({ items }) =>
          name === undefined ? <List items={items} /> : <One versions={items.filter((one) => one.name === name)} />
        }
      </Show>
    </>
  );
}

function List({ items }: { items: readonly Template[] }) {
  const newest = new Map(items.map((one) => [one.name, one]));
  if (newest.size === 0) return <Empty title="There are no templates." />;
  return (
    <div class="grid">
      {[...newest.values()].map(({ name, version, locales, description }) => (
        <section key={name} class="card">
          <h2>
            <a href={`/console/templates/${name}`}>{name}</a>
          </h2>
          <p>{description}</p>
          <small>
            version {version}; {locales.join(", ")}
          </small>
        </section>
      ))}
    </div>
  );
}

function One({ versions }: { versions: readonly Template[] }) {
  const { route, path } = useLocation();
  const { query } = useRoute();
  const template = versions.find(({ version }) => String(version) === query["version"]) ?? versions.at(-1);
  if (template === undefined) {
    return (
      <Empty title="There is no template of this name.">
        <a href="/console/templates">These there are.</a>
      </Empty>
    );
  }
  const locale = query["locale"] ?? (template.locales.includes("en") ? "en" : (template.locales[0] ?? "en"));
  const set = (name: string, value: string): void =>
    route(withQuery(path, { version: query["version"], locale: query["locale"], [name]: value }), true);
  return (
    <>
      <p>{template.description}</p>
      <Try
        key={template.version}
        template={template}
        locale={locale}
        choices={
          <div class="filters">
            <ChoiceField
              label="Version"
              value={String(template.version)}
              onInput={(value) => set("version", value)}
              options={versions.map(({ version }) => [String(version), String(version)] as const)}
            />
            <ChoiceField
              label="Language"
              value={locale}
              onInput={(value) => set("locale", value)}
              options={[...new Set([...template.locales, locale])].map((one) => [one, one] as const)}
            />
          </div>
        }
      />
      <Variables schema={template.schema} />
    </>
  );
}

/** What was typed: variables, or what is wrong with them. */
function read(text: string): { readonly variables?: Record<string, unknown>; readonly problem?: string } {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return { problem: "Variables are a JSON object: names and their values in { }." };
    return { variables: value as Record<string, unknown> };
  } catch (error) {
    return { problem: `Not JSON: ${error instanceof Error ? error.message : String(error)}.` };
  }
}

function Try({
  template: { name, version, example },
  locale,
  choices,
}: {
  template: Template;
  locale: string;
  choices: preact.ComponentChildren;
}) {
  const first = useMemo(() => JSON.stringify(example, null, 2), [example]);
  const [text, setText] = useState(first);
  const { variables, problem } = useMemo(() => read(text), [text]);
  const { content, trouble } = usePreview(name, version, locale, variables);
  const refused = trouble?.status === 422 ? `${trouble.message}.` : undefined;
  return (
    <div class="panes">
      <Section
        title="Variables"
        actions={
          <Button small disabled={text === first} onClick={() => setText(first)}>
            As in the example
          </Button>
        }
      >
        {choices}
        <SettledField
          label="Variables, JSON"
          lines={14}
          value={text}
          onInput={setText}
          error={problem ?? refused}
          hint="The preview follows as you type."
        />
      </Section>
      <Section title="What becomes of it">
        {trouble !== undefined && refused === undefined && <TroubleNotice trouble={trouble} what="the preview" />}
        {content === undefined ? (
          trouble === undefined && problem === undefined && <Spinner what="the preview" />
        ) : (
          <div class={problem === undefined && refused === undefined ? "" : "stale"}>
            {(problem ?? refused) !== undefined && (
              <p class="hint">As it was before: the variables are not right now.</p>
            )}
            <MailContent of={content} />
          </div>
        )}
      </Section>
    </div>
  );
}

/** The last preview that could be made, and why there is none of what is asked for now. */
function usePreview(
  name: string,
  version: number,
  locale: string,
  variables: Record<string, unknown> | undefined,
): { readonly content: Content | undefined; readonly trouble: Trouble | undefined } {
  const [state, setState] = useState<{ content?: Content; trouble?: Trouble }>({});
  useEffect(() => {
    if (variables === undefined) return undefined;
    const ended = new AbortController();
    const look = async (): Promise<void> => {
      const reply = await ask<Content>("POST", `/v1/templates/${encodeURIComponent(name)}/preview`, {
        body: { version, locale, variables },
        signal: ended.signal,
      });
      if (ended.signal.aborted) return;
      setState((before) => (reply.ok ? { content: reply.data } : { ...before, trouble: reply.trouble }));
    };
    void look();
    return () => ended.abort();
  }, [name, version, locale, variables]);
  return { content: state.content, trouble: state.trouble };
}

interface VariableFacts {
  readonly type?: unknown;
  readonly format?: unknown;
  readonly enum?: readonly unknown[];
  readonly description?: string;
}

/** What the template's JSON Schema says of each variable, on its first level. */
function Variables({ schema }: { schema: unknown }) {
  const { properties = {}, required = [] } = (schema ?? {}) as {
    properties?: Readonly<Record<string, VariableFacts>>;
    required?: readonly string[];
  };
  const names = Object.keys(properties);
  return (
    <Section title="Its variables">
      {names.length === 0 ? (
        <p class="hint">It has none.</p>
      ) : (
        <TableBox label="Variables of the template">
          <table>
            <thead>
              <tr>
                <th>Name</th>
                <th>Kind</th>
                <th>Needed</th>
                <th>What it is</th>
              </tr>
            </thead>
            <tbody>
              {names.map((one) => (
                <tr key={one}>
                  <td>
                    <code>{one}</code>
                  </td>
                  <td>{kindOf(properties[one] ?? {})}</td>
                  <td>{required.includes(one) ? "yes" : "no"}</td>
                  <td class="wide">{properties[one]?.description}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </TableBox>
      )}
    </Section>
  );
}

function kindOf({ type, format, enum: choices }: VariableFacts): string {
  if (choices !== undefined) return choices.join(", ");
  return [type, format].filter((one) => typeof one === "string").join(", ");
}
