// Package postgres keeps everything in a PostgreSQL database that any number of
// nodes share.
//
// Each noun has a table of its own with real columns (migrations/*.sql), so that
// an operator can look with psql; JSON holds only what is open by its nature
// (claims of a profile, metadata of a client, details of an audit entry).
//
// A unit of work is one transaction at READ COMMITTED (tx.go). It begins with its
// first statement and takes one connection of the pool until it is over. Atomic
// verbs are conditional statements whose row count decides, or decide on a row
// that they have locked; no statement of a verb is expected to fail, since a
// failed one ends the transaction.
//
// The last writes of a request, and reads by a key, share transactions and round
// trips with those of others that come at the same moment (together.go, lookup.go,
// docs/adr/0015).
//
// A transaction that wrote anything leaves one small row in the table units, in the same
// round trip as its COMMIT. When the answer to the COMMIT is lost, a fresh
// connection tries to insert that row itself: the insert waits for the transaction
// if it still runs, finds the row if it committed, and keeps it from ever
// committing otherwise. Nothing is repeated blindly. Such rows are swept after an
// hour.
//
// Audit entries go into audit_waiting in the commit of their unit, and are moved
// into the hash chain (audit_log) within moments, many at a time, by whichever
// node comes first, and before anybody reads the log (audit.go). So units do not
// wait for each other's sync at the end of the chain.
//
// What PostgreSQL offers and this package leaves alone, so that its distributed
// cousins can take its place, is listed in docs/adr/0008.
package postgres
