package flow

import (
	"slices"
	"time"

	"anteroom/store"
)

// Facts are what the hub knows about an Interaction besides what it carries.
type Facts struct {
	Account          *store.Account // of the interaction, else of the session; nil: nobody is known
	Application      store.Application
	Session          *store.Session // the browser's live session; nil: none
	HasAuthenticator bool
	MayEnter         bool
	TermsOwed        bool // there are terms, and the newest version is not accepted
	ConsentCovers    bool // what is asked was consented to before
	Stranger         bool // nobody here registered the client (DocumentHost)
	DetailsOwed      bool // authorization details are asked for that the person was not asked about
}

// Decision is what Next says: a Step, or an Error that ends the interaction.
type Decision struct {
	Step  Step
	Error *ProtocolError
	// Denied: the account may not enter the application. Unless prompt is none
	// the person is told on a page before the client is.
	Denied bool
	// Auth is what is proved so far; Reached says that it suffices for a session.
	Auth    Authentication
	Reached bool
}

// Next decides which step comes next. It is the only place that does.
//
// The order: who (password), whether they may enter, the second factor, recovery
// codes to be shown, another code where the application wants one after
// enrolment, terms, consent, done.
func Next(in Interaction, f Facts) Decision {
	silent := in.Ask.Has("none")
	who, ok := authenticated(in, f)
	if !ok {
		if silent {
			return refuse("login_required", "nobody is signed in with what this request asks")
		}
		return Decision{Step: StepLogin}
	}
	if in.Kind.forClient() && in.Ask.HintSubject != "" && who.AccountID != in.Ask.HintSubject {
		return refuse("login_required", "another account than the one of id_token_hint signed in")
	}
	if in.ApplicationID != "" && !f.MayEnter {
		d := refuse("access_denied", "the account has no access to this application")
		d.Denied = true
		return d
	}
	if unreachable(in.Ask) {
		return refuse("unmet_authentication_requirements", "the requested acr cannot be reached")
	}
	d := Decision{Auth: who.Authentication}
	step := secondFactorStep(in, f, who)
	d.Reached = step == ""
	if len(in.RecoveryCodes) > 0 {
		step = StepRecoveryCodes
	}
	if step == "" && in.ApplicationID != "" && f.TermsOwed {
		step = StepTerms
	}
	if step == "" && in.Kind.forClient() && consentOwed(in, f) {
		if silent {
			return refuse("consent_required", "the person has to consent")
		}
		step = StepConsent
	}
	if step == "" {
		step = StepFinish
	}
	if silent && step != StepFinish {
		return refuse("interaction_required", "the person has to do something first")
	}
	d.Step = step
	return d
}

func refuse(code, description string) Decision {
	return Decision{Error: &ProtocolError{Code: code, Description: description}}
}

// proved is an Authentication with how its second factor was proved.
type proved struct {
	Authentication
	second   bool // any second factor
	enrolled bool // the second factor is an enrolment code of this interaction
}

// authenticated puts together what the interaction proved and what the session
// may add. ok is false when nobody proved a password.
func authenticated(in Interaction, f Facts) (proved, bool) {
	if f.Account == nil || f.Account.State == store.AccountDisabled {
		return proved{}, false
	}
	var p proved
	p.AccountID = f.Account.ID
	session := usableSession(in, f)
	own := ownFactsCount(in, f)
	switch {
	case own && !in.PasswordAt.IsZero() && !in.PasswordAt.Before(f.Account.NotBefore):
		p.AuthTime, p.AMR = in.PasswordAt, []string{"pwd"}
	case session != nil && session.AccountID == f.Account.ID:
		p.AuthTime, p.AMR = session.AuthTime, []string{"pwd"}
	default:
		return proved{}, false
	}
	if session != nil && session.AccountID == f.Account.ID {
		p.SessionID = session.ID
	}
	switch second := in.SecondFactor; {
	case own && second != nil && !second.At.Before(f.Account.NotBefore):
		p.second, p.enrolled = true, second.Enrolment
		if second.At.After(p.AuthTime) {
			p.AuthTime = second.At
		}
		// A recovery code is no one-time password: only an accepted code says otp (I6).
		if second.Method == "otp" {
			p.AMR = append(p.AMR, "otp")
		}
		p.AMR = append(p.AMR, "mfa")
	case p.SessionID != "" && slices.Contains(session.AMR, "mfa"):
		p.second = true
		p.AMR = slices.Clone(session.AMR)
	}
	p.ACR = ACRPassword
	if p.second {
		p.ACR = ACRMulti
	}
	return p, true
}

