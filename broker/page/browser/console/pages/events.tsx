import { PageTitle } from "../ui.tsx";

export function EventsPage() {
  return <PageTitle title="Events" />;
}
