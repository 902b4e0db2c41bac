package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

	"anteroom/store"
	"anteroom/store/postgres/pgtest"
)

func TestNothingThatWorksOnceWorksAfterARestore(t *testing.T) {
	t.Parallel()
	now := store.Time(time.Now())
	later := now.Add(time.Hour)
	s := openAt(t, pgtest.Database(t), Options{Now: func() time.Time { return now }})
	ctx := t.Context()
	err := errors.Join(
		s.CreateAccount(ctx, store.Account{ID: "ann", UserName: "ann"}),
		s.CreateAccount(ctx, store.Account{ID: "bob", UserName: "bob"}),
		s.AdvanceTOTP(ctx, "bob", now.Unix()/30+100),
		s.ReplaceRecoveryCodes(ctx, "ann", []string{"r"}, now),
		s.CreateInvitation(ctx, store.Invitation{ID: "i", TokenHash: "i", AccountID: "ann", ApplicationID: "x", ExpiresAt: later}),
		s.CreateReset(ctx, store.Reset{ID: "r", TokenHash: "r", AccountID: "ann", ExpiresAt: later}),
		s.CreateSession(ctx, store.Session{ID: "s", TokenHash: "s", AccountID: "ann", ExpiresAt: later}),
		s.IssueCode(ctx, store.Grant{ID: "g", ExpiresAt: later}, store.Code{Hash: "c", GrantID: "g", ExpiresAt: later}),
		s.CreateRefreshToken(ctx, store.RefreshToken{Hash: "t", GrantID: "g", ExpiresAt: later}),
		s.EnqueueMail(ctx, store.OutboxMessage{ID: "m", Delivery: store.Delivery{NextAttempt: now}}),
		s.CreateDevice(ctx, store.Device{Hash: "d", UserCodeHash: "u", ExpiresAt: later}),
		s.PushRequest(ctx, store.PushedRequest{Hash: "p", ExpiresAt: later}),
		s.CreateRegistrationToken(ctx, store.RegistrationToken{ID: "n", Hash: "n", Uses: 9, ExpiresAt: later}),
		s.Restored(ctx),
	)
	if err != nil {
		t.Fatal(err)
	}
	only := func(_ any, err error) error { return err }
	for what, c := range map[string]struct{ got, want error }{
		"recovery code": {s.UseRecoveryCode(ctx, "ann", "r", now), store.ErrConsumed},
		"invitation":    {only(s.UseInvitation(ctx, "i", now)), store.ErrRevoked},
		"reset":         {only(s.UseReset(ctx, "r", now)), store.ErrRevoked},
		"registration":  {only(s.UseRegistrationToken(ctx, "n", now)), store.ErrRevoked},
		"session":       {only(s.Session(ctx, "s", now)), store.ErrRevoked},
		"code":          {s.RedeemCode(ctx, "c", now), store.ErrConsumed},
		"token":         {s.RotateRefreshToken(ctx, "t", store.RefreshToken{Hash: "u", GrantID: "g"}, now), store.ErrRevoked},
		"this step":     {s.AdvanceTOTP(ctx, "ann", now.Unix()/30), store.ErrConsumed},
		"the next step": {s.AdvanceTOTP(ctx, "ann", now.Unix()/30+1), store.ErrConsumed},
		"one after":     {s.AdvanceTOTP(ctx, "ann", now.Unix()/30+2), nil},
		"a later one":   {s.AdvanceTOTP(ctx, "bob", now.Unix()/30+100), store.ErrConsumed},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", what, c.got, c.want)
		}
	}
	if mail, err := s.ClaimMail(ctx, later, time.Minute, 9); err != nil || len(mail) != 0 {
		t.Errorf("mail that is still tried: %d, %v", len(mail), err)
	}
	if at, err := s.Meta(context.WithoutCancel(ctx), store.MetaRestored); err != nil || at != now.Format(time.RFC3339Nano) {
		t.Errorf("restored at %q, %v", at, err)
	}
	events, _, err := s.AuditEvents(ctx, store.AuditFilter{Type: "backup.restored"}, store.Page{})
	if err != nil || len(events) != 1 {
		t.Errorf("%d events, %v", len(events), err)
	}
}
