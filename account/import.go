package account

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/store"
)

const maxImportLine = 256 << 10 // bytes

// ImportReport is what became of one line.
type ImportReport struct {
	Line      int    `json:"line"` // from 1
	UserName  string `json:"user_name,omitempty"`
	AccountID string `json:"account_id,omitempty"`
	Problem   string `json:"problem,omitempty"` // empty: imported
}

// ImportSummary counts lines; empty ones do not count.
type ImportSummary struct {
	Imported int `json:"imported"`
	Refused  int `json:"refused"`
}

// Import reads people from another system, one JSON object a line, with their
// password hashes and authenticators, so that nobody has to enrol again. Each
// line is a commit of its own; a wrong one is reported and stops nothing else.
// An account that exists already is left as it is. The error is about reading, or
// about a store that cannot write.
func (a *Accounts) Import(ctx context.Context, r io.Reader, by string, report func(ImportReport)) (ImportSummary, error) {
	var sum ImportSummary
	lines := bufio.NewReaderSize(r, 64<<10)
	for number := 1; ; number++ {
		line, tooLong, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			return sum, nil
		}
		if err != nil {
			return sum, fmt.Errorf("read line %d: %w", number, err)
		}
		if number == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		if line = bytes.TrimSpace(line); len(line) == 0 && !tooLong {
			continue
		}
		result := ImportReport{Line: number}
		err = errors.New("the line is too long")
		if !tooLong {
			result.UserName, result.AccountID, err = a.importOne(ctx, line, by)
		}
		if errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			return sum, fmt.Errorf("import line %d: %w", number, errors.Join(err, ctx.Err()))
		}
		if err != nil {
			result.Problem = importProblem(err)
			sum.Refused++
		} else {
			sum.Imported++
		}
		report(result)
	}
}

// readLine returns the next line without its end. Of a line that is too long it
// returns nothing, and skips all of it. io.EOF comes alone.
func readLine(r *bufio.Reader) (line []byte, tooLong bool, err error) {
	for {
		part, more, err := r.ReadLine()
		if err != nil {
			return nil, false, err
		}
		if tooLong = tooLong || len(line)+len(part) > maxImportLine; tooLong {
			line = nil
		} else {
			line = append(line, part...)
		}
		if !more {
			return line, tooLong, nil
		}
	}
}

// importOne keeps one person. Its errors are for whoever runs the import.
func (a *Accounts) importOne(ctx context.Context, line []byte, by string) (userName, id string, err error) {
	l, err := parseImportLine(line)
	if err != nil {
		return "", "", err
	}
	now := a.Now()
	acct := store.Account{
		ID: seal.RandomID(), UserName: l.UserName, Email: l.Email, EmailVerified: l.EmailVerified,
		State: store.AccountInvited, OrganisationID: l.OrganisationID, PasswordHash: l.PasswordHash,
		Profile: l.Profile, CreatedAt: now, UpdatedAt: now,
	}
	if !l.UpdatedAt.IsZero() && l.UpdatedAt.Before(now) {
		acct.UpdatedAt = l.UpdatedAt
	}
	if l.PasswordHash != "" {
		acct.State, acct.PasswordChangedAt = store.AccountActive, now
	}
	authenticator := store.Authenticator{
		ID: seal.RandomID(), AccountID: acct.ID, Kind: "totp", Label: "Authenticator app",
		Sealed: SealTOTP(a.Seal, acct.ID, l.TOTPSecret), CreatedAt: now,
	}
	err = a.Store.Do(ctx, func(ctx context.Context) error {
		if err := a.create(ctx, acct, by, audit.AccountImported); err != nil {
			return err
		}
		for _, one := range l.Assignments {
			if err := a.importAssignment(ctx, acct.ID, one, by); err != nil {
				return err
			}
		}
		if len(l.TOTPSecret) == 0 {
			return nil
		}
		if err := a.Store.AddAuthenticator(ctx, authenticator); err != nil {
			return fmt.Errorf("add authenticator: %w", err)
		}
		return a.record(ctx, store.AuditEvent{
			Type: audit.AuthenticatorAdded, Actor: by, AccountID: acct.ID,
			Details: map[string]string{"kind": "totp", "how": "import"},
		})
	})
	if err != nil {
		return l.UserName, "", err
	}
	return l.UserName, acct.ID, nil
}

// importProblem says what is wrong with a line.
func importProblem(err error) string {
	if refused, ok := errors.AsType[*Refused](err); ok {
		return refused.Explain()
	}
	switch {
	case errors.Is(err, store.ErrExists):
		return "an account with this user name or e-mail address exists already; it was left as it is"
	case errors.Is(err, store.ErrInvalid):
		return "an application, organisation or role that the line names does not exist"
	}
	return err.Error()
}

func (a *Accounts) importAssignment(ctx context.Context, accountID string, one importAssignment, by string) error {
	row := store.Assignment{
		AccountID: accountID, ApplicationID: one.Application, OrganisationID: one.Organisation,
		RoleKey: one.Role, State: one.State, GrantedBy: by, CreatedAt: a.Now(),
	}
	if row.State == store.AssignmentActive {
		row.ActivatedAt = row.CreatedAt
	}
	return a.grant(ctx, nil, row)
}
