/** Delivery status notifications as mail servers write them, of people and servers that are invented. */

/** With the line ends of the wire. */
function wire(text: string): string {
  return text.replaceAll("\n", "\r\n");
}

/** The mail that most of them are about. */
export const MESSAGE_ID = "0192a000-0000-7000-8000-000000000001@shop.example.com";

/** A bounce in Postfix's form. */
export function bounceOf(recipient: string, messageId: string, status = "5.1.1", action = "failed"): string {
  return wire(`Return-Path: <>
From: MAILER-DAEMON@relay.example.com (Mail Delivery System)
To: shop@shop.example.com
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="4F00A1B2C3.1764500000/relay.example.com"
Message-Id: <20261130101500.4F00A1B2C3@relay.example.com>

This is a MIME-encapsulated message.

--4F00A1B2C3.1764500000/relay.example.com
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

The mail could not be handed on. Below is what the other server answered.

--4F00A1B2C3.1764500000/relay.example.com
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example.com
X-Postfix-Queue-ID: 4F00A1B2C3
X-Postfix-Sender: rfc822; shop@shop.example.com
Arrival-Date: Mon, 30 Nov 2026 10:14:58 +0000 (UTC)

Final-Recipient: rfc822; ${recipient}
Original-Recipient: rfc822;${recipient}
Action: ${action}
Status: ${status}
Remote-MTA: dns; mx.example.org
Diagnostic-Code: smtp; 550 ${status} <${recipient}>: Recipient address
    rejected: nobody of that name here

--4F00A1B2C3.1764500000/relay.example.com
Content-Description: Undelivered Message Headers
Content-Type: text/rfc822-headers

Received: from mail (localhost [127.0.0.1])
	by relay.example.com (Postfix) with ESMTP id 4F00A1B2C3
Message-ID: <${messageId}>
From: shop@shop.example.com
To: ${recipient}
Subject: Your order

--4F00A1B2C3.1764500000/relay.example.com--
`);
}

/** Exim gives the whole mail back, and has no Original-Recipient. */
export const EXIM = wire(`Return-path: <>
Envelope-to: shop@shop.example.com
Received: from Debian-exim by mx2.example.net with local (Exim 4.96)
	id 1xAbCd-000123-AB for shop@shop.example.com; Mon, 30 Nov 2026 10:15:00 +0000
X-Failed-Recipients: bob@example.org
Auto-Submitted: auto-replied
From: Mail Delivery System <Mailer-Daemon@mx2.example.net>
To: shop@shop.example.com
Content-Type: multipart/report; report-type=delivery-status; boundary=1764500100-eximdsn-1234567890
MIME-Version: 1.0
Subject: Mail delivery failed: returning message to sender
Message-Id: <E1xAbCd-000123-AB@mx2.example.net>

--1764500100-eximdsn-1234567890
Content-type: text/plain; charset=us-ascii

A mail of yours has one recipient whom it did not reach.

--1764500100-eximdsn-1234567890
Content-type: message/delivery-status

Reporting-MTA: dns; mx2.example.net

Action: failed
Final-Recipient: rfc822;bob@example.org
Status: 5.0.0
Remote-MTA: dns; mx.example.org
Diagnostic-Code: smtp; 550-nobody here is called bob
 550 5.1.1 give up

--1764500100-eximdsn-1234567890
Content-type: message/rfc822

Return-path: <shop@shop.example.com>
Received: from mail.example.com ([192.0.2.10])
	by mx2.example.net with esmtps (TLS1.3) tls TLS_AES_256_GCM_SHA384
Message-ID:
 <${MESSAGE_ID}>
From: shop@shop.example.com
To: bob@example.org
Subject: Your order
Content-Type: multipart/alternative; boundary="--_NmP-abc-Part_1"

----_NmP-abc-Part_1
Content-Type: text/plain

Message-ID: <not-a-header@example.com>
----_NmP-abc-Part_1--

--1764500100-eximdsn-1234567890--
`);

