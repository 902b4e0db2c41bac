package demo

import (
	"fmt"
	"io"
	"strings"
	"text/template"
)

var tourText = template.Must(template.New("tour").Parse(`
The demo is ready. Ctrl-C stops it; it remembers everything in {{.Data}}, so delete that folder to start over.

  Sign-in service        {{.Issuer}}
  Partner Analytics      {{.Analytics}}
  Control Center (PCC)   {{.PCC}}
  Mailbox                {{.Mailbox}}   (for programs: {{.Mailbox}}mail.json)

A tour, with your own phone:

  1. Ann is invited to Partner Analytics. Open the mailbox, {{.Mailbox}}
     and follow the link in the mail to {{.Ann}}: choose a password, scan the QR code, save the
     recovery codes, accept the terms. The last button takes you to the portal, signed in.
  2. Sign out there, and sign in again: password, six-digit code, nothing else.
  3. Pia is invited to the Control Center. Take a private window and follow the link in the mail to
     {{.Pia}}: this portal asks for a second code after enrolment, and for no terms.
  4. Ben has a password and no second factor yet. In another private window, sign in as Ben at
     {{.PCC}} and add one. Then open {{.Analytics}}: one sign-in for both.
  5. Olga is the operator. Invite somebody yourself, while the demo runs, in another terminal:
     {{.Invite}}
{{if .People}}
Who has a password already:

{{range .People}}{{.}}
{{end}}{{end}}
`))

// tour tells a newcomer where to go. Each person who has a password is on a line
// of its own that programs can read, too.
func tour(w io.Writer, o Options, s *state, command string) error {
	var people []string
	for _, m := range members {
		if password := s.Passwords[m.email]; password != "" {
			people = append(people, fmt.Sprintf("%s  password: %s", m.email, password))
		}
	}
	invite := fmt.Sprintf("%s account invite you@acme.example --app %s --role viewer@acme", command, PartnerAnalytics)
	if o.DataDir != "data" { // where commands look if they are told nothing
		invite = "ANTEROOM_DATA=" + o.DataDir + " " + invite
	}
	var text strings.Builder
	err := tourText.Execute(&text, map[string]any{
		"Data": o.DataDir, "Issuer": o.Issuer, "Analytics": o.AnalyticsURL, "PCC": o.PCCURL, "Mailbox": o.Issuer + "/demo/",
		"Ann": Ann, "Pia": Pia, "People": people,
		"Invite": invite,
	})
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text.String())
	return err
}
