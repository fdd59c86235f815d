/** Text files are imported as text (`with { type: "text" }`), so that an executable carries them. */
declare module "*.txt" {
  const text: string;
  // oxlint-disable-next-line import/no-default-export -- the form in which Bun gives a file's text
  export default text;
}
