/** The entry of juice that only works on text: without what fetches stylesheets and pictures. It ships no types of its own. */
declare module "juice/client" {
  import type { Options } from "juice";
  interface Inline {
    (html: string, options?: Options): string;
    /** What is left alone, by the expressions that it begins and ends with. */
    codeBlocks: Record<string, { start: string; end: string }>;
  }
  const inline: Inline;
  // oxlint-disable-next-line import/no-default-export -- the form in which the package gives it
  export default inline;
}
