package bolt

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"anteroom/store"
)

const (
	auditByAccount bucket = "audit.account"
	auditByType    bucket = "audit.type"
	auditHead      bucket = "audit.head" // one row: the end of the chain
	auditHeadKey          = "head"
)

var auditLog = &table[store.AuditEvent]{
	bucket: "audit",
	key:    func(e *store.AuditEvent) string { return ordered(e.Seq) },
	indexes: func(e *store.AuditEvent) []index {
		all := []index{{auditByType, key(e.Type) + ordered(e.Seq), false}}
		if e.AccountID != "" {
			all = append(all, index{auditByAccount, key(e.AccountID) + ordered(e.Seq), false})
		}
		return all
	},
}

// chainEnd is what the next entry of the log continues.
type chainEnd struct {
	Seq  int64
	Hash string
}

// AppendAudit: see store.AuditLog.
func (s *Store) AppendAudit(ctx context.Context, e store.AuditEvent) error {
	e = store.Canonical(e)
	return s.write(ctx, func(t tx) error { return appendAudit(t, e) })
}

func appendAudit(t tx, e store.AuditEvent) error {
	var end chainEnd
	if data := t.get(auditHead, auditHeadKey); data != nil {
		if err := json.Unmarshal(data, &end); err != nil {
			return fmt.Errorf("damaged end of the audit log: %w", err)
		}
	}
	e.Seq, e.PrevHash = end.Seq+1, end.Hash
	e.Hash = store.AuditHash(e)
	data, err := json.Marshal(chainEnd{Seq: e.Seq, Hash: e.Hash})
	if err != nil {
		return err
	}
	if err := t.put(auditHead, auditHeadKey, data); err != nil {
		return err
	}
	// Not insert: seen from outside of the writer, the end of the log and its rows
	// may be of two moments. In the writer, where it counts, the place is free.
	return auditLog.put(t, e)
}

// auditStep bounds the entries that one read transaction looks at.
const auditStep = 4096

// AuditEvents: see store.AuditLog. The log only grows, so a filter that skips
// much of it may be answered by several short transactions.
func (s *Store) AuditEvents(ctx context.Context, f store.AuditFilter, page store.Page) (rows []store.AuditEvent, next string, err error) {
	n, err := limit(page)
	if err != nil {
		return nil, "", err
	}
	b, prefix := auditLog.bucket, ""
	switch {
	case f.AccountID != "":
		b, prefix = auditByAccount, key(f.AccountID)
	case f.Type != "":
		b, prefix = auditByType, key(f.Type)
	}
	after := ""
	if page.After != "" {
		seq, err := strconv.ParseInt(page.After, 10, 64)
		if err != nil {
			return nil, "", fmt.Errorf("cursor %q: %w", page.After, store.ErrInvalid)
		}
		after = prefix + ordered(seq)
	}
	for {
		var looked []store.AuditEvent
		err := s.read(ctx, func(t tx) (err error) {
			looked, after, err = auditLog.page(t, b, prefix, after, auditStep)
			return err
		})
		if err != nil {
			return nil, "", err
		}
		for _, e := range looked {
			if !selects(f, e) {
				continue
			}
			if len(rows) == n {
				return rows, strconv.FormatInt(rows[n-1].Seq, 10), nil
			}
			rows = append(rows, e)
		}
		if after == "" {
			return rows, "", nil
		}
	}
}

func selects(f store.AuditFilter, e store.AuditEvent) bool {
	return matches(f.AccountID, e.AccountID) && matches(f.Type, e.Type) &&
		(f.Since.IsZero() || !e.At.Before(store.Time(f.Since))) &&
		(f.Until.IsZero() || e.At.Before(store.Time(f.Until)))
}
