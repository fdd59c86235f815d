/** Whom a request is for: its sender, or, where a service of ours tells so, the client that it asks for. */
import { ACTOR_HEADER, CLIENT_ADDRESS_HEADER, CLIENT_AGENT_HEADER } from "#contracts/headers";
import type { Admission } from "#shared/service-keys";
import type { Client } from "#shared/telemetry";

const MAX_AGENT = 256;
const ADDRESS = /^[\w.:%-]{1,64}$/;
/** Text that a log can do with. */
const ACTOR = /^[\x20-\x7e]{1,200}$/;

/** @param sender address of who sent it. @param believed whether what the request says of another is believed; else it is its sender's own. */
export function clientFrom(request: Request, sender: string, believed: boolean): Client {
  const told = believed ? (request.headers.get(CLIENT_ADDRESS_HEADER) ?? "") : "";
  const isTold = ADDRESS.test(told);
  const agent = agentOf(request.headers.get(isTold ? CLIENT_AGENT_HEADER : "user-agent"));
  const address = isTold ? told : sender;
  return { address, ...(agent === "" ? {} : { agent }) };
}

/** What is no printable ASCII becomes `?`: it goes into headers, mails and terminals. */
function agentOf(text: string | null): string {
  return (text ?? "")
    .slice(0, MAX_AGENT)
    .replace(/[^\x20-\x7e]/g, "?")
    .trim();
}

/** For audit entries: whom a service says it acts for, else that service itself, else the client's address. */
export function actorFrom(request: Request, client: Client, { caller, believed }: Admission): string {
  const actor = believed ? (request.headers.get(ACTOR_HEADER) ?? "") : "";
  if (ACTOR.test(actor)) return actor;
  return caller === undefined ? client.address : `service:${caller}`;
}