/** Office 365: base64 here and there, and fields of its own. */
export const OFFICE_365 = wire(`Received: from EX1.eur.prod.example.net (2001:db8::1) by EX2.eur.prod.example.net
 (2001:db8::2) with Microsoft SMTP Server; Mon, 30 Nov 2026 10:15:02 +0000
MIME-Version: 1.0
From: <postmaster@example.org>
To: <shop@shop.example.com>
Date: Mon, 30 Nov 2026 10:15:02 +0000
Content-Type: multipart/report; report-type=delivery-status;
	boundary="5a6b7c8d-0000-4000-8000-ffffeeeedddd"
X-MS-Exchange-Message-Is-Ndr:
Content-Language: en-GB
Message-ID: <aaaa-bbbb@EX1.eur.prod.example.net>
In-Reply-To: <${MESSAGE_ID}>
Subject: Undeliverable: Your order

--5a6b7c8d-0000-4000-8000-ffffeeeedddd
Content-Type: multipart/alternative; differences=Content-Type;
	boundary="9e9e9e9e-0000-4000-8000-aaaabbbbcccc"

--9e9e9e9e-0000-4000-8000-aaaabbbbcccc
Content-Type: text/plain; charset="us-ascii"
Content-Transfer-Encoding: quoted-printable

bob could not be found at example.org.

--9e9e9e9e-0000-4000-8000-aaaabbbbcccc
Content-Type: text/html; charset="us-ascii"
Content-Transfer-Encoding: base64

PHA+Ym9iIGNvdWxkIG5vdCBiZSBmb3VuZDwvcD4=

--9e9e9e9e-0000-4000-8000-aaaabbbbcccc--

--5a6b7c8d-0000-4000-8000-ffffeeeedddd
Content-Type: message/delivery-status

Reporting-MTA: dns;EX1.eur.prod.example.net
Received-From-MTA: dns;mail.example.com
Arrival-Date: Mon, 30 Nov 2026 10:15:01 +0000

Original-Recipient: rfc822;bob@example.org
Final-Recipient: rfc822;robert@tenant.example.net
Action: failed
Status: 5.1.10
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup
X-Display-Name: Bob

--5a6b7c8d-0000-4000-8000-ffffeeeedddd
Content-Type: message/rfc822

Received: from mail.example.com (192.0.2.10) by EX1.eur.prod.example.net
From: <shop@shop.example.com>
To: <bob@example.org>
Subject: Your order
Message-ID: <${MESSAGE_ID}>
MIME-Version: 1.0

--5a6b7c8d-0000-4000-8000-ffffeeeedddd--
`);

/** Gmail, which puts it off: no mail is given back here, and the id stands beside the status. */
export const GMAIL_DELAYED = wire(`Delivered-To: shop@shop.example.com
Return-Path: <>
From: Mail Delivery Subsystem <mailer-daemon@mail.example>
To: shop@shop.example.com
Auto-Submitted: auto-replied
Subject: Delivery Status Notification (Delay)
References: <${MESSAGE_ID}>
In-Reply-To: <${MESSAGE_ID}>
Message-ID: <65aa.gmr@mail.example>
Date: Mon, 30 Nov 2026 10:15:03 +0000
Content-Type: multipart/report; boundary="000000000000aabbcc06"; report-type=delivery-status

--000000000000aabbcc06
Content-Type: multipart/related; boundary="000000000000aabbdd06"

--000000000000aabbdd06
Content-Type: text/plain; charset="UTF-8"

There was a problem for a while. It is tried for 46 more hours.

--000000000000aabbdd06--
--000000000000aabbcc06
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example
Arrival-Date: Sun, 29 Nov 2026 10:15:03 +0000
X-Original-Message-ID: <${MESSAGE_ID}>

Final-Recipient: rfc822; bob@example.org
Action: delayed
Status: 4.4.1
Diagnostic-Code: smtp; The recipient server did not answer in time.
Last-Attempt-Date: Mon, 30 Nov 2026 10:15:03 +0000
Will-Retry-Until: Wed, 02 Dec 2026 10:15:03 +0000

--000000000000aabbcc06--
`);

