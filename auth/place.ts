/** Where somebody is who asks: text for people, and for telling a place that he was at before from a new one. */
import type { CallContext, Client } from "#shared/telemetry";

export type Place = Client;

/** Where a request came from; `unknown` where nobody can tell. */
export function placeOf({ client }: Pick<CallContext, "client">): Place {
  return client ?? { address: "unknown" };
}

/** A browser of another version is the same browser. */
const kindOf = (agent: string | undefined): string => (agent ?? "").replace(/[\d._]+/g, "");

/** The network that an address lies in: /24 of IPv4, /48 of IPv6, since the rest of it changes from day to day. */
export function networkOf(address: string): string {
  const v4 = /^(?:::ffff:)?(\d+\.\d+\.\d+)\.\d+$/i.exec(address)?.[1];
  if (v4 !== undefined) return v4;
  const [head = "", tail] = address.toLowerCase().split("::");
  const groups = head.split(":").filter((group) => group !== "");
  // What `::` stands for are zeros; only where it comes within the first three groups they count.
  const zeros = tail === undefined ? [] : Array.from({ length: 3 }, () => "0");
  return [...groups, ...zeros]
    .slice(0, 3)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":");
}

/** Whether somebody was there before: with a browser of that kind, in that network. */
export function isKnown(place: Place, earlier: readonly Place[]): boolean {
  return earlier.some(
    ({ address, agent }) => networkOf(address) === networkOf(place.address) && kindOf(agent) === kindOf(place.agent),
  );
}
