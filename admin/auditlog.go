package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"anteroom/internal/audit"
	"anteroom/store"
)

// AuditEvent is one entry of the log. docs/audit.md explains the types.
type AuditEvent struct {
	Seq         int64             `json:"seq"`
	At          time.Time         `json:"at"`
	Type        string            `json:"type"`
	Actor       string            `json:"actor"`
	Account     string            `json:"account,omitempty"`
	Application string            `json:"application,omitempty"`
	Client      string            `json:"client,omitempty"`
	Session     string            `json:"session,omitempty"`
	Address     string            `json:"address,omitempty"`
	Details     map[string]string `json:"details,omitempty"`
	Hash        string            `json:"hash"`
}

// VerifyAudit names an entry that was known earlier, to notice a log that was
// written anew.
type VerifyAudit struct {
	Seq  int64  `json:"seq,omitempty"` // 0: none is known
	Hash string `json:"hash,omitempty"`
}

// Verdict is the result of walking the chain.
type Verdict struct {
	Holds    bool   `json:"holds"`
	Entries  int64  `json:"entries"` // that hold together, from the first on
	LastSeq  int64  `json:"last_seq"`
	LastHash string `json:"last_hash"`
	Broken   *Break `json:"broken,omitempty"`
}

// Break is the first place where the chain does not hold.
type Break struct {
	Seq    int64  `json:"seq"`
	Reason string `json:"reason"`
}

func viewEvent(e store.AuditEvent) AuditEvent {
	return AuditEvent{e.Seq, e.At, e.Type, e.Actor, e.AccountID, e.ApplicationID, e.ClientID, e.SessionID, e.Address, e.Details, e.Hash}
}

func (a *API) listAudit(c call) (List[AuditEvent], error) {
	p, err := page(c)
	if err != nil {
		return List[AuditEvent]{}, err
	}
	f, last, err := a.auditFilter(c)
	if err != nil {
		return List[AuditEvent]{}, err
	}
	var rows []store.AuditEvent
	next := ""
	if last > 0 {
		rows, err = a.newest(c.ctx, f, last)
	} else {
		rows, next, err = a.Store.AuditEvents(c.ctx, f, p)
	}
	if errors.Is(err, store.ErrInvalid) {
		err = mistakes{{"after", "is not a cursor of this listing"}}.problem()
	}
	return list(rows, next, viewEvent), err
}

// auditFilter reads what to look for; an account may be given by name.
func (a *API) auditFilter(c call) (f store.AuditFilter, last int, err error) {
	q := c.URL.Query()
	var found mistakes
	f.Type = q.Get("type")
	if f.Type != "" && !audit.Known(f.Type) {
		found.add("type", "there is no such type; docs/audit.md lists them")
	}
	moment := func(field string, at *time.Time) {
		if text := q.Get(field); text != "" {
			if *at, err = time.Parse(time.RFC3339, text); err != nil {
				found.add(field, "must be a time like 2026-01-31T12:00:00Z")
			}
		}
	}
	moment("since", &f.Since)
	moment("until", &f.Until)
	if text := q.Get("last"); text != "" {
		if last, err = strconv.Atoi(text); err != nil || last < 1 || last > 1000 {
			found.add("last", "must be a number from 1 to 1000")
		}
		if q.Has("after") || q.Has("limit") {
			found.add("last", "does not go with after and limit")
		}
	}
	if ref := q.Get("account"); ref != "" {
		f.AccountID = ref
		if acct, err := a.Store.AccountByName(c.ctx, ref); err == nil {
			f.AccountID = acct.ID
		} else if !errors.Is(err, store.ErrNotFound) {
			return f, 0, fmt.Errorf("find account: %w", err)
		}
	}
	return f, last, found.problem()
}

// newest returns the last n matching entries, oldest first. It looks at windows
// of the log from its end, so that it costs what it shows and not what there is.
func (a *API) newest(ctx context.Context, f store.AuditFilter, n int) ([]store.AuditEvent, error) {
	end, err := a.auditEnd(ctx)
	if err != nil {
		return nil, err
	}
	var out []store.AuditEvent
	for window := int64(1000); end > 0 && len(out) < n; window *= 4 {
		start := max(0, end-window)
		rows, err := a.window(ctx, f, start, end)
		if err != nil {
			return nil, err
		}
		out = append(rows, out...)
		end = start
	}
	return out[max(0, len(out)-n):], nil
}

// window returns the matching entries with start < Seq <= end.
func (a *API) window(ctx context.Context, f store.AuditFilter, start, end int64) (out []store.AuditEvent, err error) {
	p := store.Page{After: strconv.FormatInt(start, 10), Limit: 1000}
	for {
		rows, next, err := a.Store.AuditEvents(ctx, f, p)
		if err != nil {
			return nil, err
		}
		for _, e := range rows {
			if e.Seq > end {
				return out, nil
			}
			out = append(out, e)
		}
		if next == "" {
			return out, nil
		}
		p.After = next
	}
}

// auditEnd finds the last Seq by halving: cursors are numbers.
func (a *API) auditEnd(ctx context.Context) (int64, error) {
	exists := func(seq int64) (bool, error) {
		rows, _, err := a.Store.AuditEvents(ctx, store.AuditFilter{}, store.Page{After: strconv.FormatInt(seq-1, 10), Limit: 1})
		return len(rows) > 0, err
	}
	low, high := int64(0), int64(1) // low exists (or is 0), high does not
	for {
		ok, err := exists(high)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		low, high = high, high*2
	}
	for high-low > 1 {
		middle := (low + high) / 2
		ok, err := exists(middle)
		if err != nil {
			return 0, err
		}
		if ok {
			low = middle
		} else {
			high = middle
		}
	}
	return low, nil
}

func (a *API) verifyAudit(c call, in VerifyAudit) (Verdict, error) {
	var known *audit.Point
	if in.Seq != 0 || in.Hash != "" {
		if in.Seq < 1 || in.Hash == "" {
			return Verdict{}, problem(http.StatusBadRequest, "invalid-input", "Give both the number and the hash of the known entry.")
		}
		known = &audit.Point{Seq: in.Seq, Hash: in.Hash}
	}
	f, err := audit.Verify(c.ctx, a.Store, known)
	if err != nil {
		return Verdict{}, err
	}
	out := Verdict{Holds: f.Broken == nil, Entries: f.Entries, LastSeq: f.LastSeq, LastHash: f.LastHash}
	if f.Broken != nil {
		out.Broken = &Break{f.Broken.Seq, f.Broken.Reason}
	}
	return out, nil
}
