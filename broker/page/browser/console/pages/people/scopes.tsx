/** What somebody may, in words: by his role, and besides. */
import { Fragment } from "preact";
import { ROLES, type Role, type Scope, SCOPE_NAMES, SCOPES } from "#contracts/scopes";
import { may } from "../../session.ts";

const ROLE_NAMES = Object.keys(ROLES) as Role[];

/** Of a choice. */
export const ROLE_OPTIONS = ROLE_NAMES.map((role) => [role, role] as const);

/** Of a filter. */
export const ANY_ROLE: readonly (readonly [string, string])[] = [["", "any"], ...ROLE_OPTIONS];

export const isRole = (text: string): text is Role => Object.hasOwn(ROLES, text);

/** Those that whoever is signed in has not himself: he can't give them, or change somebody who has them (docs/users.md). */
export const notYours = (scopes: readonly Scope[]): Scope[] => scopes.filter((scope) => !may(scope));

/** Each with what it is good for. */
export function ScopeList({ scopes, empty }: { scopes: readonly Scope[]; empty: string }) {
  if (scopes.length === 0) return <p class="hint">{empty}</p>;
  return (
    <dl class="facts">
      {scopes.map((scope) => (
        <Fragment key={scope}>
          <dt>
            <code>{scope}</code>
          </dt>
          <dd>{SCOPES[scope]}</dd>
        </Fragment>
      ))}
    </dl>
  );
}

/** In a line of a table. */
export function ScopeWords({ scopes }: { scopes: readonly Scope[] }) {
  return scopes.length === 0 ? (
    <>none</>
  ) : (
    <>
      {scopes.map((scope) => (
        <code key={scope} class="word">
          {scope}
        </code>
      ))}
    </>
  );
}

export interface ScopeChoiceProps {
  readonly legend: string;
  readonly chosen: readonly Scope[];
  readonly onChoose: (chosen: Scope[]) => void;
  /** Held anyway, such as by the role: shown as such, and not to be chosen. */
  readonly held?: readonly Scope[];
}

/** Some of all scopes. Those that whoever is signed in has not himself can't be given, and say so. */
export function ScopeChoice({ legend, chosen, onChoose, held = [] }: ScopeChoiceProps) {
  return (
    <fieldset class="scopes">
      <legend>{legend}</legend>
      {SCOPE_NAMES.map((scope) => {
        const why = held.includes(scope) ? "by the role" : may(scope) ? undefined : "you have it not yourself";
        return (
          <label key={scope}>
            <input
              type="checkbox"
              checked={held.includes(scope) || chosen.includes(scope)}
              disabled={why !== undefined}
              onChange={({ currentTarget: { checked } }) =>
                onChoose(SCOPE_NAMES.filter((one) => (one === scope ? checked : chosen.includes(one))))
              }
            />
            <span>
              <code>{scope}</code> <small>{why === undefined ? SCOPES[scope] : `${SCOPES[scope]} (${why})`}</small>
            </span>
          </label>
        );
      })}
    </fieldset>
  );
}
