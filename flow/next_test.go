package flow

import (
	"slices"
	"testing"
	"time"

	"anteroom/store"
)

var (
	t0      = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ann     = &store.Account{ID: "ann", State: store.AccountActive}
	invited = &store.Account{ID: "ann", State: store.AccountInvited}
	off     = &store.Account{ID: "ann", State: store.AccountDisabled}
	pa      = store.Application{ID: "pa", RequireMFA: true, Consent: store.ConsentSkip}
	pcc     = store.Application{ID: "pcc", RequireMFA: true, ChallengeAfterEnrolment: true, Consent: store.ConsentSkip}
	open    = store.Application{ID: "open", Consent: store.ConsentSkip}
)

func at(minutes int) time.Time { return t0.Add(time.Duration(minutes) * time.Minute) }

func session(minutes int, amr ...string) *store.Session {
	return &store.Session{ID: "s", AccountID: "ann", AuthTime: at(minutes), AMR: amr, ACR: ACRPassword}
}

func otp(minutes int) *Proof { return &Proof{At: at(minutes), Method: "otp"} }

func enrolment(minutes int) *Proof { return &Proof{At: at(minutes), Method: "otp", Enrolment: true} }

func seconds(n int64) *int64 { return &n }

// The table is the specification of the sign-in: one row a rule.
func TestNext(t *testing.T) {
	type row struct {
		rule  string
		in    Interaction
		facts Facts
		step  Step
		err   string
		amr   []string
		open  bool // a session may be opened
	}
	pwd := Interaction{AccountID: "ann", PasswordAt: at(1)}
	with := func(in Interaction, change func(*Interaction)) Interaction { change(&in); return in }
	known := Facts{Account: ann, Application: pa, MayEnter: true, HasAuthenticator: true}
	fact := func(change func(*Facts)) Facts { f := known; change(&f); return f }
	two := with(pwd, func(in *Interaction) { in.SecondFactor = otp(2) })

	rows := []row{
		{rule: "nobody known: password first", facts: Facts{Application: pa}, step: StepLogin},
		{rule: "prompt=none and nobody known", in: Interaction{Ask: Ask{Prompt: []string{"none"}}}, facts: Facts{Application: pa}, err: "login_required"},
		{rule: "a password alone is not enough where a second factor is required", in: pwd, facts: known, step: StepChallenge},
		{rule: "no authenticator yet: enrolment (J4)", in: pwd, facts: fact(func(f *Facts) { f.HasAuthenticator = false }), step: StepEnroll},
		{rule: "an invited account enrols on its first way in (J1)", in: pwd, facts: fact(func(f *Facts) { f.Account, f.HasAuthenticator = invited, false }), step: StepEnroll},
		{rule: "password and code: done", in: two, facts: known, step: StepFinish, amr: []string{"pwd", "otp", "mfa"}, open: true},
		{rule: "the application asks no second factor", in: pwd, facts: fact(func(f *Facts) { f.Application = open }), step: StepFinish, amr: []string{"pwd"}, open: true},
		{rule: "an enrolment code is a second factor (J1)", in: with(pwd, func(in *Interaction) { in.SecondFactor = enrolment(2) }), facts: known, step: StepFinish, amr: []string{"pwd", "otp", "mfa"}, open: true},
		{rule: "PCC asks another code after the enrolment code (J3)", in: with(pwd, func(in *Interaction) { in.SecondFactor = enrolment(2) }), facts: fact(func(f *Facts) { f.Application = pcc }), step: StepChallenge},
		{rule: "PCC: the other code was given", in: two, facts: fact(func(f *Facts) { f.Application = pcc }), step: StepFinish, open: true},
		{rule: "recovery codes are shown before anything else", in: with(pwd, func(in *Interaction) { in.SecondFactor, in.RecoveryCodes = enrolment(2), []string{"a"} }), facts: known, step: StepRecoveryCodes, open: true},
		{rule: "PCC: recovery codes first, and no session yet", in: with(pwd, func(in *Interaction) { in.SecondFactor, in.RecoveryCodes = enrolment(2), []string{"a"} }), facts: fact(func(f *Facts) { f.Application = pcc }), step: StepRecoveryCodes},
		{rule: "a recovery code leads to enrolment (J7)", in: with(pwd, func(in *Interaction) {
			in.SecondFactor, in.EnrolmentOwed = &Proof{At: at(2), Method: "recovery"}, true
		}), facts: known, step: StepEnroll},
		{rule: "a recovery code leads to enrolment where no second factor is asked, too", in: with(pwd, func(in *Interaction) {
			in.SecondFactor, in.EnrolmentOwed = &Proof{At: at(2), Method: "recovery"}, true
		}), facts: fact(func(f *Facts) { f.Application = open }), step: StepEnroll},

		{rule: "single sign-on: a session answers everything (J2)", facts: fact(func(f *Facts) { f.Session = session(-30, "pwd", "otp", "mfa") }), step: StepFinish, amr: []string{"pwd", "otp", "mfa"}, open: true},
		{rule: "single sign-on is silent with prompt=none", in: Interaction{Ask: Ask{Prompt: []string{"none"}}}, facts: fact(func(f *Facts) { f.Session = session(-30, "pwd", "otp", "mfa") }), step: StepFinish, open: true},
		{rule: "step-up: a password session needs only the code", facts: fact(func(f *Facts) { f.Session = session(-30, "pwd") }), step: StepChallenge},
		{rule: "step-up with prompt=none", in: Interaction{Ask: Ask{Prompt: []string{"none"}}}, facts: fact(func(f *Facts) { f.Session = session(-30, "pwd") }), err: "interaction_required"},
		{rule: "step-up: the code joins the session's password", in: Interaction{AccountID: "ann", SecondFactor: otp(1)}, facts: fact(func(f *Facts) { f.Session = session(-30, "pwd") }), step: StepFinish, amr: []string{"pwd", "otp", "mfa"}, open: true},
		{rule: "a session of somebody else counts nothing", in: two, facts: fact(func(f *Facts) {
			f.Session = &store.Session{ID: "x", AccountID: "ben", AuthTime: at(-5), AMR: []string{"pwd", "mfa"}}
		}), step: StepFinish, open: true},

		{rule: "prompt=login asks again in spite of a session", in: Interaction{Ask: Ask{Prompt: []string{"login"}}}, facts: fact(func(f *Facts) { f.Session = session(-30, "pwd", "mfa") }), step: StepLogin},
		{rule: "prompt=login: the old second factor does not count either", in: with(pwd, func(in *Interaction) { in.Ask.Prompt = []string{"login"} }), facts: fact(func(f *Facts) { f.Session = session(-30, "pwd", "otp", "mfa") }), step: StepChallenge},
		{rule: "prompt=login: a sign-in after the request counts", in: Interaction{Ask: Ask{Prompt: []string{"login"}}}, facts: fact(func(f *Facts) { f.Session = session(1, "pwd", "otp", "mfa") }), step: StepFinish, open: true},
		{rule: "max_age exceeded", in: Interaction{Ask: Ask{MaxAge: seconds(60)}}, facts: fact(func(f *Facts) { f.Session = session(-30, "pwd", "mfa") }), step: StepLogin},
		{rule: "max_age not exceeded", in: Interaction{Ask: Ask{MaxAge: seconds(3600)}}, facts: fact(func(f *Facts) { f.Session = session(-30, "pwd", "mfa") }), step: StepFinish, open: true},
		{rule: "max_age exactly reached is not exceeded", in: Interaction{Ask: Ask{MaxAge: seconds(1800)}}, facts: fact(func(f *Facts) { f.Session = session(-30, "pwd", "mfa") }), step: StepFinish, open: true},
		{rule: "max_age=0 always asks", in: Interaction{Ask: Ask{MaxAge: seconds(0)}}, facts: fact(func(f *Facts) { f.Session = session(-1, "pwd", "mfa") }), step: StepLogin},
		{rule: "max_age exceeded with prompt=none", in: Interaction{Ask: Ask{MaxAge: seconds(1), Prompt: []string{"none"}}}, facts: fact(func(f *Facts) { f.Session = session(-30, "pwd", "mfa") }), err: "login_required"},
		{rule: "the application's own limit on a session's age", facts: fact(func(f *Facts) { f.Application.SessionMaxAge, f.Session = time.Minute, session(-30, "pwd", "mfa") }), step: StepLogin},
		{rule: "select_account asks who", in: Interaction{Ask: Ask{Prompt: []string{"select_account"}}}, facts: fact(func(f *Facts) { f.Session = session(-30, "pwd", "mfa") }), step: StepLogin},
		{rule: "select_account: she goes on as herself", in: Interaction{SelectedAt: at(1), Ask: Ask{Prompt: []string{"select_account"}}}, facts: fact(func(f *Facts) { f.Session = session(-30, "pwd", "mfa") }), step: StepFinish, open: true},
		{rule: "id_token_hint for the session's account", in: Interaction{Ask: Ask{HintSubject: "ann", Prompt: []string{"none"}}}, facts: fact(func(f *Facts) { f.Session = session(-30, "pwd", "mfa") }), step: StepFinish, open: true},
		{rule: "id_token_hint for somebody else, silently", in: Interaction{Ask: Ask{HintSubject: "ben", Prompt: []string{"none"}}}, facts: fact(func(f *Facts) { f.Session = session(-30, "pwd", "mfa") }), err: "login_required"},
		{rule: "id_token_hint for somebody else: asks who", in: Interaction{Ask: Ask{HintSubject: "ben"}}, facts: fact(func(f *Facts) { f.Session = session(-30, "pwd", "mfa") }), step: StepLogin},
		{rule: "another account than id_token_hint signed in", in: with(two, func(in *Interaction) { in.Ask.HintSubject = "ben" }), facts: known, err: "login_required"},

		{rule: "a disabled account is nobody", in: two, facts: fact(func(f *Facts) { f.Account = off }), step: StepLogin},
		{rule: "a disabled account is nobody, with a session, too", facts: fact(func(f *Facts) { f.Account, f.Session = off, session(-30, "pwd", "mfa") }), step: StepLogin},
		{rule: "facts older than NotBefore do not count", in: two, facts: fact(func(f *Facts) { f.Account = &store.Account{ID: "ann", State: store.AccountActive, NotBefore: at(3)} }), step: StepLogin},
		{rule: "a session older than NotBefore does not count", facts: fact(func(f *Facts) {
			f.Account = &store.Account{ID: "ann", State: store.AccountActive, NotBefore: at(-10)}
			f.Session = session(-30, "pwd", "mfa")
		}), step: StepLogin},
		{rule: "only the second factor is older than NotBefore", in: with(two, func(in *Interaction) { in.PasswordAt = at(5) }), facts: fact(func(f *Facts) { f.Account = &store.Account{ID: "ann", State: store.AccountActive, NotBefore: at(3)} }), step: StepChallenge},
		{rule: "facts that opened a session die with it", in: with(two, func(in *Interaction) { in.SessionID = "s" }), facts: known, step: StepLogin},
		{rule: "facts that opened a session live with it", in: with(two, func(in *Interaction) { in.SessionID = "s" }), facts: fact(func(f *Facts) { f.Session = session(2, "pwd", "otp", "mfa") }), step: StepFinish, open: true},
		{rule: "a second factor without any password is nothing", in: Interaction{AccountID: "ann", SecondFactor: otp(1)}, facts: known, step: StepLogin},

		{rule: "no access: told after the password, before any enrolment", in: pwd, facts: fact(func(f *Facts) { f.MayEnter, f.HasAuthenticator = false, false }), err: "access_denied"},
		{rule: "no access, silently", in: Interaction{Ask: Ask{Prompt: []string{"none"}}}, facts: fact(func(f *Facts) { f.MayEnter, f.Session = false, session(-1, "pwd", "mfa") }), err: "access_denied"},

		{rule: "authorization details are asked for where scopes are not", in: with(two, func(in *Interaction) { in.Kind = KindAuthorize }), facts: fact(func(f *Facts) { f.Application.Consent, f.DetailsOwed = store.ConsentSkip, true }), step: StepConsent, open: true},
		{rule: "and for a device", in: with(two, func(in *Interaction) { in.Kind = KindDevice }), facts: fact(func(f *Facts) { f.Application.Consent, f.DetailsOwed = store.ConsentSkip, true }), step: StepConsent, open: true},
		{rule: "and never silently", in: with(two, func(in *Interaction) { in.Kind, in.Ask.Prompt = KindAuthorize, []string{"none"} }), facts: fact(func(f *Facts) { f.Application.Consent, f.DetailsOwed = store.ConsentSkip, true }), err: "consent_required"},
		{rule: "and once", in: with(two, func(in *Interaction) { in.Kind, in.ConsentedAt = KindAuthorize, at(4) }), facts: fact(func(f *Facts) { f.Application.Consent, f.DetailsOwed = store.ConsentSkip, true }), step: StepFinish, open: true},
		{rule: "terms before the portal (J1)", in: two, facts: fact(func(f *Facts) { f.TermsOwed = true }), step: StepTerms, open: true},
		{rule: "new terms are asked with a session, too", facts: fact(func(f *Facts) { f.TermsOwed, f.Session = true, session(-30, "pwd", "mfa") }), step: StepTerms, open: true},
		{rule: "terms owed, silently", in: Interaction{Ask: Ask{Prompt: []string{"none"}}}, facts: fact(func(f *Facts) { f.TermsOwed, f.Session = true, session(-30, "pwd", "mfa") }), err: "interaction_required"},
		{rule: "terms never come before the second factor", in: pwd, facts: fact(func(f *Facts) { f.TermsOwed = true }), step: StepChallenge},

		{rule: "consent once: asked", in: two, facts: fact(func(f *Facts) { f.Application.Consent = store.ConsentOnce }), step: StepConsent, open: true},
		{rule: "consent once: covered", in: two, facts: fact(func(f *Facts) { f.Application.Consent, f.ConsentCovers = store.ConsentOnce, true }), step: StepFinish, open: true},
		{rule: "consent always: asked although covered", in: two, facts: fact(func(f *Facts) { f.Application.Consent, f.ConsentCovers = store.ConsentAlways, true }), step: StepConsent, open: true},
		{rule: "consent always: given now", in: with(two, func(in *Interaction) { in.ConsentedAt = at(3) }), facts: fact(func(f *Facts) { f.Application.Consent = store.ConsentAlways }), step: StepFinish, open: true},
		{rule: "a client that nobody registered is asked about every time, whatever the policy", in: two, facts: fact(func(f *Facts) { f.Application.Consent, f.ConsentCovers, f.Stranger = store.ConsentOnce, true, true }), step: StepConsent, open: true},
		{rule: "a client that nobody registered is asked about once in a sign-in", in: with(two, func(in *Interaction) { in.ConsentedAt = at(3) }), facts: fact(func(f *Facts) { f.Stranger = true }), step: StepFinish, open: true},
		{rule: "an unknown consent policy asks", in: two, facts: fact(func(f *Facts) { f.Application.Consent = "" }), step: StepConsent, open: true},
		{rule: "prompt=consent asks a first party, too", in: with(two, func(in *Interaction) { in.Ask.Prompt = []string{"consent"} }), facts: known, step: StepConsent, open: true},
		{rule: "consent owed, silently", in: Interaction{Ask: Ask{Prompt: []string{"none"}}}, facts: fact(func(f *Facts) { f.Application.Consent, f.Session = store.ConsentOnce, session(-1, "pwd", "mfa") }), err: "consent_required"},
		{rule: "terms before consent", in: two, facts: fact(func(f *Facts) { f.TermsOwed, f.Application.Consent = true, store.ConsentOnce }), step: StepTerms, open: true},
		{rule: "a request over the back channel asks for consent as a portal does", in: with(two, func(in *Interaction) { in.Kind = KindBackchannel }), facts: fact(func(f *Facts) { f.Application.Consent = store.ConsentOnce }), step: StepConsent, open: true},
		{rule: "and is for its person only", in: with(two, func(in *Interaction) { in.Kind, in.Ask.HintSubject = KindBackchannel, "ben" }), facts: known, err: "login_required"},
		{rule: "and for whoever may enter", in: with(two, func(in *Interaction) { in.Kind, in.ApplicationID = KindBackchannel, "pa" }), facts: fact(func(f *Facts) { f.MayEnter = false }), err: "access_denied"},
		{rule: "a device asks for consent as a portal does", in: with(two, func(in *Interaction) { in.Kind = KindDevice }), facts: fact(func(f *Facts) { f.Application.Consent = store.ConsentOnce }), step: StepConsent, open: true},
		{rule: "an activation asks no consent: no client asks for anything", in: with(two, func(in *Interaction) { in.Kind = KindActivation }), facts: fact(func(f *Facts) { f.Application.Consent = store.ConsentAlways }), step: StepFinish, open: true},

		{rule: "essential acr mfa where the application asks none", in: with(pwd, func(in *Interaction) { in.Ask.EssentialACR = []string{ACRMulti} }), facts: fact(func(f *Facts) { f.Application = open }), step: StepChallenge},
		{rule: "essential acr pwd or mfa: pwd is enough", in: with(pwd, func(in *Interaction) { in.Ask.EssentialACR = []string{ACRMulti, ACRPassword} }), facts: fact(func(f *Facts) { f.Application = open }), step: StepFinish, open: true},
		{rule: "essential acr that cannot be reached", in: with(pwd, func(in *Interaction) { in.Ask.EssentialACR = []string{"urn:example:gold"} }), facts: known, err: "unmet_authentication_requirements"},
		{rule: "voluntary acr mfa is honoured when there is an authenticator", in: with(pwd, func(in *Interaction) { in.Ask.ACRValues = []string{ACRMulti} }), facts: fact(func(f *Facts) { f.Application = open }), step: StepChallenge},
		{rule: "voluntary acr mfa costs no enrolment", in: with(pwd, func(in *Interaction) { in.Ask.ACRValues = []string{ACRMulti} }), facts: fact(func(f *Facts) { f.Application, f.HasAuthenticator = open, false }), step: StepFinish, open: true},
		{rule: "voluntary acr that is unknown is no error", in: with(two, func(in *Interaction) { in.Ask.ACRValues = []string{"urn:example:gold"} }), facts: known, step: StepFinish, open: true},

		{rule: "the start page asks the second factor of whoever has one", in: with(pwd, func(in *Interaction) { in.Kind, in.ApplicationID = KindHome, "-" }), facts: Facts{Account: ann, HasAuthenticator: true}, step: StepChallenge},
		{rule: "the start page asks no enrolment", in: with(pwd, func(in *Interaction) { in.Kind, in.ApplicationID = KindHome, "-" }), facts: Facts{Account: ann}, step: StepFinish, open: true},
	}
	for _, row := range rows {
		t.Run(row.rule, func(t *testing.T) {
			in := row.in
			in.StartedAt = t0
			if in.Kind == "" {
				in.Kind = KindAuthorize
			}
			switch in.ApplicationID {
			case "":
				in.ApplicationID = "pa"
			case "-":
				in.ApplicationID = ""
			}
			got := Next(in, row.facts)
			code := ""
			if got.Error != nil {
				code = got.Error.Code
			}
			if got.Step != row.step || code != row.err {
				t.Fatalf("step %q error %q, want %q %q", got.Step, code, row.step, row.err)
			}
			if got.Reached != row.open {
				t.Errorf("may open a session: %v, want %v", got.Reached, row.open)
			}
			if row.amr != nil && !slices.Equal(got.Auth.AMR, row.amr) {
				t.Errorf("amr %v, want %v", got.Auth.AMR, row.amr)
			}
			if got.Denied != (code == "access_denied") {
				t.Errorf("denied %v with error %q", got.Denied, code)
			}
		})
	}
}

