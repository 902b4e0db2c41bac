// Package bolt keeps everything in one bbolt file, for a single process.
//
// Rows are JSON under ordered keys; secondary indexes and one index of expiry
// times are buckets of their own (table.go). Each verb of the contract is a
// function over a small key-value transaction (kv.go).
//
// A verb inside a unit of work runs twice. First at once, over the unit's own
// overlay on a short read transaction, so that the request reads its own writes;
// then again at commit, in the single writer, on the data as they are by then.
// That second run decides. A unit that loses there is dropped whole, and its
// caller gets the typed error. No transaction of bbolt is ever open while code
// outside this package runs (a reader that waits for its own writer would stop
// the database when the file has to be mapped again).
//
// The writer commits in groups, without timers (writer.go): it takes every unit
// that is waiting, applies them one after the other, commits once and answers
// all of them. Units that arrive during the sync share the next one. One caller
// alone waits for exactly one commit; a unit that changes nothing for none. (A
// commit of bbolt is two calls of fdatasync: the pages, then the head that makes
// them count.)
package bolt
