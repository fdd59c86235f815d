/** Protocol versions by their numbers on the wire (RFC 8446 §4.1.2), as the runtime takes them. */
export const TLS_1_2 = 0x0303;
/** Needed on links inside the platform. */
export const TLS_1_3 = 0x0304;
