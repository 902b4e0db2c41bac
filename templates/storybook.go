package templates

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"
	"time"
)

// Story is a page in one of its states, with words as long and as foreign as
// they come.
type Story struct {
	Name string // file name without extension, unique
	Page Page
}

// Storybook returns every page in each state that looks different. Tests render
// it, and designers look at it (make the pictures with ANTEROOM_SHOTS, see
// shots_test.go).
func Storybook() []Story {
	var all []Story
	all = append(all, passwordStories()...)
	all = append(all, codeStories()...)
	all = append(all, termsStories()...)
	return append(all, endStories()...)
}

func brandAnalytics() *Brand {
	return &Brand{Name: "Partner Analytics", Colour: "#0f766e", URL: "https://analytics.example/"}
}

func brandControl() *Brand {
	return &Brand{Name: "PCC", Colour: "#b45309", URL: "https://pcc.example/"}
}

// brandHuge has a name and a colour that no design would choose.
func brandHuge() *Brand {
	return &Brand{
		Name:   "Worldwide Distribution Partner Relationship and Entitlement Management Control Center (Europe, Middle East and Africa)",
		Colour: "#ffe600",
	}
}

func brandLogo() *Brand {
	const logo = `<svg xmlns="http://www.w3.org/2000/svg" width="150" height="40"><circle cx="20" cy="20" r="18" fill="#7c3aed"/><text x="46" y="28" font-family="sans-serif" font-weight="700" font-size="22" fill="#7c3aed">Northwind</text></svg>`
	return &Brand{Name: "Northwind Orders", Colour: "#1e1b4b", LogoURL: "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(logo))}
}

// steps is the progress of an activation that stands at the given stop.
func steps(current int) []ProgressStep {
	all := []ProgressStep{{Name: "Password"}, {Name: "Authenticator"}, {Name: "Terms"}, {Name: "Done"}}
	for i := range all {
		all[i].Done, all[i].Current = i < current, i == current
	}
	return all
}

const (
	longName   = "Maximiliane-Alexandra Konstantinopoulou-von Hohenstaufen-Württemberg"
	arabicName = "ليلى بنت عبد الرحمن"
	longMail   = "maximiliane.alexandra.konstantinopoulou-von-hohenstaufen@procurement.emea.acme-industries.example"
)

func passwordStories() []Story {
	analytics := Frame{Portal: brandAnalytics()}
	activation := Frame{Portal: brandAnalytics(), Progress: steps(0)}
	signIn := "/login?i=x"
	return []Story{
		{"login", &Login{Frame: analytics, Action: signIn, ForgotURL: "/forgot"}},
		{"login-refused", &Login{Frame: analytics, Action: signIn, ForgotURL: "/forgot", UserName: "ann@acme.example",
			Error: "User name and password do not match. Check both, or choose a new password below."}},
		{"login-throttled", &Login{Frame: Frame{Portal: brandControl()}, Action: signIn, ForgotURL: "/forgot", UserName: "ann@acme.example",
			Error: "Too many tries. Wait two minutes, then try again, or choose a new password below."}},
		{"login-notice", &Login{Frame: Frame{Portal: brandControl()}, Action: signIn, ForgotURL: "/forgot", UserName: "ann@acme.example",
			Notice: "Your new password is set. Sign in with it."}},
		{"login-continue", &Login{Frame: Frame{Portal: brandLogo()}, Action: signIn, ForgotURL: "/forgot", ContinueAs: "Ann Example",
			Why: "Northwind Orders asks who you want to be."}},
		{"login-continue-rtl", &Login{Frame: analytics, Action: signIn, ForgotURL: "/forgot", ContinueAs: arabicName}},
		{"login-huge", &Login{Frame: Frame{Portal: brandHuge()}, Action: signIn, ForgotURL: "/forgot", UserName: longMail,
			Why: "You are signed in already. This portal asks for a sign-in that is not older than ten minutes."}},
		{"login-plain", &Login{Action: signIn}},
		{"activate", &Activate{Frame: activation, Action: "/activate?i=x", Name: "Ann Example", UserName: "ann@acme.example", Invited: "Bob Builder", MinLength: 8}},
		{"activate-refused", &Activate{Frame: activation, Action: "/activate?i=x", Name: longName, UserName: longMail, Invited: arabicName, MinLength: 15,
			Error: "This password is among the most common ones. Choose one that others would not think of."}},
		{"dead-link-used", &DeadLink{Frame: analytics, Reason: "used", Actions: []Action{{Label: "Sign in", URL: "/", Primary: true}}}},
		{"dead-link-expired", &DeadLink{Frame: analytics, Reason: "expired", Email: "a••@acme.example", Actions: []Action{
			{Label: "Send me a new link", URL: "/activate/fresh", Post: true, Primary: true, Fields: map[string]string{"t": "x"}},
			{Label: "Go to the start page", URL: "/"}}}},
		{"dead-link-sent", &DeadLink{Frame: analytics, Reason: "expired", Email: "a••@acme.example", Sent: true}},
		{"dead-link-revoked", &DeadLink{Frame: analytics, Reason: "revoked", Actions: []Action{{Label: "Go to the start page", URL: "/", Primary: true}}}},
		{"dead-link-unknown", &DeadLink{Reason: "unknown", Reset: true, Actions: []Action{{Label: "Ask for a new link", URL: "/forgot", Primary: true}}}},
		{"forgot", &Forgot{Frame: analytics, Action: "/forgot", BackURL: "/login"}},
		{"forgot-refused", &Forgot{Frame: analytics, Action: "/forgot", BackURL: "/login", Error: "Enter your user name or your e-mail address."}},
		{"forgot-sent", &Forgot{Frame: analytics, Sent: true, BackURL: "/login"}},
		{"reset", &Reset{Frame: analytics, Action: "/reset", UserName: "ann@acme.example", MinLength: 8}},
		{"reset-refused", &Reset{Action: "/reset", UserName: longMail, MinLength: 8, Error: "Use at least 8 characters. This one has 5."}},
	}
}

func codeStories() []Story {
	activation := Frame{Portal: brandAnalytics(), Progress: steps(1)}
	enroll := Enroll{
		Frame: activation, Action: "/mfa/enroll?i=x", QR: sampleQR(), Account: "ann@acme.example",
		Secret: "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP", SecretRaw: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
		OtpauthURI: "otpauth://totp/Example:ann@acme.example?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Example",
		NewSecret:  "/mfa/enroll/new?i=x",
	}
	refused, hinted := enroll, enroll
	refused.Error = "This code does not match. Your phone is about two minutes behind: turn on automatic time in its settings, then enter the next code."
	hinted.Hint = "Ask your IT department which app is allowed. At Acme it is Microsoft Authenticator."
	hinted.Account, hinted.Replaces, hinted.Frame = longMail, true, Frame{Portal: brandHuge()}
	hinted.Why = "You used a recovery code, so you set up your authenticator again."
	codes := []string{"k7m2-9xqd-4hpw", "3fzt-v8rc-2ynb", "hq5j-6wde-x9ms", "8cpv-t4kn-7zfg", "w2rx-b5hq-3jdy", "n6gs-m9tz-c4kf", "5vjd-2pxw-8rqh", "x3yb-k7cn-6tmg", "d9fw-4hsz-j2vp", "t8qk-5rgm-w3xc"}
	control := Frame{Portal: brandControl()}
	challenge := Challenge{Frame: control, Action: "/mfa/challenge?i=x", RecoveryURL: "/mfa/recovery?i=x"}
	replay, after, locked := challenge, challenge, challenge
	replay.Error, replay.Wait = "You used this code already. Enter the next one.", 12
	after.AfterEnrolment, after.Wait = true, 24
	after.Frame = Frame{Portal: brandControl(), Progress: []ProgressStep{{Name: "Password", Done: true}, {Name: "Authenticator", Current: true}, {Name: "Done"}}}
	locked.Error = "Too many wrong codes. Wait 15 minutes, then try again. A recovery code works now."
	locked.Help = []Action{{Label: "Start again", URL: "/login"}}
	recovery := Recovery{Frame: control, Action: "/mfa/recovery?i=x", BackURL: "/mfa/challenge?i=x"}
	wrong := recovery
	wrong.Error = "This code is not one of yours, or it was used already. Try another one."
	return []Story{
		{"enroll", &enroll}, {"enroll-refused", &refused}, {"enroll-hint-huge", &hinted},
		{"recovery-codes", &RecoveryCodes{Frame: activation, Action: "/mfa/recovery-codes?i=x", Codes: codes, DownloadURL: "/mfa/recovery-codes.txt?i=x", Account: "ann@acme.example"}},
		{"challenge", &challenge}, {"challenge-replayed", &replay}, {"challenge-after-enrolment", &after}, {"challenge-throttled", &locked},
		{"recovery", &recovery}, {"recovery-refused", &wrong},
	}
}

func termsStories() []Story {
	published := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	long, _ := Markdown(sampleTerms)
	short, _ := Markdown("Be kind. Do not share what you see here.")
	activation := Frame{Portal: brandAnalytics(), Progress: steps(2)}
	terms := Terms{Frame: activation, Action: "/terms?i=x", Title: "Terms & Conditions", Body: long, Version: 3, PublishedAt: published, Activation: true}
	refused, newer := terms, terms
	refused.Error = "Tick the box to go on. Without it you cannot use Partner Analytics."
	newer.Frame, newer.Newer, newer.Activation, newer.Body, newer.Title = Frame{Portal: brandHuge()}, true, false, short, ""
	return []Story{
		{"terms", &terms}, {"terms-refused", &refused}, {"terms-newer-short", &newer},
		{"consent", &Consent{Frame: Frame{Portal: brandAnalytics()}, Action: "/consent?i=x", Client: "Partner Analytics for Excel", Person: "ann@acme.example", Scopes: []ScopeLine{
			{Name: "openid", Text: "Know that it is you"}, {Name: "profile", Text: "See your name"}, {Name: "email", Text: "See your e-mail address"},
			{Name: "offline_access", Text: "Stay connected while you are away", New: true}}}},
		{"consent-details", &Consent{Frame: Frame{Portal: brandAnalytics()}, Action: "/consent?i=x", Client: "Household Ledger", Person: "ann@acme.example", Details: []ConsentDetail{
			{Title: "Pay from your account", Lines: []ConsentLine{
				{"Amount", []string{"123.50"}}, {"Currency", []string{"Euro"}}, {"To", []string{"Merchant A"}}, {"Account", []string{"DE02 1001 0010 9307 1186 03"}}, {"Reference", []string{"Invoice 2026-1142"}}}},
			{Title: "Look at your accounts", Lines: []ConsentLine{{"To do", []string{"See your balances", "See your payments"}}}}},
			Scopes: []ScopeLine{{Name: "openid", Text: "Recognise you when you come back"}}}},
		{"consent-stranger", &Consent{Frame: Frame{Portal: brandAnalytics()}, Action: "/consent?i=x", Client: "Reports for everyone", Host: "tool.example", Person: "ann@acme.example", Scopes: []ScopeLine{{Name: "email", Text: "See your e-mail address"}}}},
		{"consent-details-huge", &Consent{Frame: Frame{Portal: brandHuge()}, Action: "/consent?i=x", Client: brandHuge().Name, Person: arabicName, Details: []ConsentDetail{
			{Title: "<script>alert(1)</script>", Lines: []ConsentLine{{strings.Repeat("verylongname", 9), []string{strings.Repeat("x", 400), arabicName, `"><img src=x onerror=alert(1)>`}}}}}}},
		{"consent-huge", &Consent{Frame: Frame{Portal: brandHuge()}, Action: "/consent?i=x", Client: brandHuge().Name, Person: arabicName, Scopes: []ScopeLine{{Name: "urn:example:a-scope-without-any-words:read-write-delete"}}}},
	}
}

func endStories() []Story {
	analytics := Frame{Portal: brandAnalytics()}
	return []Story{
		{"activated", &Activated{Frame: Frame{Portal: brandAnalytics(), Progress: steps(4)}, Name: "Ann Example", PortalURL: "https://analytics.example/"}},
		{"activated-huge", &Activated{Frame: Frame{Portal: brandHuge()}, Name: longName, PortalURL: "https://huge.example/"}},
		{"activated-no-portal", &Activated{Frame: analytics}},
		{"logout", &Logout{Frame: analytics, Action: "/logout", Person: "ann@acme.example", Fields: map[string]string{"state": "x"}, Stay: "/"}},
		{"logout-plain", &Logout{Action: "/logout"}},
		{"signed-out", &SignedOut{Frame: analytics, ContinueURL: "https://analytics.example/"}},
		{"signed-out-plain", &SignedOut{}},
		{"device", &Device{Action: "/device"}},
		{"device-wrong", &Device{Action: "/device", UserCode: "WDJB-MJHX", Error: "This code is not right, or its time is over."}},
		{"device-confirm", &Device{Frame: analytics, Action: "/device", UserCode: "WDJB-MJHT", Confirm: true, Client: "Wall display", Address: "192.0.2.7", Agent: "Display/1.0 (Linux)", Minutes: 2}},
		{"device-approved", &Device{Result: "approved"}},
		{"device-denied", &Device{Result: "denied"}},
		{"device-expired", &Device{Action: "/device", Result: "expired"}},
		{"requests", &Requests{Action: "/account/requests", Person: "Ann Example", Requests: []Request{{ID: "x", Portal: "Partner Analytics", Client: "Call centre", Binding: "W4SCT-81", Address: "192.0.2.7", Minutes: 1, Left: 9}}}},
		{"requests-many", &Requests{Action: "/account/requests", Person: arabicName, Result: "denied", Requests: []Request{
			{ID: "x", Portal: brandHuge().Name, Client: longName, Binding: "Überweisung 1.250,00 € an Kontoinhaber in Gütersloh, Auftrag 7715", Address: "2001:db8:85a3:8d3:1319:8a2e:370:7348", Left: 1},
			{ID: "y", Portal: "PCC", Minutes: 12, Left: 3}}}},
		{"requests-approved", &Requests{Action: "/account/requests", Person: "Ann Example", Result: "approved"}},
		{"requests-gone", &Requests{Action: "/account/requests", Person: "Ann Example", Result: "gone"}},
		{"home", &Home{Person: "Ann Example", Portals: []Brand{*brandAnalytics(), *brandControl(), *brandHuge(), *brandLogo()}, Actions: []Action{{Label: "Sign out", URL: "/logout", ID: "sign-out"}}}},
		{"home-nobody", &Home{}},
		{"home-empty", &Home{Person: arabicName, Notice: "You were signed out of Partner Analytics.", Actions: []Action{{Label: "Sign out", URL: "/logout"}}}},
		{"error", &Error{Frame: analytics, Heading: "This page is no longer current", Sentence: "You finished this sign-in in another tab.", ID: "01JD8Q5M3T6W",
			Actions: []Action{{Label: "Continue to Partner Analytics", URL: "https://analytics.example/", Primary: true}, {Label: "Sign in as somebody else", URL: "/logout", Post: true, Fields: map[string]string{"next": "/"}}}}},
		{"error-server", &Error{Heading: "This did not work", Sentence: "Something failed on our side and nothing was changed. Try again in a moment.", ID: "01JD8Q5M3T6W", Actions: []Action{{Label: "Go to the start page", URL: "/", Primary: true}}}},
		{"error-huge", &Error{Frame: Frame{Portal: brandHuge()}, Heading: "The portal sent a request that cannot be answered safely", ID: "01JD8Q5M3T6W-01JD8Q5M3T6W-01JD8Q5M3T6W",
			Sentence: "The address to return to, https://worldwide-distribution.example/a/very/long/path/that/does/not/break, is not one that the portal registered. Tell the people who run the portal; there is nothing for you to do here."}},
	}
}

const sampleTerms = `# Purpose

Partner Analytics shows figures about your organisation and its customers. By using it you accept these terms.

## 1. Your account

1. The account is yours alone. Do not share it, or the codes of your authenticator.
2. Tell your administrator at once when you lose your phone.
3. You may use the figures **within your organisation**. Passing them on needs written permission.

## 2. What we record

| What | Why | How long |
|---|---|---|
| Time and address of each sign-in | To find misuse | 13 months |
| Reports that you open | To bill your organisation | 10 years |

## 3. Availability

We maintain the service on Sundays between 02:00 and 06:00 UTC. There is no claim to uninterrupted service, and no liability for decisions that are taken on the basis of its figures, as far as the law allows that.

- Questions: [partner support](https://support.example/)
- Data protection: <privacy@example.com>

## 4. End

Either side may end the use at any time. When you leave your organisation, your access ends on that day, and your account is removed 90 days later.

> The version that you accepted can be printed from your account page at any time.
`

// sampleQR draws a QR code as the enrolment does: black on white, with a quiet
// zone of four modules.
func sampleQR() template.HTML {
	const size = 41
	bits, err := base64.StdEncoding.DecodeString(sampleQRBits)
	if err != nil {
		panic("templates: sample QR: " + err.Error())
	}
	var path strings.Builder
	for i := range size * size {
		if bits[i/8]&(0x80>>(i%8)) != 0 {
			fmt.Fprintf(&path, "M%d %dh1v1h-1z", i%size+4, i/size+4)
		}
	}
	return template.HTML(fmt.Sprintf(`<svg id="totp-qr" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[1]d" width="%[2]d" height="%[2]d" role="img" aria-label="QR code for your authenticator" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%[1]dv%[1]dH0z"/><path d="%[3]s"/></svg>`, size+8, 5*(size+8), path.String()))
}

const sampleQRBits = "/rAUTT/BKN8l0G6R2OkLt1lJsmXbrblX4uwVhZNpB/qqqqr+Ab3rDACLy96//NCnUb9M9tzJd42mg77m5pakWMBEDwuetcN7qFlecpKLFr5pSzrEgrlVGHWpBb9GpQvdACm6wqnKvHtRDNxmwF+ZsfZ9CJ3JGqhqrGwKK8HWzBmA8Ta8fXzms00cKCJdpIuieDc5SBdGdMP78O8XOWKaQOeNedjCd3NI/ABFljdFP6GSR6swSq518auoeqZf/dMuqsI66MOW+RsEqCxra/72bhTJAA=="
