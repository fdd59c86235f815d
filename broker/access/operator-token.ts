/** OPERATOR_TOKEN: the credential for the day on which nobody can log in. */
import { type Field, Secret } from "#shared/config";

/** Text that a bearer token can be (RFC 6750 §2.1), long enough not to be guessed. */
const TOKEN = /^[\w.~+/-]{16,512}=*$/;

export const operatorTokenField: Field<Secret | undefined> = {
  about:
    "A bearer token with all scopes but those of users and keys, for when nobody can log in. Without it the operators' routes are open in development, and for users and keys with their scopes in production",
  allowed: "16 to 512 characters of A-Z a-z 0-9 - . _ ~ + /",
  default: undefined,
  required: false,
  secret: true,
  parse: (value) => (TOKEN.test(value) ? new Secret(value) : undefined),
};