// I6: no authentication says otp without an accepted code, whatever the facts.
func TestNextNeverClaimsMoreThanWasProved(t *testing.T) {
	proofs := []*Proof{nil, otp(1), enrolment(1), {At: at(1), Method: "recovery"}}
	sessions := []*store.Session{nil, session(-5, "pwd"), session(-5, "pwd", "otp", "mfa"), session(5, "pwd", "mfa")}
	for _, proof := range proofs {
		for _, s := range sessions {
			for _, owed := range []bool{false, true} {
				in := Interaction{Kind: KindAuthorize, ApplicationID: "pa", AccountID: "ann", PasswordAt: at(1), SecondFactor: proof, EnrolmentOwed: owed, StartedAt: t0}
				d := Next(in, Facts{Account: ann, Application: pa, MayEnter: true, HasAuthenticator: true, Session: s})
				accepted := proof != nil && proof.Method == "otp" || s != nil && slices.Contains(s.AMR, "otp")
				if slices.Contains(d.Auth.AMR, "otp") && !accepted {
					t.Errorf("proof %+v session %+v: amr %v claims otp", proof, s, d.Auth.AMR)
				}
				if d.Auth.ACR == ACRMulti && proof == nil && (s == nil || !slices.Contains(s.AMR, "mfa")) {
					t.Errorf("proof %+v session %+v: acr %s without a second factor", proof, s, d.Auth.ACR)
				}
				if d.Step == StepFinish && (owed || d.Auth.ACR != ACRMulti) {
					t.Errorf("proof %+v session %+v owed %v: finished with %s", proof, s, owed, d.Auth.ACR)
				}
			}
		}
	}
}
