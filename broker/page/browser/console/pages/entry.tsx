import { PageTitle } from "../ui.tsx";

export function EntryPage() {
  return <PageTitle title="Log entry" />;
}
