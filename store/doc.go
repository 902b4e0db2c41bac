// Package store declares the nouns that Anteroom remembers, each with its
// contract. It holds no implementation: store/bolt keeps everything in one
// file, store/postgres in a database shared by many nodes, and store/storetest
// is the one contract test for both.
//
// Three rules make the contracts safe:
//
// Invariants are atomic verbs. RedeemCode, RotateRefreshToken, AdvanceTOTP,
// UseRecoveryCode, UseInvitation, UseReset, UseOnce and RecordFailure decide
// and write in one step. Of any number of concurrent callers, on any number of
// nodes, exactly one wins and the others get a typed error.
//
// Writes of one request are one unit of work. Do and Begin put a unit into the
// context; every verb called with that context joins it; Commit makes all of it
// durable or none. A verb inside a unit reports what it can see now, and the
// commit decides: it may return the typed error of any verb of the unit
// (ErrConsumed, say), and then nothing of the unit happened. A verb called
// without a unit is its own unit.
//
// Together is Do for the last writes of a request, which a store may do along with
// those of others.
//
// When a unit is over, its context is as if it carried none.
//
// Functions given to the store (of Do, Together and the Update verbs) may
// run more than once and must not have effects outside their arguments and, for
// Do, the store. The function of an Update verb must not call the store, and must
// not change what identifies the row (ErrInvalid).
//
// A thing is alive while now is before the time it ends at; at that instant it is
// expired. What identifies a row is 1 to MaxIdentity bytes, else ErrInvalid.
//
// Times are UTC with microsecond precision; a store rounds what it is given
// (time.Time.Truncate) and returns exactly that. Returned values are copies.
// A nil slice and an empty one are the same and come back as nil. Strings are kept
// as Text, values held in an interface as encoding/json decodes them. Canonical
// does all of this. Together with an error other results mean nothing, except
// where a verb says that a row comes with it.
package store
