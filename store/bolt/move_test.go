package bolt

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"anteroom/store"
	"anteroom/store/storetest"
)

func TestMove(t *testing.T) {
	backend := func() storetest.Backend {
		path := filepath.Join(t.TempDir(), "a.db")
		return storetest.Backend{Open: func(storetest.Options) (store.Store, error) {
			return Open(path, Options{Log: quiet()})
		}}
	}
	storetest.Move(t, backend(), backend(), backend())
}

// A bucket of rows that is added and not moved would be lost without a word.
func TestEveryBucketIsMoved(t *testing.T) {
	moved := map[bucket]bool{}
	for _, b := range []bucket{
		metadata, totpSteps, accounts.bucket, authenticators.bucket, recoveryCodes.bucket, applications.bucket, clients.bucket,
		organisations.bucket, roles.bucket, assignments.bucket, terms.bucket, acceptances.bucket, consents.bucket,
		invitations.bucket, resets.bucket, sessions.bucket, signingKeys.bucket, grants.bucket, codes.bucket, refreshTokens.bucket,
		deniedTokens.bucket, failures.bucket, once.bucket, outbox.bucket, notices.bucket, devices.bucket, pushedRequests.bucket, backchannels.bucket, registrationTokens.bucket, auditLog.bucket,
	} {
		moved[b] = true
	}
	if len(moved) != len(store.Nouns) || len(movables) != len(store.Nouns) {
		t.Errorf("%d buckets, %d movable, %d nouns", len(moved), len(movables), len(store.Nouns))
	}
	made := map[bucket]bool{format: true, counts: true, expiry: true, auditHead: true}
	for _, b := range buckets {
		index := false
		for i := range b {
			index = index || b[i] == '.'
		}
		if !moved[b] && !made[b] && !index {
			t.Errorf("the bucket %s is not moved", b)
		}
	}
}

// losing forgets a row, or changes one.
type losing struct {
	store.Mover
	spoil func(noun store.Noun, rows []any) []any
}

func (l losing) Load(ctx context.Context, noun store.Noun, rows []any) error {
	return l.Mover.Load(ctx, noun, l.spoil(noun, rows))
}

func TestAMoveNoticesWhatIsNotAlike(t *testing.T) {
	source := open(t, filepath.Join(t.TempDir(), "a.db"))
	for _, id := range []string{"a", "b"} {
		if err := source.CreateOrganisation(t.Context(), store.Organisation{ID: id, Name: id}); err != nil {
			t.Fatal(err)
		}
	}
	for name, spoil := range map[string]func(noun store.Noun, rows []any) []any{
		"a row is lost": func(noun store.Noun, rows []any) []any { return rows[1:] },
		"a row is another": func(noun store.Noun, rows []any) []any {
			changed := rows[0].(store.Organisation)
			changed.Name = "x"
			return append([]any{changed}, rows[1:]...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			target := open(t, filepath.Join(t.TempDir(), "b.db"))
			_, err := store.Move(t.Context(), source, losing{target, spoil}, func(string, store.Noun, int64, int64) {})
			if !errors.Is(err, store.ErrDiffers) {
				t.Errorf("got %v, want ErrDiffers", err)
			}
			if _, err := target.Meta(t.Context(), store.MetaMoving); err != nil {
				t.Errorf("the mark of an unfinished move: %v", err)
			}
		})
	}
}
