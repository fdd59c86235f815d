import { CertificatesError, makeCertificates } from "../certificates/files.ts";
import { type Command, DATA_OPTION, UsageError } from "../command.ts";
import { dataDirectory } from "../paths.ts";
import { StackError } from "../stack.ts";
import { listed } from "../terminal.ts";

const HOST = /^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$/;

export const certificates: Command = {
  name: "certificates",
  summary: "a certificate authority for development, and a certificate for each service",
  details: `They lie in the data directory, below tls/, keys readable by their owner only. A valid authority is never replaced;
certificates that are good stay. bun run up --tls uses them, and makes them where they are missing.
Exit codes: 0 they are there, 2 the authority there can't be used.`,
  options: {
    renew: {
      type: "boolean",
      about: "make all certificates anew, by the same authority; services take them within 2 s",
    },
    hosts: { type: "string", value: "A,B", about: "further names and addresses that they are to be good for" },
    data: DATA_OPTION,
  },
  async run(args) {
    const hosts = (args.text("hosts") ?? "").split(",").filter((host) => host !== "");
    const odd = hosts.find((host) => !HOST.test(host));
    if (odd !== undefined) throw new UsageError(`"${odd}" is no host name and no address`);
    try {
      const { directory, authority, made } = await makeCertificates(dataDirectory(args.text("data")), {
        renew: args.flag("renew"),
        hosts,
      });
      process.stdout.write(`${directory}
  ca.pem         ${authority === "new" ? "a new authority" : "the authority of before"}: what clients trust (TLS_CA_FILE, curl --cacert)
  <service>.pem  ${made.length === 0 ? "all good as they are; --renew makes new ones" : `made: ${listed(made)}`}
`);
      return 0;
    } catch (error) {
      if (error instanceof CertificatesError) throw new StackError(error.message);
      throw error;
    }
  },
};
