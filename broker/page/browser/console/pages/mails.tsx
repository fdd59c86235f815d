import { PageTitle } from "../ui.tsx";

export function MailsPage() {
  return <PageTitle title="Mail" />;
}
