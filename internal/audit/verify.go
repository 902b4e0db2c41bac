package audit

import (
	"context"
	"fmt"

	"anteroom/store"
)

// Finding is the result of Verify.
type Finding struct {
	Entries  int64  // entries that hold together, from the first on
	LastSeq  int64  // of the last entry that holds
	LastHash string // keep it elsewhere to notice a chain that was written anew
	Broken   *Break // nil: the chain holds
}

// Break is the first place where the chain does not hold.
type Break struct {
	Seq    int64
	Reason string // a sentence
}

// Point is an entry that was known earlier: its sequence number and hash.
type Point struct {
	Seq  int64
	Hash string
}

// Verify walks the whole log and reports the first break: an entry that was
// changed, is missing, is out of order, or differs from known (nil: nothing is
// known). An error means that the log could not be read.
func Verify(ctx context.Context, log store.AuditLog, known *Point) (Finding, error) {
	var f Finding
	page := store.Page{Limit: 1000}
	for {
		rows, next, err := log.AuditEvents(ctx, store.AuditFilter{}, page)
		if err != nil {
			return f, fmt.Errorf("read the audit log: %w", err)
		}
		for _, e := range rows {
			if f.Broken = check(e, f, known); f.Broken != nil {
				return f, nil
			}
			f.Entries, f.LastSeq, f.LastHash = f.Entries+1, e.Seq, e.Hash
		}
		if next == "" {
			break
		}
		page.After = next
	}
	if known != nil && known.Seq > f.LastSeq {
		f.Broken = &Break{f.LastSeq + 1, fmt.Sprintf("The log ends at entry %d, but entry %d was known: entries at the end are missing.", f.LastSeq, known.Seq)}
	}
	return f, nil
}

// check compares one entry with what the chain so far demands.
func check(e store.AuditEvent, sofar Finding, known *Point) *Break {
	switch want := sofar.LastSeq + 1; {
	case e.Seq != want:
		return &Break{want, fmt.Sprintf("Entry %d is missing: the next one found is %d.", want, e.Seq)}
	case e.PrevHash != sofar.LastHash:
		return &Break{e.Seq, fmt.Sprintf("Entry %d does not follow the one before it: one of the two was replaced.", e.Seq)}
	case e.Hash != store.AuditHash(e):
		return &Break{e.Seq, fmt.Sprintf("Entry %d was changed after it was written.", e.Seq)}
	case known != nil && known.Seq == e.Seq && known.Hash != e.Hash:
		return &Break{e.Seq, fmt.Sprintf("Entry %d is not the one that was known: the log was written anew.", e.Seq)}
	}
	return nil
}