// ownFactsCount: facts that opened a session live and die with it.
func ownFactsCount(in Interaction, f Facts) bool {
	if in.AccountID == "" || f.Account.ID != in.AccountID {
		return false
	}
	return in.SessionID == "" || (f.Session != nil && f.Session.ID == in.SessionID)
}

// usableSession returns the browser's session if the request lets it count.
func usableSession(in Interaction, f Facts) *store.Session {
	s := f.Session
	if s == nil || s.AuthTime.Before(f.Account.NotBefore) {
		return nil
	}
	if in.AccountID != "" && s.AccountID != in.AccountID {
		return nil
	}
	// A sign-in that happened after the request is as fresh as can be asked.
	if !s.AuthTime.Before(in.StartedAt) || s.ID == in.SessionID {
		return s
	}
	if in.Ask.HintSubject != "" && s.AccountID != in.Ask.HintSubject {
		return nil
	}
	age := in.StartedAt.Sub(s.AuthTime)
	switch {
	case in.Ask.Has("login"):
		return nil
	case in.Ask.Has("select_account") && in.SelectedAt.IsZero():
		return nil
	case in.Ask.MaxAge != nil && age > time.Duration(*in.Ask.MaxAge)*time.Second:
		return nil
	case f.Application.SessionMaxAge > 0 && age > f.Application.SessionMaxAge:
		return nil
	}
	return s
}

// secondFactorStep returns what the second factor still asks, "" for nothing.
func secondFactorStep(in Interaction, f Facts, who proved) Step {
	if in.EnrolmentOwed {
		return StepEnroll
	}
	if !secondFactorNeeded(in, f) {
		return ""
	}
	switch {
	case !who.second && f.HasAuthenticator:
		return StepChallenge
	case !who.second:
		return StepEnroll
	case who.enrolled && f.Application.ChallengeAfterEnrolment:
		return StepChallenge
	}
	return ""
}

func secondFactorNeeded(in Interaction, f Facts) bool {
	if in.Kind == KindHome {
		return f.HasAuthenticator // the account's own pages: as strong as the account can
	}
	if f.Application.RequireMFA {
		return true
	}
	if len(in.Ask.EssentialACR) > 0 {
		return !slices.Contains(in.Ask.EssentialACR, ACRPassword)
	}
	// Voluntary: honoured when it costs a code, not when it costs an enrolment
	// (OpenID Connect Core section 3.1.2.1, acr_values).
	return f.HasAuthenticator && len(in.Ask.ACRValues) > 0 && in.Ask.ACRValues[0] == ACRMulti
}

// unreachable: none of the essential acr values is one that a sign-in can have.
func unreachable(a Ask) bool {
	return len(a.EssentialACR) > 0 && !slices.ContainsFunc(a.EssentialACR, func(v string) bool {
		return v == ACRPassword || v == ACRMulti
	})
}

func consentOwed(in Interaction, f Facts) bool {
	if !in.ConsentedAt.IsZero() {
		return false
	}
	// What the operator settled for the scopes of a first party says nothing of a
	// payment: details have a policy of their own.
	if in.Ask.Has("consent") || f.DetailsOwed || f.Stranger {
		return true
	}
	switch f.Application.Consent {
	case store.ConsentSkip:
		return false
	case store.ConsentOnce:
		return !f.ConsentCovers
	}
	return true // always, and whatever is not known
}
