// Package mail sends what people need to know. Messages are put into the outbox
// (Outbox.Enqueue) in the commit that gives the reason for them, sealed, because
// they hold links that let people in. From there a Sender on any node sends them
// by SMTP, with retries; no request ever waits for a mail server.
//
// A message is sent at least once: if a node dies between the mail server's
// answer and its own commit, the message goes out again, with the same
// Message-ID, by which mail systems drop duplicates (RFC 5322 section 3.6.4).
//
// Without a mail server messages stay in the outbox, and the log says so once.
package mail