/** Amazon SES, of two recipients at once. */
export const SES_TWO = wire(`Return-Path: <>
From: MAILER-DAEMON@mail.region.ses.example
To: shop@shop.example.com
Subject: Delivery Status Notification (Failure)
Date: Mon, 30 Nov 2026 10:15:04 +0000
MIME-Version: 1.0
Content-Type: multipart/report;
	boundary="----=_Part_1_234567.1764500104";
	report-type=delivery-status

------=_Part_1_234567.1764500104
Content-Type: text/plain; charset=us-ascii
Content-Transfer-Encoding: 7bit

Two of the recipients could not be reached.

------=_Part_1_234567.1764500104
Content-Type: message/delivery-status
Content-Transfer-Encoding: 7bit

Reporting-MTA: dns; a1-23.smtp-out.ses.example

Action: failed
Final-Recipient: rfc822; bob@example.org
Diagnostic-Code: smtp; 550 5.1.1 user unknown
Status: 5.1.1

Action: failed
Final-Recipient: rfc822; cy@example.net
Diagnostic-Code: smtp; 552 5.2.2 mailbox full
Status: 5.2.2


------=_Part_1_234567.1764500104
Content-Type: message/rfc822

From: shop@shop.example.com
To: bob@example.org, cy@example.net
Message-ID: <0100019aaaa-bbbb-000000@ses.example>
Subject: Your order

hello

------=_Part_1_234567.1764500104--
`);

/** sendmail: comments, a mailbox file's first line, LF only, and more recipients than failed. */
export const SENDMAIL = `From MAILER-DAEMON Mon Nov 30 10:15:05 2026
Return-Path: <MAILER-DAEMON@old.example.net>
From: Mail Delivery Subsystem <MAILER-DAEMON@old.example.net>
To: <shop@shop.example.com>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="xAU0ABC.1764500105/old.example.net"
Subject: Returned mail: see transcript for details
Auto-Submitted: auto-generated (failure)

This is a MIME-encapsulated message

--xAU0ABC.1764500105/old.example.net

The mail was received from mail.example.com [192.0.2.10].
--xAU0ABC.1764500105/old.example.net.example
is no boundary of this message.

--xAU0ABC.1764500105/old.example.net
Content-Type: message/delivery-status

Reporting-MTA: dns; old.example.net
Received-From-MTA: DNS; mail.example.com
Arrival-Date: Mon, 30 Nov 2026 10:14:00 GMT

Final-Recipient: RFC822; <Bob@Example.ORG>
Action: Failed
Status: 5.1.1 (bad destination mailbox address)
Remote-MTA: DNS; mx.example.org
Diagnostic-Code: SMTP; 550 5.1.1 no such user
Last-Attempt-Date: Mon, 30 Nov 2026 10:15:00 GMT

Final-Recipient: RFC822; cy@example.net
Action: relayed (to a server without notifications)
Status: 2.6.0

--xAU0ABC.1764500105/old.example.net
Content-Type: text/rfc822-headers

From: shop@shop.example.com
message-id: <${MESSAGE_ID}>

--xAU0ABC.1764500105/old.example.net--
`;

/** The fields in base64, a diagnostic in UTF-8 (RFC 6533), and nothing of the mail given back. */
export const UTF_8 = wire(`From: postmaster@example.org
Content-Type: Multipart/Report; Report-Type="delivery-status"; boundary=b
MIME-Version: 1.0

--b
Content-Type: text/plain; charset=utf-8

не доставлено
--b
Content-Type: message/global-delivery-status
Content-Transfer-Encoding: base64

${Buffer.from(
  "Reporting-MTA: dns; mx.example.org\r\n\r\nFinal-Recipient: rfc822; bob@example.org\r\nAction: failed\r\nStatus: 5.2.2\r\nDiagnostic-Code: smtp; 552 Почтовый ящик\r\n полон \u202E\u0007!\r\n",
)
  .toString("base64")
  .replaceAll(/(.{76})/g, "$1\n")}
--b--
`);
