package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"anteroom/store"
)

var raceTests = []Test{
	{"of 32 callers exactly one wins", oneWins},
	{"of 32 units exactly one wins and the losers write nothing", oneUnitWins},
	{"32 callers count without loss", countingRaces},
	{"32 callers share out what there is", sharingRaces},
	{"32 callers append to one audit chain", auditRace},
	{"32 TOTP steps at once only grow", totpRace},
}

// callers is how many goroutines race.
const callers = 32

// together runs fn from all callers at once, over all handles.
func (e *env) together(stores []store.Store, fn func(s store.Store, i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range callers {
		wg.Go(func() {
			<-start
			fn(stores[i%len(stores)], i)
		})
	}
	close(start)
	wg.Wait()
}

// contest is a verb of which one caller wins.
type contest struct {
	name string
	use  func(ctx context.Context, s store.Store, i int) error // i: the caller
	lost error
}

// contests sets the scene and returns a verb for each thing that works once. It
// may be called several times in one test.
func contests(e *env) []contest {
	s, ctx := e.s, e.ctx
	issue(e, "race", nil)
	e.must(s.CreateRefreshToken(ctx, store.RefreshToken{Hash: "token-race", GrantID: "race", ExpiresAt: in(time.Hour)}))
	e.must(s.ReplaceRecoveryCodes(ctx, "ann", []string{"race", "other"}, t0))
	e.must(s.CreateInvitation(ctx, invitation("race")))
	e.must(s.CreateReset(ctx, store.Reset{ID: "race", TokenHash: "race", AccountID: "ann", CreatedAt: t0, ExpiresAt: in(time.Hour)}))
	e.must(s.AddAuthenticator(ctx, store.Authenticator{ID: "race", AccountID: "ann"}))
	e.must(s.PutConsent(ctx, store.Consent{AccountID: "ann", ClientID: "race"}))
	e.must(s.CreateSession(ctx, session("race", 0)))
	a := store.Assignment{AccountID: "ann", ApplicationID: "pcc", RoleKey: "user", State: store.AssignmentActive}
	e.must(s.PutAssignment(ctx, a))
	e.must(s.EnqueueMail(ctx, store.OutboxMessage{ID: "race", Delivery: store.Delivery{NextAttempt: t0}}))
	e.must(s.EnqueueNotice(ctx, store.Notice{ID: "race", Delivery: store.Delivery{NextAttempt: t0}}))
	e.must(s.CreateDevice(ctx, store.Device{Hash: "race", UserCodeHash: "race", ExpiresAt: in(time.Hour)}))
	e.must(s.CreateBackchannel(ctx, store.Backchannel{Hash: "race", AccountID: "bob", CreatedAt: t0, ExpiresAt: in(time.Hour)}, 1))
	e.must(s.CreateRegistrationToken(ctx, registrationToken("contest", 1)))
	e.must(s.PushRequest(ctx, store.PushedRequest{Hash: "race", ExpiresAt: in(time.Hour)}))
	return []contest{
		{"UsePushedRequest", func(ctx context.Context, s store.Store, _ int) error { return s.UsePushedRequest(ctx, "race", t0) }, store.ErrConsumed},
		{"UseRegistrationToken", func(ctx context.Context, s store.Store, _ int) error {
			_, err := s.UseRegistrationToken(ctx, "hash-contest", t0)
			return err
		}, store.ErrConsumed},
		{"RedeemCode", func(ctx context.Context, s store.Store, _ int) error { return s.RedeemCode(ctx, "code-race", t0) }, store.ErrConsumed},
		{"RotateRefreshToken", func(ctx context.Context, s store.Store, i int) error {
			return s.RotateRefreshToken(ctx, "token-race", store.RefreshToken{Hash: fmt.Sprint("leaf-", i), GrantID: "race", ExpiresAt: in(time.Hour)}, t0)
		}, store.ErrConsumed},
		{"AdvanceTOTP", func(ctx context.Context, s store.Store, _ int) error { return s.AdvanceTOTP(ctx, "ann", 7) }, store.ErrConsumed},
		{"UseRecoveryCode", func(ctx context.Context, s store.Store, _ int) error {
			return s.UseRecoveryCode(ctx, "ann", "race", t0)
		}, store.ErrConsumed},
		{"UseInvitation", func(ctx context.Context, s store.Store, _ int) error {
			_, err := s.UseInvitation(ctx, "hash-race", t0)
			return err
		}, store.ErrConsumed},
		{"UseReset", func(ctx context.Context, s store.Store, _ int) error {
			_, err := s.UseReset(ctx, "race", t0)
			return err
		}, store.ErrConsumed},
		{"UseOnce", func(ctx context.Context, s store.Store, _ int) error {
			return s.UseOnce(ctx, "race", "jti", t0, in(minute))
		}, store.ErrConsumed},
		{"CreateAccount, the name", func(ctx context.Context, s store.Store, i int) error {
			return s.CreateAccount(ctx, store.Account{ID: fmt.Sprint("race-", i), UserName: "Race"})
		}, store.ErrExists},
		{"CreateAccount, the address", func(ctx context.Context, s store.Store, i int) error {
			return s.CreateAccount(ctx, store.Account{ID: fmt.Sprint("mail-", i), UserName: fmt.Sprint("mail-", i), Email: "race@example.org"})
		}, store.ErrExists},
		{"CreateSession, the token", func(ctx context.Context, s store.Store, i int) error {
			return s.CreateSession(ctx, store.Session{ID: fmt.Sprint("race-", i), TokenHash: "raced", AccountID: "ann", ExpiresAt: in(time.Hour)})
		}, store.ErrExists},
		{"RemoveAuthenticator", func(ctx context.Context, s store.Store, _ int) error {
			return s.RemoveAuthenticator(ctx, "ann", "race")
		}, store.ErrNotFound},
		{"RevokeConsent", func(ctx context.Context, s store.Store, _ int) error { return s.RevokeConsent(ctx, "ann", "race") }, store.ErrNotFound},
		{"RemoveAssignment", func(ctx context.Context, s store.Store, _ int) error { return s.RemoveAssignment(ctx, a) }, store.ErrNotFound},
		{"NoticeDelivered", func(ctx context.Context, s store.Store, _ int) error { return s.NoticeDelivered(ctx, "race") }, store.ErrNotFound},
		{"UpdateDevice", func(ctx context.Context, s store.Store, _ int) error {
			_, err := s.UpdateDevice(ctx, "race", func(d *store.Device) error {
				if !d.UsedAt.IsZero() {
					return store.ErrConsumed
				}
				d.UsedAt = t0
				return nil
			})
			return err
		}, store.ErrConsumed},
		{"UpdateBackchannel", func(ctx context.Context, s store.Store, _ int) error {
			_, err := s.UpdateBackchannel(ctx, "race", func(b *store.Backchannel) error {
				if !b.UsedAt.IsZero() {
					return store.ErrConsumed
				}
				b.UsedAt = t0
				return nil
			})
			return err
		}, store.ErrConsumed},
		{"CreateBackchannel, the last that may wait", func(ctx context.Context, s store.Store, i int) error {
			return s.CreateBackchannel(ctx, store.Backchannel{Hash: fmt.Sprint("b-", i), AccountID: "ann", CreatedAt: t0, ExpiresAt: in(time.Hour)}, 1)
		}, store.ErrTooMany},
		{"MailSent", func(ctx context.Context, s store.Store, _ int) error { return s.MailSent(ctx, "race") }, store.ErrNotFound},
	}
}

func oneWins(e *env) {
	e.world()
	all, stores := contests(e), e.handles()
	for _, c := range all {
		winners := make(chan int, callers)
		e.together(stores, func(s store.Store, i int) {
			switch err := c.use(e.ctx, s, i); {
			case err == nil:
				winners <- i
			case !errors.Is(err, c.lost):
				e.Errorf("%s: a loser got %v, want %v", c.name, err, c.lost)
			}
		})
		e.equal(c.name+": winners", len(winners), 1)
		if c.name == "RotateRefreshToken" && len(winners) == 1 { // one live leaf (I4)
			winner := <-winners
			for i := range callers {
				_, _, err := e.s.RefreshToken(e.ctx, fmt.Sprint("leaf-", i), t0)
				want := store.ErrNotFound
				if i == winner {
					want = nil
				}
				e.wants(fmt.Sprintf("leaf of caller %d", i), err, want)
			}
		}
	}
}

func oneUnitWins(e *env) {
	e.world()
	all, stores := contests(e), e.handles()
	for n, c := range all {
		won := make([]bool, callers)
		e.together(stores, func(s store.Store, i int) {
			err := s.Do(e.ctx, func(ctx context.Context) error {
				if err := s.SetMeta(ctx, fmt.Sprintf("%d-%d", n, i), "1"); err != nil {
					return err
				}
				if err := s.AppendAudit(ctx, event(c.name, fmt.Sprint(i), t0)); err != nil {
					return err
				}
				return c.use(ctx, s, i)
			})
			won[i] = err == nil
			if err != nil && !errors.Is(err, c.lost) {
				e.Errorf("%s: a loser got %v, want %v", c.name, err, c.lost)
			}
		})
		winners := 0
		for i := range callers {
			if won[i] {
				winners++
			}
			e.equal(fmt.Sprintf("%s: what unit %d wrote", c.name, i), known(e, fmt.Sprintf("%d-%d", n, i)), []bool{won[i]})
		}
		e.equal(c.name+": winners", winners, 1)
	}
	e.equal("events", len(verifyChain(e, e.s)), len(all)) // I5
}

func countingRaces(e *env) {
	e.world()
	stores := e.handles()
	e.must(e.s.CreateSession(e.ctx, session("s", 0)))
	counts, versions := make([]int, callers), make([]int, callers)
	e.together(stores, func(s store.Store, i int) {
		f, err := s.RecordFailure(e.ctx, "k", t0, minute)
		e.wants("RecordFailure", err, nil)
		counts[i] = f.Count
		v, err := s.PublishTerms(e.ctx, store.TermsVersion{ApplicationID: "pcc", Markdown: fmt.Sprint(i)})
		e.wants("PublishTerms", err, nil)
		versions[i] = v.Version
		_, err = s.UpdateAccount(e.ctx, "ann", func(a *store.Account) error { a.PasswordHash += "x"; return nil })
		e.wants("UpdateAccount", err, nil)
		_, err = s.UpdateClient(e.ctx, "pcc-web", func(c *store.Client) error { c.Scopes = append(c.Scopes, fmt.Sprint(i)); return nil })
		e.wants("UpdateClient", err, nil)
		e.wants("PutConsent", s.PutConsent(e.ctx, store.Consent{AccountID: "ann", ClientID: "c", Scopes: []string{fmt.Sprint(i)}}), nil)
		_, err = s.RenewSession(e.ctx, "s", t0, func(s *store.Session) error { s.AMR = append(s.AMR, fmt.Sprint(i)); return nil })
		e.wants("RenewSession", err, nil)
	})
	slices.Sort(counts)
	slices.Sort(versions)
	for i := range callers {
		e.equal("each count once", counts[i], i+1)
		e.equal("each version once", versions[i], i+1)
	}
	e.equal("updates of the account", len(value[store.Account](e)(e.s.Account(e.ctx, "ann")).PasswordHash), callers)
	e.equal("updates of the client", len(value[store.Client](e)(e.s.Client(e.ctx, "pcc-web")).Scopes), callers)
	e.equal("scopes of the consent", len(value[store.Consent](e)(e.s.Consent(e.ctx, "ann", "c")).Scopes), callers)
	e.equal("updates of the session", len(value[store.Session](e)(e.s.Session(e.ctx, "s", t0)).AMR), callers+2)
}

func sharingRaces(e *env) {
	e.world()
	stores := e.handles()
	s, ctx := e.s, e.ctx
	for i := range 20 {
		id := fmt.Sprint("r", i)
		e.must(s.EnqueueMail(ctx, store.OutboxMessage{ID: id, Delivery: store.Delivery{NextAttempt: t0}}))
		e.must(s.CreateSession(ctx, session(id, 0)))
		issue(e, id, nil)
		e.must(s.CreateInvitation(ctx, invitation(id)))
		e.must(s.UseOnce(ctx, "sweep", id, t0, in(minute)))
		e.must(s.CreateOrganisation(ctx, store.Organisation{ID: id}))
		e.must(s.PutAssignment(ctx, store.Assignment{AccountID: "ann", ApplicationID: "pcc", OrganisationID: id, State: store.AssignmentInvited}))
	}
	var mu sync.Mutex
	got := map[string]int{}
	values := map[string]bool{}
	e.together(stores, func(s store.Store, i int) {
		mail, err := s.ClaimMail(ctx, t0, minute, 3)
		e.wants("ClaimMail", err, nil)
		ended, err := s.EndSessionsOf(ctx, "ann", t0)
		e.wants("EndSessionsOf", err, nil)
		revoked, err := s.RevokeGrants(ctx, store.GrantFilter{AccountID: "ann"}, "race", t0)
		e.wants("RevokeGrants", err, nil)
		invitations, err := s.RevokeInvitations(ctx, "ann", "", t0)
		e.wants("RevokeInvitations", err, nil)
		swept, err := s.Sweep(ctx, in(minute), 3)
		e.wants("Sweep", err, nil)
		activated, err := s.ActivateAssignments(ctx, "ann", "pcc", t0)
		e.wants("ActivateAssignments", err, nil)
		set, err := s.SetMetaOnce(ctx, "once", fmt.Sprint(i))
		e.wants("SetMetaOnce", err, nil)
		mu.Lock()
		defer mu.Unlock()
		got["mail"] += len(mail)
		got["sessions"] += len(ended)
		got["grants"] += len(revoked)
		got["invitations"] += invitations
		got["swept"] += swept
		got["activated"] += activated
		values[set] = true
	})
	e.equal("shared out, each once", got, map[string]int{"mail": 20, "sessions": 20, "grants": 20, "invitations": 20, "swept": 20, "activated": 20})
	e.equal("different values of SetMetaOnce", len(values), 1)
}

func auditRace(e *env) {
	stores := e.handles()
	e.together(stores, func(s store.Store, i int) {
		for range 5 {
			e.wants("append", s.AppendAudit(e.ctx, event("race", fmt.Sprint(i), t0)), nil)
		}
	})
	e.equal("entries", len(verifyChain(e, e.s)), 5*callers)
}

func totpRace(e *env) {
	stores := e.handles()
	accepted := make([]bool, callers)
	e.together(stores, func(s store.Store, i int) {
		err := s.AdvanceTOTP(e.ctx, "ann", int64(i/2+1)) // each step twice
		accepted[i] = err == nil
		if err != nil && !errors.Is(err, store.ErrConsumed) {
			e.Errorf("a loser got %v, want %v", err, store.ErrConsumed)
		}
	})
	for i := 0; i < callers; i += 2 {
		if accepted[i] && accepted[i+1] {
			e.Errorf("step %d was accepted twice", i/2+1)
		}
	}
	e.equal("the last step", value[int64](e)(e.s.LastTOTP(e.ctx, "ann")), int64(callers/2))
}
