package bolt

import (
	"context"
	"fmt"
	"strings"
	"time"

	"anteroom/store"
)

// buckets are all that a database has.
var buckets = []bucket{
	format, metadata, counts, expiry,
	accounts.bucket, names,
	authenticators.bucket, authenticatorIDs, totpSteps, recoveryCodes.bucket,
	invitations.bucket, invitationHashes, invitationsByWho, invitationsByTarget,
	resets.bucket, resetHashes, resetsByWho,
	applications.bucket, clients.bucket, clientsByApplication,
	organisations.bucket, roles.bucket, assignments.bucket, assignmentsIn,
	terms.bucket, acceptances.bucket, acceptancesIn, consents.bucket, consentsTo,
	sessions.bucket, sessionHashes, sessionsByWho, signingKeys.bucket,
	grants.bucket, grantsByAccount, grantsByClient, grantsByApplication, grantsBySession,
	codes.bucket, codesOf, refreshTokens.bucket, refreshTokensOf, deniedTokens.bucket,
	failures.bucket, failuresByEnd, once.bucket,
	outbox.bucket, outbox.due, notices.bucket, notices.due, devices.bucket, deviceUserCodes, pushedRequests.bucket,
	backchannels.bucket, backchannelsByWho, registrationTokens.bucket, registrationHashes,
	auditLog.bucket, auditByAccount, auditByType, auditHead,
}

// sweepers remove an expired row of a table, at most limit rows with what hangs
// on it, and return how many they removed.
var sweepers = map[bucket]func(t tx, primary string, limit int) (int, error){
	invitations.bucket:        one(invitations.del),
	resets.bucket:             one(resets.del),
	sessions.bucket:           one(sessions.del),
	deniedTokens.bucket:       one(deniedTokens.del),
	once.bucket:               one(once.del),
	outbox.bucket:             one(outbox.del),
	notices.bucket:            one(notices.del),
	devices.bucket:            one(devices.del),
	pushedRequests.bucket:     one(pushedRequests.del),
	backchannels.bucket:       one(backchannels.del),
	registrationTokens.bucket: one(registrationTokens.del),
	failures.bucket:           one(dropFailure),
	grants.bucket:             sweepGrant,
}

func one(del func(tx, string) error) func(tx, string, int) (int, error) {
	return func(t tx, primary string, _ int) (int, error) { return 1, del(t, primary) }
}

// sweepStep bounds the rows of one commit, so that sign-ins do not wait long
// behind the cleaning.
const sweepStep = 200

// Sweep: see store.Store.
func (s *Store) Sweep(ctx context.Context, now time.Time, limit int) (int, error) {
	removed := 0
	for removed < limit {
		want, got := min(sweepStep, limit-removed), 0
		err := s.write(ctx, func(t tx) (err error) {
			got, err = sweep(t, now, want)
			return err
		})
		if err != nil {
			return removed, err
		}
		removed += got
		if got < want {
			break
		}
	}
	return removed, nil
}

func sweep(t tx, now time.Time, limit int) (int, error) {
	removed := 0
	for entry, value := range t.scan(expiry, "", "") {
		when := entry[:strings.IndexByte(entry, 0)]
		if removed >= limit || when > stamp(now) {
			break
		}
		table, primary, _ := strings.Cut(string(value), "\x00")
		del := sweepers[bucket(table)]
		if del == nil {
			return removed, fmt.Errorf("an expiring row of an unknown table %q: %w", table, store.ErrInvalid)
		}
		n, err := del(t, primary, limit-removed)
		if err != nil {
			return removed, err
		}
		removed += n
	}
	return removed, nil
}
