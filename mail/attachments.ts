/** What may be attached to a mail, beyond the contract's shapes. */
import type { Attachment } from "#contracts/mail";
import { fail, ok, type Result } from "#shared/errors";

/**
 * Of all attachments of a mail together, decoded (bytes). What is more would not get here: a request holds 1 MiB, and
 * base64 takes a third of it for itself.
 */
export const ATTACHMENTS_MAX_BYTES = 716_800;

/** Ends of file names that a recipient's machine runs when they are opened. After what large mail providers refuse. */
const EXECUTABLE_EXTENSIONS = new Set(
  (
    "ade adp apk app appx appxbundle bash bat cab chm class cmd com command cpl csh deb desktop diagcab diagcfg diagpkg dll dmg " +
    "ex ex_ exe gadget hta img inf ins iso isp jar jnlp js jse ksh lib lnk mde mjs msc msh msi msix msixbundle msp mst " +
    "nsh pif pkg ps1 ps2 psc1 psm1 py reg rpm scf scr sct sh shb sys url vb vbe vbs vhd vhdx vxd wasm workflow ws wsc wsf wsh xll"
  ).split(" "),
);
const EXECUTABLE_TYPES = new Set([
  "application/hta",
  "application/java-archive",
  "application/javascript",
  "application/vnd.android.package-archive",
  "application/vnd.microsoft.portable-executable",
  "application/wasm",
  "application/x-bat",
  "application/x-csh",
  "application/x-dosexec",
  "application/x-executable",
  "application/x-javascript",
  "application/x-ms-installer",
  "application/x-ms-shortcut",
  "application/x-msdos-program",
  "application/x-msdownload",
  "application/x-msi",
  "application/x-powershell",
  "application/x-sh",
  "application/x-shellscript",
  "text/javascript",
  "text/vbscript",
  "text/x-shellscript",
]);

/** The end of a file name as Windows reads it: what stands after its last dot, dots and spaces at the very end left out. */
function extensionOf(filename: string): string {
  return (
    /\.([^.]*)$/
      .exec(filename.replace(/[. ]+$/, ""))?.[1]
      ?.trim()
      .toLowerCase() ?? ""
  );
}

/** @returns failure `invalid` that names the field, for the first attachment that may not be sent. */
export function allowedAttachments(attachments: readonly Attachment[]): Result<void> {
  let bytes = 0;
  const ids = new Set<string>();
  for (const [index, { filename, content_type, content, content_id }] of attachments.entries()) {
    const field = `attachments[${index}]`;
    const extension = extensionOf(filename);
    if (EXECUTABLE_EXTENSIONS.has(extension)) {
      return fail("invalid", `${field}.filename must not be that of a program: .${extension} is refused`);
    }
    // Signs that turn the writing round make one end of a name look like another.
    if (/\p{Cf}/u.test(filename)) return fail("invalid", `${field}.filename must not hold signs that cannot be seen`);
    const type = content_type.toLowerCase();
    if (EXECUTABLE_TYPES.has(type)) {
      return fail("invalid", `${field}.content_type must not be that of a program: ${type} is refused`);
    }
    // RFC 2045 §6.4: neither may be encoded as base64.
    if (/^(multipart|message)\//.test(type)) {
      return fail("invalid", `${field}.content_type must be that of one file: ${type} is refused`);
    }
    if (content_id !== undefined && ids.has(content_id)) {
      return fail("invalid", `${field}.content_id is used twice`);
    }
    if (content_id !== undefined) ids.add(content_id);
    bytes += Buffer.byteLength(content, "base64");
  }
  return bytes <= ATTACHMENTS_MAX_BYTES
    ? ok()
    : fail(
        "invalid",
        `attachments must be at most ${ATTACHMENTS_MAX_BYTES / 1_024} KiB together, decoded (they are ${Math.ceil(bytes / 1_024)}): a request holds 1 MiB`,
      );
}
